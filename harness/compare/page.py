"""The comparison as a page: a section for each comparable group, with intervals, all pairs of runs, and settings.

It can be read without JavaScript, which sorts the tables, subtracts a chosen baseline, and shows the questions.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from urllib.parse import quote

from markupsafe import Markup

from harness.compare import across, findings, groups
from harness.compare import pairs as run_pairs
from harness.compare.groups import Group, Run
from harness.compare.pairs import Pairs
from harness.report import charts, html
from harness.report.charts import Row
from harness.report.document import Figure
from harness.report.html_report import anchor
from harness.report.wording import counts, difference_mark, mark, points, rate_text
from harness.stats import finding
from harness.stats.finding import spell_p
from harness.stats.records import Estimate
from harness.stats.scores import COMPARED, QUANTITIES
from harness.util.text import one_line

LONGEST = 60  # characters of a run's label
ROOM = 3_600_000  # bytes of packed questions, all groups together


@dataclass(frozen=True)
class Section:
    """A comparable group as the page shows it."""

    runs: Group
    rows: list[dict[str, str]]  # the same runs as rows of the table
    parted_by: dict[str, str]  # the conditions in which it differs from the other groups
    conditions: dict[str, str]  # those that the runs share
    settings: dict[str, list[str]]  # those in which the runs differ, with one value for each run

    @property
    def labels(self) -> list[str]:
        """What each run is called: the settings in which it differs from others, or its name if they are too many."""
        told = [one_line(", ".join(f"{key} = {values[at]}" for key, values in self.settings.items()))
                for at in range(len(self.runs))]  # fmt: skip
        if any(not text or len(text) > LONGEST for text in told) or len(set(told)) < len(told):
            return [run.name for run in self.runs]
        return told


@dataclass(frozen=True)
class Cell:
    """Row minus column; detected: a report would call it detected, and the corrected p is below .05."""

    text: str
    p: str
    detected: bool


@dataclass(frozen=True)
class Matrix:
    """Every run of a group minus every other, and the runs that were left out, by reason."""

    names: list[str]  # the labels of the rows and columns
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
    room = ROOM // len(sections)
    found = [_drawn(number, section, intervals, room) for number, section in enumerate(sections, 1)]
    verdicts = Counter(_kind(run) for section in sections for run in section.runs)
    counted = [f"{verdicts[kind]} {words}" for kind, words in _KINDS.items() if verdicts[kind]]
    runs = sum(len(section.runs) for section in sections)
    title = f"{runs} runs compared" if runs > 1 else "1 run"
    return html.page(
        "compare.html",
        ("page.js", "texts.js", "list.js", "compare.js"),
        title=title,
        claim=(found[0].finding if len(found) == 1 else None) or title,
        counted=", ".join(counted),
        groups=found,
        intervals={"wilson": "Wilson", "bootstrap": "exact percentile bootstrap"}[intervals],
        fields=sorted({name for section in sections for name in section.parted_by}),
        sort_keys=_sort_keys,
        link=lambda run: _link(run.path / "report.html", folder),
        measured=groups.measured,
        largest=run_pairs.LARGEST,
    )


_KINDS = {
    "up": "with a rise of accuracy detected",
    "down": "with a fall of accuracy detected",
    "borderline": "borderline",
    "not detected": "with no difference detected",
}


@dataclass(frozen=True)
class Drawn:
    """A group with everything that the page shows of it."""

    number: int
    section: Section
    finding: str | None
    figures: list[tuple[str, Markup]]
    matrix: Matrix
    baselines: list[Figure]  # for each run of the matrix every other one minus it
    questions: Markup | None


def _drawn(number: int, section: Section, intervals: str, room: int) -> Drawn:
    pairs = run_pairs.of(section.runs, run_pairs.LARGEST)
    labels = section.labels
    kept, named = [section.runs[at] for at in pairs.kept], [labels[at] for at in pairs.kept]
    packed = across.data(kept, named, room) if pairs.compared else None
    return Drawn(
        number,
        section,
        findings.sentence(pairs, named),
        [*_figures(number, section, intervals), *_sweeps(number, section, intervals)],
        matrix(section),
        _baselines(number, named, pairs),
        Markup(packed) if packed else None,
    )


def _kind(run: Run) -> str:
    found = run.summary.verdict
    return found.direction if found.kind == "detected" else found.kind


def _figures(number: int, section: Section, intervals: str) -> list[tuple[str, Markup]]:
    differences, rates = [], []
    for run, label in zip(section.runs, section.labels, strict=True):
        numbers = run.summary
        differences.append(Row(label, (difference_mark(numbers.difference.accuracy),)))
        sides = {"base": numbers.base.accuracy.by(intervals), "tuned": numbers.tuned.accuracy.by(intervals)}
        rates.append(Row(label, tuple(mark(side, rate, rate_text(rate)) for side, rate in sides.items())))
    change = "Change of accuracy in points, paired, with 95% intervals"
    before_after = f"Accuracy before and after in percent, with 95% intervals ({intervals})"
    return [
        (change, charts.forest(f"differences-{number}", change, differences, zero=True, pitch=2)),
        (before_after, charts.forest(f"rates-{number}", before_after, rates)),
    ]


def _sweeps(number: int, section: Section, intervals: str) -> Iterator[tuple[str, Markup]]:
    """Every quantity against every setting that is a number and has several values in the group."""
    for key in section.settings:
        values = [run.settings.get(key) for run in section.runs]
        if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            continue
        for name in COMPARED:
            rates = [getattr(run.summary.tuned, name).by(intervals) for run in section.runs]
            points = [(float(v), mark("tuned", rate, rate_text(rate))) for v, rate in zip(values, rates, strict=True)]
            base = getattr(section.runs[0].summary.base, name).by(intervals)
            title = f"{QUANTITIES[name].label} by {key}, %"
            shape = f"{name}-{anchor(key)}-{number}"
            yield title, charts.against(shape, title, key, points, mark("base", base, rate_text(base)))


def matrix(section: Section) -> Matrix:
    """The runs of a group that can be paired, each minus every other."""
    pairs = run_pairs.of(section.runs, run_pairs.LARGEST)
    cells: dict[tuple[int, int], Cell] = {}
    for later, earlier, pair in pairs.compared:
        alone = finding.of(pair.difference)
        detected = run_pairs.kind(pair, alone) == "detected"
        cells[later, earlier] = Cell(points(alone.difference), spell_p(pair.holm_p), detected)
    labels = section.labels
    names = [labels[at] for at in pairs.kept]
    return Matrix(names, cells, len(pairs.compared), pairs.crowd, pairs.unread, pairs.other, pairs.alone)


def _baselines(number: int, names: list[str], pairs: Pairs) -> list[Figure]:
    """For each run a chart of the others minus it."""
    minus: dict[tuple[int, int], tuple[Estimate, float]] = {}
    for later, earlier, pair in pairs.compared:
        d = finding.of(pair.difference).difference
        minus[later, earlier] = Estimate(value=d.value, low=d.low, high=d.high), pair.holm_p
        minus[earlier, later] = Estimate(value=-d.value, low=-d.high, high=-d.low), pair.holm_p
    made = []
    for base, name in enumerate(names if minus else []):
        rows = [
            Row(names[at], (difference_mark(minus[at, base][0]),), f"p {spell_p(minus[at, base][1])}")
            for at in range(len(names))
            if (at, base) in minus
        ]
        title = f"Tuned accuracy minus that of {name}, in points, with 95% intervals"
        shape = f"minus-{base}-{number}"
        made.append(Figure(shape, title, charts.forest(shape, title, rows, zero=True)))
    return made


def _sort_keys(run: Run, label: str) -> list[str | float]:
    """The sort key of each column of the table."""
    numbers, d = run.summary, run.summary.difference
    flipped = [mean(counts(numbers, "accuracy", way)) for way in ("gained", "lost")]
    rates = [numbers.base.accuracy.value, numbers.tuned.accuracy.value]
    tests = [d.accuracy.value, *flipped, d.accuracy.p]
    return [label, numbers.n, *rates, *tests, d.strict.value, d.format.value, numbers.verdict.kind]


def _link(file: Path, folder: Path) -> str | None:
    """The address of a run's page relative to this page's folder; None if the run has no page."""
    if not file.is_file():
        return None
    return quote(os.fsencode(os.path.relpath(file, folder)), safe="/.")  # a name need not be valid UTF-8
