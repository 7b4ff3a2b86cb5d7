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

from harness.compare import across, conditions, findings, groups
from harness.compare import pairs as run_pairs
from harness.compare.groups import Group, Run
from harness.compare.pairs import Pairs
from harness.config import meanings
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

# The columns in the page's order: a narrow window still shows what was found beside the name.
ORDER = (
    "run", "verdict", "Δ accuracy", "base accuracy", "tuned accuracy", "gained", "lost", "mid-p", "Δ strict",
    "Δ format", "n",
)  # fmt: skip
INTERVALS = {"wilson": "Wilson", "bootstrap": "exact percentile bootstrap"}  # of single rates
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
    """Every run of a group minus every other."""

    names: list[str]  # the labels of the rows and columns
    cells: dict[tuple[int, int], Cell]  # by row and column; empty if there is nothing to pair, or too much
    pairs: int
    crowd: int  # the number of runs that could be paired if that is too many, else 0


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
        intervals=INTERVALS[intervals],
        fields=sorted({name for section in sections for name in section.parted_by}),
        order=ORDER,
        sort_keys=_sort_keys,
        link=lambda run: _link(run.path / "report.html", folder),
        measured=groups.measured,
        words=conditions.WORDS,
        meanings=meanings.by_key() | groups.HASHES,
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
    left_out: str | None  # how many runs are not in the finding, which, and why
    figures: list[tuple[str, Markup]]
    unswept: str | None  # why no rates are drawn against a setting, if several differ
    matrix: Matrix
    baselines: list[Figure]  # for each run of the matrix every other one minus it
    questions: Markup | None


def _drawn(number: int, section: Section, intervals: str, room: int) -> Drawn:
    pairs = run_pairs.of(section.runs, run_pairs.LARGEST)
    labels = section.labels
    kept, named = [section.runs[at] for at in pairs.kept], [labels[at] for at in pairs.kept]
    found = findings.of(pairs, named)
    packed = across.data(kept, named, room, found) if found else None
    missing = sum(map(len, pairs.left_out.values()))
    runs = f"{missing} of {len(section.runs)} runs"
    return Drawn(
        number,
        section,
        found and found.sentence + (f"; {runs} left out" if missing else ""),
        _left_out(runs, missing, pairs) if missing and len(section.runs) > 1 else None,
        [*_figures(number, section, intervals), *_sweeps(number, section, intervals)],
        _unswept(section),
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
    plain = all(run.summary.samples == 1 and not run.summary.seeds for run in section.runs)
    method = f" ({INTERVALS[intervals]})" if plain else ""  # otherwise each report names its own
    before_after = f"Accuracy before and after in percent, with 95% intervals{method}"
    return [
        (change, charts.forest(f"differences-{number}", change, differences, zero=True, pitch=2)),
        (before_after, charts.forest(f"rates-{number}", before_after, rates)),
    ]


def _left_out(runs: str, missing: int, pairs: Pairs) -> str:
    reasons = "; ".join(f"because {reason}: {', '.join(names)}" for reason, names in pairs.left_out.items())
    return f"{runs} {'are' if missing > 1 else 'is'} not in the comparison of run with run, {reasons}."


def _numeric(section: Section, key: str) -> bool:
    """Whether a setting is a number in every run."""
    values = [run.settings.get(key) for run in section.runs]
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _unswept(section: Section) -> str | None:
    """Why no rates are drawn against a setting that is a number, if one is and several settings differ."""
    if len(section.settings) < 2 or not any(_numeric(section, key) for key in section.settings):
        return None
    return (
        f"No rates are drawn against a setting, because {len(section.settings)} settings differ between these runs: "
        "what one of them does cannot be told from what the others do."
    )


def _sweeps(number: int, section: Section, intervals: str) -> Iterator[tuple[str, Markup]]:
    """Every quantity against the setting in which alone the runs differ, if it is a number."""
    for key in section.settings if len(section.settings) == 1 else ():
        if not _numeric(section, key):
            continue
        values = [run.settings[key] for run in section.runs]
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
    return Matrix(names, cells, len(pairs.compared), pairs.crowd)


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


def _sort_keys(run: Run, label: str) -> dict[str, str | float]:
    """The sort key of each column of the table, by groups.COLUMNS."""
    numbers, d = run.summary, run.summary.difference
    flipped = [mean(counts(numbers, "accuracy", way)) for way in ("gained", "lost")]
    rates = [numbers.base.accuracy.value, numbers.tuned.accuracy.value]
    tests = [d.accuracy.value, *flipped, d.accuracy.p]
    keys = (label, numbers.n, *rates, *tests, d.strict.value, d.format.value, numbers.verdict.kind)
    return dict(zip(groups.COLUMNS, keys, strict=True))


def _link(file: Path, folder: Path) -> str | None:
    """The address of a run's page relative to this page's folder; None if the run has no page."""
    if not file.is_file():
        return None
    return quote(os.fsencode(os.path.relpath(file, folder)), safe="/.")  # a name need not be valid UTF-8
