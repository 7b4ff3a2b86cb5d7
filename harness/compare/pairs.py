"""Every run of a comparable group minus every other: the pairs, and which runs cannot be paired and why.

Runs that share a base also share its answers, which cancel in tuned2 - tuned1: the difference of two runs is an
ordinary paired difference. Checking whether their intervals overlap, or adding their standard errors, ignores that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.compare.groups import Group, Value
from harness.report.wording import points_text
from harness.runs.results import read_evaluation
from harness.stats import finding, seeds
from harness.stats.finding import Finding, spell_p
from harness.stats.intervals import ALPHA
from harness.stats.paired import PairedDifference
from harness.stats.paired_tests import holm
from harness.stats.scores import means
from harness.stats.seeds import SeedsDifference
from harness.util.errors import HarnessError
from harness.util.text import plural

LARGEST = 20  # runs; a larger matrix could not be read
CHECKPOINTS = (
    "Between single trainings these are differences of two checkpoints: runs that differ in their seed alone show what "
    "retraining does."
)
CORRECTED = "not detected (corrected)"
COLUMNS = ("this run", "minus this", "Δ accuracy", "gained", "lost", "p (Holm)", "verdict")
EXPENDABLE = (("gained", "lost"),)  # as groups.EXPENDABLE
MEANING = (
    "Δ accuracy: the first run's accuracy after training minus the second's, in points, with its 95% interval. "
    "gained, lost: the questions that only the first, or only the second answers right, or with several samples a "
    "question those on which the first, or the second scores higher. p (Holm): the p-value of the paired test, "
    "corrected for the number of comparisons."
)
LISTED = 15  # differences that are listed below a table: those of 6 runs


@dataclass(frozen=True, slots=True)
class Comparison:
    """One run minus another over the same questions."""

    first: str
    second: str
    difference: PairedDifference | SeedsDifference  # second minus first
    p: float  # two-sided: mid-p (McNemar's, or of sign flips with several samples), or SeedsDifference.p
    holm_p: float  # the same, corrected for all comparisons made together


@dataclass(frozen=True)
class Pairs:
    """The comparisons of a group, by the runs' positions in `kept`, and the names of the runs that were left out."""

    kept: list[int]  # positions in the group
    compared: list[tuple[int, int, Comparison]]  # (later, earlier, tuned accuracy of the later minus the earlier's)
    crowd: int  # the number of runs that could be paired if that is too many, else 0
    unread: list[str]  # without readable answers
    other: list[str]  # with other questions
    alone: list[str]  # the only one with one training seed among those with several, or the other way round

    @property
    def left_out(self) -> dict[str, list[str]]:
        """The names of the runs that were left out, by reason."""
        reasons = {
            "their answers are missing": self.unread,
            "they answered other questions than most": self.other,
            "one training is not paired with several": self.alone,
        }
        return {reason: names for reason, names in reasons.items() if names}


@lru_cache(maxsize=64)  # a sweep prints the pairs and then draws them
def of(runs: Group, largest: int | None = None) -> Pairs:
    """Pair the runs of a comparable group that answered the same questions as most of them.

    largest: the most runs that are paired.
    """
    found, unread = {}, []
    for at, run in enumerate(runs):
        try:
            found[at] = tuned_scores(run.path, run.settings["train.seeds"])
        except HarnessError:  # a run without its answers can be in the table, but cannot be paired
            unread.append(run.name)
    asked = Counter(ids for ids, _ in found.values()).most_common(1)
    other = [runs[at].name for at, (ids, _) in found.items() if ids != asked[0][0]]
    scores = {at: each for at, (ids, each) in found.items() if ids == asked[0][0]}
    # One training is not paired with several, so the only run of its kind would have an empty row and column.
    like = Counter(np.ndim(each) for each in scores.values())
    alone = [runs[at].name for at, each in scores.items() if like[np.ndim(each)] == 1 and len(like) > 1]
    kept = [at for at, each in scores.items() if like[np.ndim(each)] > 1]
    crowd = len(kept) if largest is not None and len(kept) > largest else 0
    compared = [] if crowd else compare_all({new: scores[at] for new, at in enumerate(kept)})
    return Pairs(kept, [(pair.second, pair.first, pair) for pair in compared], crowd, unread, other, alone)


def compare_all(scores: Mapping[str, ArrayLike]) -> list[Comparison]:
    """Pairs of runs, each later name minus each earlier one, with Holm-corrected p-values.

    scores: for each run its scores on the same questions in the same order: shape (n,) for one model, or (s, n) for
    s >= 2 training seeds. A run of one seed is not paired with one of several: the difference could be that seed's
    luck, whose size is unknown. ValueError as for `paired.paired` and `seeds.over_seeds`.
    """
    columns = {name: np.asarray(values, dtype=np.float64) for name, values in scores.items()}
    pairs = [pair for pair in combinations(columns, 2) if len({columns[name].ndim for name in pair}) == 1]
    found = [seeds.difference(columns[first], columns[second]) for first, second in pairs]
    p_values = [each.p if isinstance(each, SeedsDifference) else each.mid_p for each in found]
    return [
        Comparison(*pair, each, p, holm_p)
        for pair, each, p, holm_p in zip(pairs, found, p_values, holm(p_values), strict=True)
    ]


def kind(pair: Comparison, alone: Finding) -> str:
    """The kind of a pair's own verdict, or CORRECTED if nothing is left of it after the correction."""
    return CORRECTED if alone.kind != "not detected" and pair.holm_p >= ALPHA else alone.kind


def label(pair: Comparison, alone: Finding) -> str:
    """The same with its direction: "detected gain" is one of the run from which the other is subtracted."""
    found = kind(pair, alone)
    return found if found == CORRECTED else alone.label


def lines(runs: Group) -> tuple[str, list[dict[str, str]], list[str]]:
    """The title and the rows of a table of the comparisons, by COLUMNS, and sentences about what is not in it."""
    if len(runs) < 2:
        return "", [], []
    found = of(runs, LARGEST)
    notes = [f"Not paired, because {reason}: {', '.join(names)}." for reason, names in found.left_out.items()]
    if found.crowd or len(found.compared) > LISTED:
        where = f"use --format json{'' if found.crowd else ' or --out compare.html'}"
        notes.insert(0, f"{found.crowd or len(found.kept)} runs are too many to show all differences here; {where}.")
        return "", [], notes
    if any(isinstance(pair.difference, PairedDifference) for _, _, pair in found.compared):
        notes.insert(0, CHECKPOINTS)
    rows = []
    for later, earlier, pair in found.compared:
        d, alone = pair.difference, finding.of(pair.difference)
        flips = [str(d.gained), str(d.lost)] if isinstance(d, PairedDifference) else ["", ""]
        names = [runs[found.kept[at]].name for at in (later, earlier)]
        values = [*names, points_text(alone.difference), *flips, spell_p(pair.holm_p), label(pair, alone)]
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return f"Run minus run, on the same questions (p corrected for {plural(len(rows), 'comparison')})", rows, notes


def numbers(runs: Group) -> list[dict[str, Value]]:
    """The comparisons as plain values, as proportions; gained and lost are None over several training seeds."""
    found = of(runs)
    return [
        {
            "run": runs[found.kept[later]].name,
            "minus": runs[found.kept[earlier]].name,
            "value": pair.difference.estimate,
            "p": pair.p,
            "holm_p": pair.holm_p,
            "verdict": kind(pair, finding.of(pair.difference)),
        }
        | {name: getattr(pair.difference, name, None) for name in ("low", "high", "method", "gained", "lost", "n")}
        for later, earlier, pair in found.compared
    ]


def tuned_scores(path: Path, seeds: Sequence[int]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """The ids of the questions, sorted, and the accuracy on each: shape (n,), or (s, n) for several training seeds.

    With several samples their mean. Raises HarnessError if the evaluation of a seed is missing or cannot be read, or
    if the seeds were asked different questions.
    """
    ids, rows = set(), []
    for seed in seeds:
        answers = sorted(read_evaluation(path / "tuned" / f"seed-{seed}").scores, key=lambda score: score.id)
        rows.append(means(answers, [score.correct for score in answers]))
        ids.add(tuple(dict.fromkeys(score.id for score in answers)))
    if len(ids) != 1 or not len(rows[0]):
        raise HarnessError(f"{path}: its training seeds were not asked the same questions")
    return ids.pop(), np.array(rows if len(rows) > 1 else rows[0])
