"""The runs of a folder as rows of a table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.report import summary
from harness.report.wording import points_text
from harness.runs import directory, seals
from harness.stats import finding
from harness.util.errors import HarnessError
from harness.util.text import one_line
from harness.watch import progress

# The columns that a narrow terminal leaves out, the first one first; a line then names them.
EXPENDABLE = ("progress", "stage")
REPORT_ALONE = "report only"


@dataclass(frozen=True, slots=True)
class Listing:
    rows: list[dict[str, str]]  # of the runs, by column
    broken: list[str]  # a line for each that cannot be read
    kept: bool = False  # whether a row is a report that was kept without its run


def of(folder: Path) -> Listing:
    """The runs in a folder, by name. Raises HarnessError if there is no such folder."""
    if not folder.is_dir():
        raise HarnessError(f"{folder}: not found as a folder; give one with runs in it, such as results")
    rows, broken, kept = [], [], False
    for path in sorted({file.parent for name in ("config.yaml", "summary.json") for file in folder.glob(f"*/{name}")}):
        try:
            if directory.is_report_alone(path):
                rows.append(_row(path, progress.Progress(REPORT_ALONE, (), "", None, {})))
                kept = True
            else:
                rows.append(_row(path, progress.of(directory.existing(path))))
        except HarnessError as error:
            broken.append(one_line(str(error)))
    return Listing(rows, broken, kept)


def _row(path: Path, stands: progress.Progress) -> dict[str, str]:
    return {
        "run": one_line(path.name),
        "state": stands.state,
        "stage": stands.stage,
        "progress": stands.detail,
        "verdict": _verdict(path) if stands.state in ("complete", REPORT_ALONE) else "",
    }


def _verdict(path: Path) -> str:
    """In short. Raises HarnessError if the summary cannot be read, or has changed since it was written."""
    numbers = summary.read(path)
    if not directory.is_report_alone(path):
        seals.check_files(directory.existing(path), path / "summary.json")
    found = finding.label(numbers.verdict.kind, numbers.verdict.direction)
    return f"{found}: {points_text(numbers.difference.accuracy)} points of accuracy"
