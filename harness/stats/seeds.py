"""Several training seeds: one difference whose interval covers the variation of both questions and seeds.

The estimate is the mean over the seeds of tuned - base. Its variance has two parts: how much the seed-averaged
difference varies between questions, and how much the mean differences vary between seeds. Each has its own quantile:

    half-width² = (z·SE_question)² + (t·SE_seed)²

z is the normal quantile, t that of S - 1 degrees of freedom for S seeds. SE_question is the standard error of the
seed-averaged differences of the questions, SE_seed the standard deviation of the seeds' mean differences over sqrt(S).
If both sides have seeds, each adds its own t term. p is the level at which this interval touches 0.

Seeds share their questions, so what makes a question easy for all of them is in the first part only; what one seed
happens to do to one question is in both, which is conservative.

`python -m harness.bench coverage` measures what it covers: 95 to 99% with 2, 3 and 5 seeds if SE_seed is 0.3 to 5 times
SE_question (Satterthwaite's t on the sum: 87 to 96%), and with few flips and a standard deviation of 1 to 3 points of
the trainings (86 to 95%). It is most conservative with 2 seeds at a ratio of 0.3 to 1 (98.6%), and if
both sides have seeds (95.5 to 99.6%).

If few questions change, normal theory does not account for those that happened not to. Then the interval is no
narrower, and the p no smaller, than those of the question means as one pair under the rules for few changes.

Sources: Miller 2024, arXiv 2411.00640 (components of variance), Howe 1974 (limits for the mean of a sum: squares added,
each part with its own quantile).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats import intervals, paired, rates
from harness.stats.intervals import LEVEL, NORMAL
from harness.stats.paired import PairedDifference
from harness.stats.paired_tests import TIE
from harness.stats.rates import Mean

OVER_SEEDS = "z over questions and t over training seeds (squares added)"
CLOSE = 1e-13  # relative, at which a bisection ends
FARTHEST = 37.0  # standard errors from which p is below 1e-299 and counts as that
FEW = {
    intervals.TANGO,
    intervals.WITH_TWO_MORE,
    intervals.RULE_OF_THREE,
    paired.SEEDED_WITH_TWO_MORE,
}  # rules for few changes


class Trainings(NamedTuple):
    """The training seeds of one side, as far as its mean depends on them."""

    se: float  # standard error of the mean over them: their standard deviation / sqrt(count)
    count: int


@dataclass(frozen=True, slots=True)
class SeedsDifference:
    """Second minus first over the same questions, averaged over training seeds, as proportions."""

    first: float
    second: float
    estimate: float
    low: float  # 95% interval, within [-1, 1]
    high: float
    method: str  # OVER_SEEDS, joined with or replaced by that of the question means
    p: float  # two-sided, of the same formula, or the exact p of the question means if few changed and that is larger
    se: float  # sqrt(se_question² + se_seed²); 0 does not mean certainty
    se_question: float
    se_seed: float
    trainings: tuple[Trainings, ...]  # of each side that has seeds; their squared se add up to se_seed²
    per_seed: tuple[float, ...]  # the difference of each seed of `second` from the mean of `first`
    n: int  # questions
    means: PairedDifference | None  # of the question means, if few of them changed and its limits apply too


def difference(first: ArrayLike, second: ArrayLike) -> PairedDifference | SeedsDifference:
    """Second minus first: `over_seeds` if either has a row for each seed, else `paired.paired`."""
    if np.ndim(first) == 2 or np.ndim(second) == 2:
        return over_seeds(first, second)
    return paired.paired(first, second)


def over_seeds(first: ArrayLike, second: ArrayLike) -> SeedsDifference:
    """The difference of two models, one or both of them trained several times.

    first: shape (n,), the base model that all seeds share, or (s, n), another experiment's seeds, when the shared base
    cancels and is not needed. second: shape (s, n). Same questions in the same order, one score in [-1, 1] each. Seeds
    of two experiments are taken as independent. ValueError for any other input, for fewer than 2 questions, and for a
    single seed, which says nothing about variation from retraining.
    """
    sides = [_seeds("first", first), _seeds("second", second)]
    if len(sides[1]) < 2 or (np.ndim(first) == 2 and len(sides[0]) < 2):
        raise ValueError("one training seed says nothing about variation from retraining: need at least 2")
    n = sides[0].shape[1]
    if sides[1].shape[1] != n or n < 2:
        raise ValueError(f"need the same questions, at least 2; got {n} and {sides[1].shape[1]}")
    means = [side.mean(axis=0) for side in sides]
    d = means[1] - means[0]
    estimate = math.fsum(d) / n
    parts = _components(d, [side for side in sides if len(side) > 1])
    few = _few(*means)
    if parts:
        half = parts.half_width()
        low, high, method, p = estimate - half, estimate + half, OVER_SEEDS, parts.p(estimate)
    else:
        low, high, method, p = few.low, few.high, few.method, few.exact_p
    if parts and few:
        low, high, p = min(low, few.low), max(high, few.high), max(p, few.exact_p)
        method = f"{OVER_SEEDS} (no narrower than {few.method})"
    return SeedsDifference(
        first=float(means[0].mean()),
        second=float(means[1].mean()),
        estimate=estimate,
        low=max(-1.0, low),
        high=min(1.0, high),
        method=method,
        p=p,
        se=parts.se if parts else 0.0,
        se_question=parts.se_question if parts else 0.0,
        se_seed=parts.se_seed if parts else 0.0,
        trainings=parts.trainings if parts else (),
        per_seed=tuple(float(value) for value in (sides[1] - means[0]).mean(axis=1)),
        n=n,
        means=few,
    )


def by_seed(first: ArrayLike, second: ArrayLike) -> PairedDifference | SeedsDifference:
    """Second minus first of two models that were trained with the same seeds, such as a training and its control.

    first, second: shape (n,), or (s, n) with a row for each seed, in the same order. What a seed does to both cancels:
    the trainings' part of the variance is that of their differences, with S - 1 degrees of freedom. Same questions, one
    score in [0, 1] each. ValueError as for `over_seeds` and for other shapes.
    """
    one, other = (np.asarray(scores, dtype=np.float64) for scores in (first, second))
    if one.shape != other.shape:
        raise ValueError(f"need the same seeds and questions, got shapes {one.shape} and {other.shape}")
    if one.ndim == 1:
        return paired.paired(one, other)
    found = over_seeds(np.zeros(one.shape[1]), other - one)
    return dataclasses.replace(found, first=float(one.mean()), second=float(other.mean()))


def _few(first: NDArray[np.float64], second: NDArray[np.float64]) -> PairedDifference | None:
    """The question means as one pair if a rule for few changes applies to them (also if nothing varies), else None."""
    d = second - first
    gained, lost = int((d > TIE).sum()), int((d < -TIE).sum())
    if not intervals.few_flips(gained, lost):  # few_changes, with its lower limits, is then false too
        return None
    pair = paired.paired(first, second)
    return pair if pair.method in FEW else None


def mean(scores: ArrayLike) -> Mean:
    """The mean over training seeds of scores in [0, 1], shape (s, n), such as a rate, as in `over_seeds`.

    No narrower than `rates.mean` of the question means if few of them are right or few are wrong. ValueError as for
    `over_seeds`, and for negative scores.
    """
    rows = _seeds("scores", scores)
    if len(rows) < 2 or rows.shape[1] < 2:
        raise ValueError(f"need at least 2 training seeds and 2 questions, got shape {rows.shape}")
    each = rows.mean(axis=0)
    own = rates.mean(each)
    parts = _components(each, [rows])
    if parts is None:
        return own
    half = parts.half_width()
    low, high, method = own.value - half, own.value + half, OVER_SEEDS
    if rates.near_an_end(own.value, own.n):
        low, high, method = min(low, own.low), max(high, own.high), f"{OVER_SEEDS} (no narrower than {own.method})"
    return Mean(own.value, max(0.0, low), min(1.0, high), method, own.n, parts.se)


@dataclass(frozen=True, slots=True)
class Components:
    """The standard errors of an estimate over training seeds, by where they come from."""

    se_question: float
    trainings: tuple[Trainings, ...]

    @property
    def se_seed(self) -> float:
        return math.hypot(*(side.se for side in self.trainings))

    @property
    def se(self) -> float:
        return math.hypot(self.se_question, self.se_seed)

    def half_width(self, z: float = NORMAL.inv_cdf((1 + LEVEL) / 2)) -> float:
        """Half the width of the interval whose level is that of ± z standard deviations of a normal distribution."""
        from scipy.special import ndtr  # the normal distribution function

        tail, half = float(ndtr(-z)), z * self.se_question
        for side in self.trainings:
            if side.se:  # else 0 times a quantile that may be infinite
                half = math.hypot(half, quantile(side.count, tail) * side.se)
        return half

    def p(self, estimate: float) -> float:
        """Two-sided: 1 - the level at which the interval around the estimate touches 0, by bisection.

        The half-width grows with the level, and is z·se or more since a quantile of t is at least the normal one: the
        root lies in [0, |estimate| / se].
        """
        from scipy.special import ndtr

        target, low, high = abs(estimate), 0.0, min(abs(estimate) / self.se, FARTHEST)
        while high - low > CLOSE * high:
            middle = (low + high) / 2
            low, high = (middle, high) if self.half_width(middle) < target else (low, middle)
        return 2 * float(ndtr(-high))


def quantile(count: int, tail: float = (1 - LEVEL) / 2) -> float:
    """What Student's t of count - 1 degrees of freedom, for so many seeds, exceeds with the chance `tail`."""
    from scipy.special import stdtrit

    return -float(stdtrit(count - 1, tail))


def _components(questions: NDArray[np.float64], seeded: list[NDArray[np.float64]]) -> Components | None:
    """From one value per question (n,) and the seeded sides (s, n); None: nothing varies."""
    sides = tuple(Trainings(_standard_error(side.mean(axis=1)), len(side)) for side in seeded)
    found = Components(_standard_error(questions), sides)
    return found if found.se > 1e-12 else None  # else only rounding


def _standard_error(values: NDArray[np.float64]) -> float:
    return float(np.std(values, ddof=1)) / math.sqrt(len(values))


def _seeds(name: str, scores: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    rows = values if values.ndim == 2 else values[None]
    if rows.ndim != 2 or not len(rows):
        raise ValueError(f"{name}: need one score a question, or one row of them a seed; got shape {values.shape}")
    return np.stack([intervals.column(name, row) for row in rows])
