"""Several runs on the same questions: every run against every other, with p-values corrected for their number.

Runs that share a base also share its answers, which cancel in tuned2 - tuned1: the difference of two runs is an
ordinary paired difference. Checking whether their intervals overlap, or adding their standard errors, ignores that.

Source: Holm 1979.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from harness.stats import seeds
from harness.stats.paired import PairedDifference
from harness.stats.seeds import SeedsDifference


@dataclass(frozen=True, slots=True)
class Comparison:
    """One run minus another over the same questions."""

    first: str
    second: str
    difference: PairedDifference | SeedsDifference  # second minus first
    p: float  # two-sided: mid-p (McNemar's, or of sign flips with several samples), or SeedsDifference.p
    holm_p: float  # the same, corrected for all comparisons made together


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


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected so that any false finding has at most the level's probability, whatever their dependence."""
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not np.all((p >= 0) & (p <= 1)):
        raise ValueError("p-values must lie in [0, 1]")
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return [float(value) for value in corrected]
