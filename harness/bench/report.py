"""The speed of reports and of their comparison."""

from __future__ import annotations

from pathlib import Path

from harness.bench import common
from harness.compare import formats
from harness.compare import groups as run_groups
from harness.config import arguments
from harness.report import write
from harness.runs import directory
from harness.util import files
from harness.util.cli import Parser


def main(argv: list[str]) -> None:
    """Draw each run's report again, with summary and page, and the comparison of all as a page."""
    parser = Parser("bench report", main.__doc__ or "")
    arguments.add_runs(parser)
    paths = [path for path in parser.parse(argv).runs if (path / "summary.json").exists()]
    total = 0.0
    for run in map(directory.existing, paths):
        with files.lock(run.path):
            seconds = common.milliseconds(lambda run=run: write.write(run), repeats=1) / 1000
        total += seconds
        print(f"{run.path.name}: {seconds:.2f} s, page of {run.page.stat().st_size / 1e6:.1f} MB")
    print(f"all {len(paths)}: {total:.2f} s")
    if paths:
        drawn = common.milliseconds(
            lambda: formats.page(run_groups.comparable(run_groups.load(paths)), "wilson", Path())
        )
        print(f"their comparison: {drawn / 1000:.2f} s, imports not counted")
