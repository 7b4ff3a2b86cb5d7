"""The runs of a folder: how far each is, and what came of it.

    python -m harness.ls
    python -m harness.ls other-results

A run that is damaged is named in a line. Nothing is written, and no run is disturbed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from harness.config.arguments import RESULTS
from harness.util.cli import Parser, exit_code


def main(argv: list[str] | None = None) -> int:
    parser = Parser("ls", __doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    folder = parser.parse(argv).folder
    from harness.util.console import say, table
    from harness.util.text import one_line
    from harness.watch import listing

    found = listing.of(folder)
    if found.rows and (left_out := table("", found.rows, listing.EXPENDABLE)):
        say(f"A wider terminal also shows: {', '.join(left_out)}.")
    if found.kept:
        say(
            f"{listing.REPORT_ALONE}: the report was kept without the run's other files (no manifest.json); open its "
            f"report.html or report.md."
        )
    if not found.rows and not found.broken:
        say(f"{one_line(str(folder))}: no run yet; python -m harness.run quickstart makes one.")
    for line in found.broken:
        say(f"broken: {line}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
