"""The comparison as a page: one section a comparable group, with intervals, every run minus every other, and settings.

It reads without JavaScript, which only sorts the tables.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any
from urllib.parse import quote

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from harness import charts, html, pairwise, rundir
from harness.charts import Row
from harness.errors import HarnessError
from harness.phrases import certainty, counts, mark, p_value, points
from harness.stats import ALPHA, spell_p
from harness.summary import rate_text

LARGEST_MATRIX = 20  # runs; beyond it nobody could read the matrix


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
    """Row minus column: the text, and whether the corrected p is below .05."""

    text: str
    p: str
    detected: bool


def draw(groups: list[Group], folder: Path) -> str:
    """The page, for a file in `folder`: links to the runs' report.html start there."""
    verdicts = Counter(_kind(run) for group in groups for run in group.runs)
    counted = [f"{verdicts[kind]} {words}" for kind, words in _KINDS.items() if verdicts[kind]]
    runs = sum(len(group.runs) for group in groups)
    return html.page(
        "compare.html",
        "compare.js",
        title=f"{runs} runs compared" if runs > 1 else "1 run",
        counted=", ".join(counted),
        groups=[(number, group, _figures(number, group), _matrix(group)) for number, group in enumerate(groups, 1)],
        fields=sorted({name for group in groups for name in group.parted_by}),
        sort_keys=_sort_keys,
        link=lambda run: _link(run["path"] / "report.html", folder),
        largest=LARGEST_MATRIX,
    )


_KINDS = {
    "up": "with a rise of accuracy detected",
    "down": "with a fall of accuracy detected",
    "borderline": "borderline",
    "not detected": "with no difference detected",
}


def _kind(run: dict[str, Any]) -> str:
    return run["verdict"]["direction"] if run["verdict"]["kind"] == "detected" else run["verdict"]["kind"]


def _figures(number: int, group: Group) -> list[tuple[str, Markup]]:
    differences, rates = [], []
    for run, note in zip(group.runs, group.notes, strict=True):
        d = run["difference"]["accuracy"]
        differences.append(Row(run["run"], (mark(certainty(d), d, points(d)),), note))
        sides = [mark(side, run[side]["accuracy"], rate_text(run[side]["accuracy"])) for side in ("base", "tuned")]
        rates.append(Row(run["run"], tuple(sides), note))
    change = "Change of accuracy in points, paired, with 95% intervals"
    before_after = "Accuracy before and after in percent, with 95% intervals"
    return [
        (change, charts.forest(f"differences-{number}", change, differences, zero=True, pitch=2)),
        (before_after, charts.forest(f"rates-{number}", before_after, rates)),
    ]


def _matrix(group: Group) -> dict[str, Any] | None:
    """Cells by row and column, and the runs that could not take part; None where there is nothing to pair."""
    names, scores, left_out = [], {}, []
    for run, note in zip(group.runs[: LARGEST_MATRIX + 1], group.notes, strict=False):
        try:
            scores[len(names)] = tuned_scores(run["path"], run["settings"]["train.seeds"])
            names.append((run["run"], note))
        except HarnessError:  # a report without its answers can stand in the table, not here
            left_out.append(run["run"])
    # One training is not paired with several: a run without its like would have an empty row and column.
    like = Counter(np.ndim(each) for each in scores.values())
    alone = [names[at][0] for at, each in scores.items() if like[np.ndim(each)] == 1]
    kept = [at for at, each in scores.items() if like[np.ndim(each)] > 1]
    names, scores = [names[at] for at in kept], {new: scores[at] for new, at in enumerate(kept)}
    if not 2 <= len(names) <= LARGEST_MATRIX:
        return None
    compared = pairwise.compare_all(scores)
    cells: dict[tuple[int, int], Cell] = {}
    for pair in compared:
        d = pair.difference
        ends = {"value": d.estimate, "low": d.low, "high": d.high}
        cells[pair.second, pair.first] = Cell(points(ends), spell_p(pair.holm_p), pair.holm_p < ALPHA)
    return {"names": names, "cells": cells, "left_out": left_out, "alone": alone, "pairs": len(compared)}


def tuned_scores(path: Path, seeds: Sequence[int]) -> NDArray[np.float64]:
    """The accuracy on each question, in the order of the ids: shape (n,), or (s, n) for several training seeds.

    A mean where there are several samples. Raises HarnessError where the run holds no evaluation of a seed.
    """
    rows = []
    for seed in seeds:
        answers: dict[str, list[bool]] = {}
        for score in rundir.read_json(path / "tuned" / f"seed-{seed}" / "result.json")["scores"]:
            answers.setdefault(score["id"], []).append(score["correct"])
        rows.append([sum(correct) / len(correct) for _, correct in sorted(answers.items())])
    return np.array(rows if len(rows) > 1 else rows[0])


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
    return quote(Path(os.path.relpath(file, folder)).as_posix(), safe="/.")
