"""How far a gain carries: the gain on each of several tasks, and against that on the first, with intervals and tests.

A gain is the mean over a task's questions of tuned minus base. Where questions were made from one template or seed
question they are a cluster, and so not independent: the standard error is then from the clusters' sums (CR1), and the
quantile is t's with one less degree of freedom than clusters,

    SE² = G/(G - 1) · Σ_g (Σ_{i in g} (d_i - mean))² / n².

With one question a cluster that is the usual standard error. Otherwise interval and p of a gain are those of
harness.stats.paired, and never narrower where few questions changed. Several training seeds: the parts of the variance
are added with their own quantiles, as in harness.stats.seeds, the questions' being t's of the clusters.

The difference of two gains: the questions of two tasks are taken as independent, their trainings are the same, so that
its variance has three parts: questions here, questions there, and the seeds' differences of the two gains. Its interval
adds the squares of the parts, each with its own quantile; p is the level at which that interval touches 0. Where a rule
for few changes made a gain's interval wider, its standard error counts as what that width stands for.

Holm's correction is over the tasks after the first, once for their gains and once for their differences from the first.

Sources: Liang and Zeger 1986 and Cameron and Miller 2015 (CR1), Miller 2024, arXiv 2411.00640 (clustered questions),
Howe 1974 (squares added), Holm 1979.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats import power, seeds
from harness.stats.intervals import ALPHA, NORMAL
from harness.stats.power import POWER

CLUSTERED = "t over clusters of questions (CR1)"
CLUSTERED_SEEDS = "t over clusters of questions (CR1) and t over training seeds (squares added)"
CARRIES, LESS, HURTS, UNDETECTED = "carries", "less here", "hurts", "undetected"
NOTHING = 1e-12  # a standard error nearer to 0 is rounding


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an estimate's variance."""

    se: float
    df: int | None  # degrees of freedom of its quantile; None: normal


@dataclass(frozen=True, slots=True)
class Gain:
    """Tuned minus base on one task, as proportions."""

    base: float
    tuned: float
    value: float
    low: float  # 95% interval, within [-1, 1]
    high: float
    p: float  # two-sided, uncorrected
    method: str  # of the interval
    n: int  # questions
    clusters: int | None  # None: every question stands alone
    questions: Part  # what the questions contribute to the variance
    per_seed: tuple[float, ...] | None  # the gain of each training seed, if there are several
    moved: float  # the sum of the questions' squared changes

    @property
    def parts(self) -> tuple[Part, ...]:
        return (self.questions, *_over_seeds(self.per_seed))


@dataclass(frozen=True, slots=True)
class GainDifference:
    """A task's gain minus the first task's, as proportions."""

    value: float
    low: float
    high: float
    p: float  # two-sided, uncorrected


def gain(base: ArrayLike, tuned: ArrayLike, clusters: Sequence[str] | None = None) -> Gain:
    """The gain on one task with its interval and p.

    base: shape (n,); tuned: shape (n,), or (s, n) for several training seeds: one score in [0, 1] a question, the same
    questions in the same order. clusters: the cluster of each question; None, or fewer than two of them: none.
    ValueError as harness.stats.seeds.difference.
    """
    d = seeds.difference(base, tuned)
    several = isinstance(d, seeds.SeedsDifference)
    before, after = np.asarray(base, dtype=np.float64), np.asarray(tuned, dtype=np.float64)
    changes = (after.mean(axis=0) if several else after) - before
    first, second = (d.first, d.second) if several else (d.base, d.tuned)
    se, p = (d.se_question, d.p) if several else (d.se or 0.0, d.mid_p)
    grouped = clusters if clusters is not None and len(set(clusters)) > 1 else None
    own = Part(se, None) if grouped is None else Part(clustered_se(changes, grouped), len(set(grouped)) - 1)
    low, high, method = d.low, d.high, d.method
    per_seed = d.per_seed if several else None
    if grouped is not None:
        parts = (own, *_over_seeds(per_seed))
        half, few = half_width(parts), d.means if several else (d if d.method in seeds.FEW else None)
        low, high, method = d.estimate - half, d.estimate + half, CLUSTERED_SEEDS if several else CLUSTERED
        p = touching(d.estimate, parts)
        if few:
            low, high, p = min(low, few.low), max(high, few.high), max(p, few.exact_p)
            method = f"{method} (no narrower than {few.method})"
    seen = half_width((own,))
    if (widened := (high - low) / 2) > seen and (grouped is None or "no narrower" in method) and not several:
        own = Part(widened / quantile(own.df), own.df)
    return Gain(
        base=first,
        tuned=second,
        value=d.estimate,
        low=max(-1.0, low),
        high=min(1.0, high),
        p=p,
        method=method,
        n=d.n,
        clusters=None if grouped is None else len(set(grouped)),
        questions=own,
        per_seed=per_seed,
        moved=power.moved(d.n, d.estimate, se),
    )


def clustered_se(values: ArrayLike, clusters: Sequence[str]) -> float:
    """The CR1 standard error of the mean of values, shape (n,), whose clusters are given in the same order.

    ValueError unless there are at least two clusters and a value for each entry.
    """
    d = np.asarray(values, dtype=np.float64)
    names, place = np.unique(np.asarray(clusters), return_inverse=True)
    if len(place) != len(d) or len(names) < 2:
        raise ValueError(f"need a cluster for each of {len(d)} values and at least 2, got {len(place)}, {len(names)}")
    sums = np.bincount(place, weights=d - d.mean())
    return math.sqrt(len(names) / (len(names) - 1) * float(sums @ sums)) / len(d)


def against(first: Gain, other: Gain) -> GainDifference:
    """The other task's gain minus the first's. Both are of the same trainings."""
    value = other.value - first.value
    trained: tuple[Part, ...] = ()
    if first.per_seed and other.per_seed:
        trained = _over_seeds(tuple(b - a for a, b in zip(first.per_seed, other.per_seed, strict=True)))
    parts = (first.questions, other.questions, *trained)
    half = half_width(parts)
    return GainDifference(value, max(-2.0, value - half), min(2.0, value + half), touching(value, parts))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (1979), in the order given: each is the level at which its test is still significant."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    stepped = accumulate((min(1.0, (len(p) - rank) * p[i]) for rank, i in enumerate(order)), max)
    adjusted = dict(zip(order, stepped, strict=True))
    return [adjusted[i] for i in range(len(p))]


def verdict(own: Gain, own_p: float, other: GainDifference, other_p: float) -> str:
    """What may be said of a task; own_p and other_p: corrected. A claim needs both the interval and the corrected p.

    HURTS: its gain is below 0; CARRIES: above 0; LESS: its gain is below the first task's, also in addition to CARRIES.
    """
    detected = own_p < ALPHA and (own.low > 0 or own.high < 0)
    if detected and own.value < 0:
        return HURTS
    less = other_p < ALPHA and other.high < 0
    if detected:
        return f"{CARRIES}, but {LESS}" if less else CARRIES
    return LESS if less else UNDETECTED


def detectable(found: Gain, tests: int) -> float | None:
    """The smallest gain that this design detects with 80% power as one of so many tests; None: none, or not known.

    Tested at .05 / tests, which is what Holm asks of the smallest p. Single questions: as harness.stats.power. Clusters
    and seeds: the half-width at that level plus 0.84 standard errors, at the observed variation; unknown for two seeds.
    """
    if found.per_seed is None and found.clusters is None:
        share = power.discordance_high(found.n, found.moved)
        whole = abs(found.moved - round(found.moved)) < 1e-6
        return power.minimum_detectable_effect(found.n, share, alpha=ALPHA / tests, correction=1.0, whole=whole)
    if found.per_seed is not None and len(found.per_seed) < power.FEWEST:
        return None
    se = math.hypot(*(part.se for part in found.parts))
    effect = half_width(found.parts, ALPHA / tests / 2) + NORMAL.inv_cdf(POWER) * se
    return effect if NOTHING < effect <= 1 else None


def quantile(df: int | None, tail: float = ALPHA / 2) -> float:
    """What Student's t, or without df the normal distribution, exceeds with the chance `tail`."""
    if df is None:
        return -NORMAL.inv_cdf(tail)
    from scipy.special import stdtrit  # not at the top: its import takes most of a second

    return -float(stdtrit(df, tail))


def half_width(parts: Sequence[Part], tail: float = ALPHA / 2) -> float:
    """Half the interval with this chance on either side: the parts' squares added, each with its own quantile."""
    return math.hypot(*(quantile(part.df, tail) * part.se for part in parts if part.se > NOTHING))


def touching(value: float, parts: Sequence[Part]) -> float:
    """Two-sided p: 1 - the level at which the interval around the value touches 0, by bisection; 1 if none varies."""
    if not any(part.se > NOTHING for part in parts):
        return 1.0
    low, high = -700.0, math.log(0.5)  # of the tail's logarithm: narrow intervals have large tails
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if half_width(parts, math.exp(middle)) > abs(value) else (low, middle)
    return min(1.0, 2 * math.exp(high))


def _over_seeds(per_seed: Sequence[float] | None) -> tuple[Part, ...]:
    if not per_seed:
        return ()
    values: NDArray[np.float64] = np.asarray(per_seed, dtype=np.float64)
    return (Part(float(np.std(values, ddof=1)) / math.sqrt(len(values)), len(values) - 1),)
