"""The gain on each task, its difference from the first task's, and what may be said of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats import power, seeds
from harness.stats.intervals import ALPHA, NORMAL
from harness.stats.power import POWER
from harness.stats.transfer.variance import NOTHING, Part, clustered_se, half_width, quantile, touching

CLUSTERED = "t over clusters of questions (CR1)"
CLUSTERED_SEEDS = "t over clusters of questions (CR1) and t over training seeds (squares added)"
ONE_CLUSTER = "none: all questions are of one cluster"
UNKNOWN = 2.0  # the standard error of a gain whose variance is not known: an interval of it holds every gain
CARRIES, LESS, HURTS, UNDETECTED = "carries", "less here", "hurts", "undetected"


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
    whole: bool  # of a single training: as PairedDifference.whole

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
    questions in the same order. clusters: the cluster of each question; None: every question stands alone. Of a single
    cluster nothing is known about the variance among its like: the interval is all of [-1, 1]. ValueError as
    harness.stats.seeds.difference.
    """
    d = seeds.difference(base, tuned)
    several = isinstance(d, seeds.SeedsDifference)
    before, after = np.asarray(base, dtype=np.float64), np.asarray(tuned, dtype=np.float64)
    changes = (after.mean(axis=0) if several else after) - before
    first, second = (d.first, d.second) if several else (d.base, d.tuned)
    se, p = (d.se_question, d.p) if several else (d.se or 0.0, max(d.mid_p, d.exact_p))
    count = len(set(clusters)) if clusters is not None and d.n > 1 else None
    grouped = clusters if count and count > 1 else None
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
    elif count == 1:
        own, low, high, p, method = Part(UNKNOWN, None), -1.0, 1.0, 1.0, ONE_CLUSTER
    trained, half = _over_seeds(per_seed), (high - low) / 2
    if half > half_width((own, *trained)) + NOTHING:  # few questions changed: what they say is wider than they varied
        own = Part(math.sqrt(half**2 - half_width(trained) ** 2) / quantile(own.df), own.df)
    return Gain(
        base=first,
        tuned=second,
        value=d.estimate,
        low=max(-1.0, low),
        high=min(1.0, high),
        p=p,
        method=method,
        n=d.n,
        clusters=count,
        questions=own,
        per_seed=per_seed,
        moved=power.moved(d.n, d.estimate, se),
        whole=not several and d.whole,
    )


def against(first: Gain, other: Gain) -> GainDifference:
    """The other task's gain minus the first's. Both are of the same trainings."""
    value = other.value - first.value
    trained: tuple[Part, ...] = ()
    if first.per_seed and other.per_seed:
        trained = _over_seeds(tuple(b - a for a, b in zip(first.per_seed, other.per_seed, strict=True)))
    parts = (first.questions, other.questions, *trained)
    half = half_width(parts)
    return GainDifference(value, max(-2.0, value - half), min(2.0, value + half), touching(value, parts))


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
    and seeds: the half-width at that level plus 0.84 standard errors, at the variation of the interval; unknown for two
    seeds.
    """
    if found.per_seed is None and found.clusters is None:
        share = power.discordance_high(found.n, found.moved)
        return power.minimum_detectable_effect(found.n, share, alpha=ALPHA / tests, correction=1.0, whole=found.whole)
    if found.per_seed is not None and len(found.per_seed) < power.FEWEST:
        return None
    se = math.hypot(*(part.se for part in found.parts))
    effect = half_width(found.parts, ALPHA / tests / 2) + NORMAL.inv_cdf(POWER) * se
    return effect if NOTHING < effect <= 1 else None


def _over_seeds(per_seed: Sequence[float] | None) -> tuple[Part, ...]:
    if not per_seed:
        return ()
    values: NDArray[np.float64] = np.asarray(per_seed, dtype=np.float64)
    return (Part(float(np.std(values, ddof=1)) / math.sqrt(len(values)), len(values) - 1),)
