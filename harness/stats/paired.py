"""Differences of two models on the same questions, with interval and tests."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats import paired_tests
from harness.stats.intervals import (
    BOOTSTRAP,
    RULE_OF_THREE,
    TANGO,
    WITH_TWO_MORE,
    Interval,
    OffLattice,
    column,
    exact_bootstrap,
    few_changes,
    few_flips,
    lattice,
    rule_of_three,
    seeded_bootstrap,
    tango,
    with_two_more,
)
from harness.stats.paired_tests import RESAMPLES, SEED, TIE, FlipTest

SEEDED_PAIRED = f"paired bootstrap ({RESAMPLES:,} resamples, seed {SEED})"
SEEDED_WITH_TWO_MORE = (
    f"paired bootstrap with one question gained and one lost added ({RESAMPLES:,} resamples, seed {SEED})"
)


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Tuned minus base on the same questions, as proportions."""

    base: float  # mean of the base scores
    tuned: float
    estimate: float  # tuned - base
    low: float  # 95% interval of the difference
    high: float
    method: str  # how the interval was made: BOOTSTRAP, TANGO, WITH_TWO_MORE or RULE_OF_THREE
    gained: int  # questions whose score rose (for right/wrong: wrong -> right)
    lost: int  # questions whose score fell
    whole: bool  # every change is one from wrong to right or back, as with one sample a question
    n: int
    mid_p: float  # McNemar's; with K samples per question, the sign-flip test's (harness.stats.paired_tests)
    exact_p: float
    se: float | None  # paired standard error, n - 1 in the variance; None for n = 1; 0 does not mean certainty
    correlation: float | None  # of base and tuned over questions; None if either is constant


def paired(base: ArrayLike, tuned: ArrayLike) -> PairedDifference:
    """`paired_difference`, also for scores off the lattice, for which bootstrap and sign flips are seeded draws.

    base, tuned: shape (n,), the same questions in the same order, one value each. ValueError as there.
    """
    try:
        return paired_difference(base, tuned)
    except OffLattice:
        before, after = _columns(base, tuned)
    d = after - before
    d[np.abs(d) < TIE] = 0
    return _difference(before, after, d, 1, _seeded(before, after, d))


def paired_difference(base: ArrayLike, tuned: ArrayLike) -> PairedDifference:
    """Tuned minus base with its 95% interval and tests.

    base, tuned: shape (n,), the same questions in the same order, one value each: 0/1 or bool, a mean of K
    samples, or a difference such as strict - correct in {-1, 0}. Interval: exact percentile bootstrap of the
    differences. With few changes it is too short: then Tango's if all are -1, 0 or 1 (gained + lost < 25, or the
    smaller < 5); else the bootstrap with two more questions (gained + lost < 10, or one of them 0); the rule of three's
    if all differences are one other value. ValueError for any other input.
    """
    denominator, (x, y) = lattice(*_columns(base, tuned))
    d = y - x
    return _difference(x, y, d, denominator, _exact(x, y, d, denominator))


class _Found(NamedTuple):
    """The results that are computed differently for scores on and off a lattice."""

    interval: Interval
    method: str
    test: FlipTest
    whole: bool
    se: float | None
    correlation: float | None


def _difference(x: NDArray, y: NDArray, d: NDArray, denominator: int, found: _Found) -> PairedDifference:
    """The record of the scores x and y and their differences d (all in units of 1 / denominator) with the results."""
    n, (gained, lost) = len(d), _changes(d)
    base, tuned, estimate = (math.fsum(values) / (n * denominator) for values in (x, y, d))  # exact for integers
    return PairedDifference(
        base=base,
        tuned=tuned,
        estimate=estimate,
        low=found.interval.low,
        high=found.interval.high,
        method=found.method,
        gained=gained,
        lost=lost,
        whole=found.whole,
        n=n,
        mid_p=found.test.mid_p,
        exact_p=found.test.exact,
        se=found.se,
        correlation=found.correlation,
    )


def _exact(x: NDArray[np.int64], y: NDArray[np.int64], d: NDArray[np.int64], denominator: int) -> _Found:
    n, (gained, lost) = len(d), _changes(d)
    scale, whole = n * denominator, bool(np.all(d % denominator == 0))
    if few_flips(gained, lost) and whole:
        interval, method = tango(gained, lost, n), TANGO
    elif np.all(d == d[0]):
        interval, method = rule_of_three(int(d.sum()) / scale, n, floor=-1.0), RULE_OF_THREE
    elif few_changes(gained, lost):
        interval, method = with_two_more(d, denominator), WITH_TWO_MORE
    else:
        interval, method = exact_bootstrap(d, denominator), BOOTSTRAP
    xx, yy, xy, dd = (_spread(*pair) for pair in ((x, x), (y, y), (x, y), (d, d)))
    return _Found(
        interval,
        method,
        test=paired_tests.sign_flip(d),
        whole=whole,
        se=math.sqrt(dd / (n - 1)) / scale if n > 1 else None,
        correlation=max(-1.0, min(1.0, xy / math.sqrt(xx * yy))) if xx and yy else None,
    )


def _seeded(before: NDArray[np.float64], after: NDArray[np.float64], d: NDArray[np.float64]) -> _Found:
    n, (gained, lost), estimate = len(d), _changes(d), math.fsum(d) / len(d)
    if not gained + lost:
        interval, method = tango(0, 0, n), TANGO
    elif np.ptp(d) < TIE:
        interval, method = rule_of_three(estimate, n, floor=-1.0), RULE_OF_THREE
    elif few_changes(gained, lost):
        wider = seeded_bootstrap(np.append(d, [1.0, -1.0]))
        interval = Interval(min(wider.low, estimate), max(wider.high, estimate))
        method = SEEDED_WITH_TWO_MORE
    else:
        interval, method = seeded_bootstrap(d), SEEDED_PAIRED
    varies = np.ptp(before) > 0 and np.ptp(after) > 0
    return _Found(
        interval,
        method,
        test=paired_tests.seeded_sign_flip(d),
        whole=bool(np.all(np.abs(d - np.rint(d)) < TIE)),
        se=float(np.std(d, ddof=1)) / math.sqrt(n) if n > 1 else None,
        correlation=float(np.clip(np.corrcoef(before, after)[0, 1], -1, 1)) if varies else None,
    )


def _columns(base: ArrayLike, tuned: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    before, after = column("base", base), column("tuned", tuned)
    if len(before) != len(after):
        raise ValueError(f"base has {len(before)} questions, tuned has {len(after)}: they must be the same")
    if np.abs(after - before).max() > 1 + TIE:
        raise ValueError("tuned - base: a question's difference must lie in [-1, 1]")
    return before, after


def _changes(d: NDArray) -> tuple[int, int]:
    """How many questions gained and how many lost."""
    return int((d > 0).sum()), int((d < 0).sum())


def _spread(x: NDArray[np.int64], y: NDArray[np.int64]) -> int:
    """n² times the (population) covariance of two integer columns, exactly."""
    return len(x) * int(x @ y) - int(x.sum()) * int(y.sum())
