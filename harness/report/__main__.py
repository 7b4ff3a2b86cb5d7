"""Draw a run's report again from the files of its stages.

    python -m harness.report results/quickstart-1a2b3c4d
    python -m harness.report results/quickstart-1a2b3c4d --verify

Markdown and page are made from the JSON files and can be made again at any time. If a file is not as its stage left it,
nothing is drawn, and a line names it.
"""

from __future__ import annotations

import sys

from harness.config import arguments
from harness.util.cli import Parser, exit_code
from harness.util.errors import HarnessError


def main(argv: list[str] | None = None) -> int:
    parser = Parser("report", __doc__)
    arguments.add_run(parser)
    parser.add_argument("--verify", action="store_true", help="write nothing: say what each file was made from")
    args = parser.parse(argv)
    from harness.report.write import show, write
    from harness.runs import directory, seals
    from harness.util import locks
    from harness.util.console import say

    run = directory.existing(args.run)
    if args.verify:
        if not (lines := list(seals.traced(run))):
            raise HarnessError(f"{run.path}: has no seals, so that nothing can be checked: an earlier version wrote it")
        for line in lines:
            say(line)
        seals.check(run)
        say("Every file of a finished stage is as it was written.")
        return 0
    with locks.lock(run.path):
        seals.check(run, redrawn=True)
        write(run)
    show(run)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
