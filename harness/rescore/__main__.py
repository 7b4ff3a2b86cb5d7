"""Score the completions of a finished run again with the current scorer, and draw its report again, without a model.

    python -m harness.rescore results/quickstart-1a2b3c4d

The golds are those of result.json, checked against the hash of the data in it: a run can be scored again when its data
is no longer available, and only with the golds it was evaluated with. Everything is scored before anything is written.
"""

from __future__ import annotations

import sys

from harness.config import arguments
from harness.util.cli import Parser, exit_code


def main(argv: list[str] | None = None) -> int:
    parser = Parser("rescore", __doc__)
    arguments.add_run(parser)
    args = parser.parse(argv)
    from harness.report import write
    from harness.rescore.scores import rescore
    from harness.runs import directory
    from harness.util import locks

    run = directory.existing(args.run)
    with locks.lock(run.path):
        rescore(run)
    write.show(run)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
