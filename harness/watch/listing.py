"""The runs of a folder as rows of a table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.report import summary
from harness.report.wording import points_text
from harness.runs import directory
from harness.runs.directory import RunDir
from harness.stats import finding
from harness.util.errors import HarnessError
from harness.util.text import one_line
from harness.watch import progress

# What a narrow terminal leaves out, the first one first.
EXPENDABLE = ("progress", "stage")


@dataclass(frozen=True, slots=True)
class Listing:
    rows: list[dict[str, str]]  # of the runs, by column
    broken: list[str]  # a line for each that cannot be read


def of(folder: Path) -> Listing:
    """The runs in a folder, by name. Raises HarnessError if there is no such folder."""
    if not folder.is_dir():
        raise HarnessError(f"{folder}: not found as a folder; give one with runs in it, such as results")
    found = Listing([], [])
    for settings in sorted(folder.glob("*/config.yaml")):
        try:
            found.rows.append(_row(directory.existing(settings.parent)))
        except HarnessError as error:
            found.broken.append(one_line(str(error)))
    return found


def _row(run: RunDir) -> dict[str, str]:
    stands = progress.of(run)
    return {
        "run": one_line(run.path.name),
        "state": stands.state,
        "stage": stands.stage,
        "progress": stands.detail,
        "verdict": _verdict(run) if stands.state == "complete" else "",
    }


def _verdict(run: RunDir) -> str:
    numbers = summary.read(run.path)
    found = finding.label(numbers.verdict.kind, numbers.verdict.direction)
    return f"{found}: {points_text(numbers.difference.accuracy)} points of accuracy"
