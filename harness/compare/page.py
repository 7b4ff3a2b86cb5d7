"""The comparison as a page: one section a comparable group, with intervals, every run minus every other, and settings.

It reads without JavaScript, which only sorts the tables.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from harness.compare import pairs as run_pairs
from harness.report import charts, html
from harness.report.charts import Row
from harness.report.wording import certainty, counts, interval_of, mark, p_value, points, rate_text
from harness.stats.verdict import spell_p


@dataclass(frozen=True)
class Group:
    """Runs that may be compared."""

    runs: list[dict[str, Any]]  # as harness.compare loads them
    rows: list[dict[str, str]]  # the same runs as lines of the table
    parted_by: dict[str, str]  # the conditions in which it differs from the other groups
    conditions: dict[str, str]  # all that the runs share
    settings: dict[str, list[str]]  # those in which the runs differ, with a value a run

    @property
    def notes(self) -> list[str]:
        """What sets each run apart from the others of the group, in few words."""
        leaves = Counter(key.rpartition(".")[2] for key in self.settings)
        short = {key: leaf if leaves[leaf := key.rpartition(".")[2]] == 1 else key for key in self.settings}
        return [", ".join(f"{short[key]} {values[at]}" for key, values in self.settings.items())
                for at in range(len(self.runs))]  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """Row minus column: the text, and whether a report would call it detected and the corrected p is below .05."""

    text: str
    p: str
    detected: bool


@dataclass(frozen=True)
class Matrix:
    """Every run of a group minus every other, and the runs that could not take part by the reason."""

    names: list[tuple[str, str]]  # of the rows and columns: the run and what sets it apart
    cells: dict[tuple[int, int], Cell]  # by row and column; none where there is nothing to pair, or too much
    pairs: int
    crowd: int  # how many runs could be paired where that is too many, else 0
    unread: list[str]  # without their answers
    other: list[str]  # about other questions
    alone: list[str]  # the one of one training seed among those of several, or the other way round


def draw(groups: list[Group], folder: Path, intervals: str) -> str:
    """The page, for a file in `folder`: links to the runs' report.html start there.

    intervals: "wilson" or "bootstrap", those of single rates.
    """
    verdicts = Counter(_kind(run) for group in groups for run in group.runs)
    counted = [f"{verdicts[kind]} {words}" for kind, words in _KINDS.items() if verdicts[kind]]
    runs = sum(len(group.runs) for group in groups)
    return html.page(
        "compare.html",
        "compare.js",
        title=f"{runs} runs compared" if runs > 1 else "1 run",
        counted=", ".join(counted),
        groups=[
            (number, group, _figures(number, group, intervals), matrix(group)) for number, group in enumerate(groups, 1)
        ],
        intervals={"wilson": "Wilson", "bootstrap": "exact percentile bootstrap"}[intervals],
        fields=sorted({name for group in groups for name in group.parted_by}),
        sort_keys=_sort_keys,
        link=lambda run: _link(run["path"] / "report.html", folder),
        largest=run_pairs.LARGEST,
    )


_KINDS = {
    "up": "with a rise of accuracy detected",
    "down": "with a fall of accuracy detected",
    "borderline": "borderline",
    "not detected": "with no difference detected",
}


def _kind(run: dict[str, Any]) -> str:
    return run["verdict"]["direction"] if run["verdict"]["kind"] == "detected" else run["verdict"]["kind"]


def _figures(number: int, group: Group, intervals: str) -> list[tuple[str, Markup]]:
    differences, rates = [], []
    for run, note in zip(group.runs, group.notes, strict=True):
        d = run["difference"]["accuracy"]
        differences.append(Row(run["run"], (mark(certainty(d), d, points(d)),), note))
        sides = ((side, run[side]["accuracy"]) for side in ("base", "tuned"))
        marks = (mark(side, interval_of(rate, intervals), rate_text(rate, intervals)) for side, rate in sides)
        rates.append(Row(run["run"], tuple(marks), note))
    change = "Change of accuracy in points, paired, with 95% intervals"
    before_after = f"Accuracy before and after in percent, with 95% intervals ({intervals})"
    return [
        (change, charts.forest(f"differences-{number}", change, differences, zero=True, pitch=2)),
        (before_after, charts.forest(f"rates-{number}", before_after, rates)),
    ]


def matrix(group: Group) -> Matrix:
    """The runs of a group that can be paired, each minus each."""
    pairs = run_pairs.of(group.runs, run_pairs.LARGEST)
    cells: dict[tuple[int, int], Cell] = {}
    for later, earlier, pair in pairs.compared:
        d = pair.difference
        ends = {"value": d.estimate, "low": d.low, "high": d.high}
        cells[later, earlier] = Cell(points(ends), spell_p(pair.holm_p), run_pairs.kind(pair) == "detected")
    names = [(group.runs[at]["run"], group.notes[at]) for at in pairs.kept]
    return Matrix(names, cells, len(pairs.compared), pairs.crowd, pairs.unread, pairs.other, pairs.alone)


def _sort_keys(run: dict[str, Any]) -> list[Any]:
    """What each column of the table is sorted by."""
    change = run["difference"]["accuracy"]
    rates = [run[side]["accuracy"]["value"] for side in ("base", "tuned")]
    flipped = [mean(counts(run, "accuracy", name)) for name in ("gained", "lost")]
    tests = [change["value"], *flipped, p_value(change)]
    others = [run["difference"][name]["value"] for name in ("strict", "format")]
    return [run["run"], run["n"], *rates, *tests, *others, run["verdict"]["kind"]]


def _link(file: Path, folder: Path) -> str | None:
    """A relative address that can only lead to a file beside the page; None where the run has no page."""
    if not file.is_file():
        return None
    return quote(os.fsencode(os.path.relpath(file, folder)), safe="/.")  # a name need not be valid UTF-8
