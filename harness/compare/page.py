"""The comparison as a page: a section for each comparable group, with intervals, all pairs of runs, and settings.

It can be read without JavaScript, which only sorts the tables.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from urllib.parse import quote

from markupsafe import Markup

from harness.compare import pairs as run_pairs
from harness.compare.groups import Group, Run
from harness.report import charts, html
from harness.report.charts import Row
from harness.report.wording import counts, difference_mark, mark, points, rate_text
from harness.stats import finding
from harness.stats.finding import spell_p


@dataclass(frozen=True)
class Section:
    """A comparable group as the page shows it."""

    runs: Group
    rows: list[dict[str, str]]  # the same runs as rows of the table
    parted_by: dict[str, str]  # the conditions in which it differs from the other groups
    conditions: dict[str, str]  # those that the runs share
    settings: dict[str, list[str]]  # those in which the runs differ, with one value for each run

    @property
    def notes(self) -> list[str]:
        """How each run differs from the others of the group, in a few words."""
        leaves = Counter(key.rpartition(".")[2] for key in self.settings)
        short = {key: leaf if leaves[leaf := key.rpartition(".")[2]] == 1 else key for key in self.settings}
        return [", ".join(f"{short[key]} {values[at]}" for key, values in self.settings.items())
                for at in range(len(self.runs))]  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """Row minus column; detected: a report would call it detected, and the corrected p is below .05."""

    text: str
    p: str
    detected: bool


@dataclass(frozen=True)
class Matrix:
    """Every run of a group minus every other, and the runs that were left out, by reason."""

    names: list[tuple[str, str]]  # of the rows and columns: the run and how it differs
    cells: dict[tuple[int, int], Cell]  # by row and column; empty if there is nothing to pair, or too much
    pairs: int
    crowd: int  # the number of runs that could be paired if that is too many, else 0
    unread: list[str]  # without readable answers
    other: list[str]  # with other questions
    alone: list[str]  # the only one with one training seed among those with several, or the other way round


def draw(sections: list[Section], folder: Path, intervals: str) -> str:
    """The page, for a file in `folder`: links to the runs' report.html are relative to it.

    intervals: "wilson" or "bootstrap", for single rates.
    """
    verdicts = Counter(_kind(run) for section in sections for run in section.runs)
    counted = [f"{verdicts[kind]} {words}" for kind, words in _KINDS.items() if verdicts[kind]]
    runs = sum(len(section.runs) for section in sections)
    return html.page(
        "compare.html",
        ("compare.js",),
        title=f"{runs} runs compared" if runs > 1 else "1 run",
        counted=", ".join(counted),
        groups=[
            (number, section, _figures(number, section, intervals), matrix(section))
            for number, section in enumerate(sections, 1)
        ],
        intervals={"wilson": "Wilson", "bootstrap": "exact percentile bootstrap"}[intervals],
        fields=sorted({name for section in sections for name in section.parted_by}),
        sort_keys=_sort_keys,
        link=lambda run: _link(run.path / "report.html", folder),
        largest=run_pairs.LARGEST,
    )


_KINDS = {
    "up": "with a rise of accuracy detected",
    "down": "with a fall of accuracy detected",
    "borderline": "borderline",
    "not detected": "with no difference detected",
}


def _kind(run: Run) -> str:
    found = run.summary.verdict
    return found.direction if found.kind == "detected" else found.kind


def _figures(number: int, section: Section, intervals: str) -> list[tuple[str, Markup]]:
    differences, rates = [], []
    for run, note in zip(section.runs, section.notes, strict=True):
        numbers = run.summary
        differences.append(Row(run.name, (difference_mark(numbers.difference.accuracy),), note))
        sides = {"base": numbers.base.accuracy.by(intervals), "tuned": numbers.tuned.accuracy.by(intervals)}
        rates.append(Row(run.name, tuple(mark(side, rate, rate_text(rate)) for side, rate in sides.items()), note))
    change = "Change of accuracy in points, paired, with 95% intervals"
    before_after = f"Accuracy before and after in percent, with 95% intervals ({intervals})"
    return [
        (change, charts.forest(f"differences-{number}", change, differences, zero=True, pitch=2)),
        (before_after, charts.forest(f"rates-{number}", before_after, rates)),
    ]


def matrix(section: Section) -> Matrix:
    """The runs of a group that can be paired, each minus every other."""
    pairs = run_pairs.of(section.runs, run_pairs.LARGEST)
    cells: dict[tuple[int, int], Cell] = {}
    for later, earlier, pair in pairs.compared:
        alone = finding.of(pair.difference)
        detected = run_pairs.kind(pair, alone) == "detected"
        cells[later, earlier] = Cell(points(alone.difference), spell_p(pair.holm_p), detected)
    notes = section.notes
    names = [(section.runs[at].name, notes[at]) for at in pairs.kept]
    return Matrix(names, cells, len(pairs.compared), pairs.crowd, pairs.unread, pairs.other, pairs.alone)


def _sort_keys(run: Run) -> list[str | float]:
    """The sort key of each column of the table."""
    numbers, d = run.summary, run.summary.difference
    flipped = [mean(counts(numbers, "accuracy", way)) for way in ("gained", "lost")]
    rates = [numbers.base.accuracy.value, numbers.tuned.accuracy.value]
    tests = [d.accuracy.value, *flipped, d.accuracy.p]
    return [run.name, numbers.n, *rates, *tests, d.strict.value, d.format.value, numbers.verdict.kind]


def _link(file: Path, folder: Path) -> str | None:
    """The address of a run's page relative to this page's folder; None if the run has no page."""
    if not file.is_file():
        return None
    return quote(os.fsencode(os.path.relpath(file, folder)), safe="/.")  # a name need not be valid UTF-8
