"""Draw a run's report again from the files of its stages.

    python -m harness.report results/quickstart-1a2b3c4d

Markdown and page are made from the JSON files and can be made again at any time.
"""

from __future__ import annotations

import sys
from pathlib import Path

from harness.report.write import show, write
from harness.runs import directory
from harness.util import files
from harness.util.cli import Parser, exit_code


def main(argv: list[str] | None = None) -> int:
    parser = Parser("report", __doc__)
    parser.add_argument("run", type=Path, help="run directory")
    args = parser.parse(argv)
    run = directory.existing(args.run)
    with files.lock(run.path):
        write(run)
    show(run)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
