"""What this machine can run, in a second or two: GPUs, packages compared with the pins, and which experiments fit.

    python -m harness.doctor

It loads neither torch nor vLLM. Memory needs are estimated from the size of the weights; a run that does not fit stops
with a line that says what to change.
"""

from __future__ import annotations

import sys

from harness.util.cli import Parser, exit_code


def main(argv: list[str] | None = None) -> int:
    Parser("doctor", __doc__).parse(argv)
    from harness.doctor import checks
    from harness.util.console import say

    for line in checks.lines():
        say(line)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
