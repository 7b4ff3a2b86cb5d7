"""Several training seeds: one difference whose interval covers the variation of both questions and seeds.

The estimate is the mean over the seeds of tuned - base. Its variance is the sum of two parts: how much the
seed-averaged difference varies between questions, and how much the mean differences vary between seeds. Seeds share
their questions, so what makes a question easy for all of them is in the first part only; what one seed happens to do
to one question is in both. If seeds hardly differ, that widens the interval (it covers 96 to 97%). If they do differ,
counting it once would undercover, because few seeds give a rough variance (3 seeds, SD 2.2 points: 91.9%, and 93.9%
with this rule, 1,500 simulations). Two seeds are too few: 91 to 92%. The other figures are in
`python -m harness.bench coverage`.

If few questions change, normal theory does not account for those that happened not to. Then the interval is no
narrower, and the p no smaller, than those of the question means as one pair under the rules for few changes.

Sources: Satterthwaite 1946 (degrees of freedom), Miller 2024, arXiv 2411.00640 (components of variance).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats import intervals, paired, rates
from harness.stats.intervals import LEVEL
from harness.stats.paired import PairedDifference
from harness.stats.paired_tests import TIE
from harness.stats.rates import Mean

SATTERTHWAITE = "t over questions and training seeds (Satterthwaite)"
FEW = {
    intervals.TANGO,
    intervals.WITH_TWO_MORE,
    intervals.RULE_OF_THREE,
    paired.SEEDED_WITH_TWO_MORE,
}  # rules for few changes


@dataclass(frozen=True, slots=True)
class SeedsDifference:
    """Second minus first over the same questions, averaged over training seeds, as proportions."""

    first: float
    second: float
    estimate: float
    low: float  # 95% interval, within [-1, 1]
    high: float
    method: str  # SATTERTHWAITE, joined with or replaced by that of the question means
    p: float  # two-sided, of the same t, or the exact p of the question means if few changed and that is larger
    df: float | None  # None if nothing varies
    se: float  # sqrt(se_question² + se_seed²); 0 does not mean certainty
    se_question: float
    se_seed: float
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
    t = _student(estimate, d, [side for side in sides if len(side) > 1])
    few = _few(*means)
    low, high, method, p = (t.low, t.high, SATTERTHWAITE, t.p) if t else (few.low, few.high, few.method, few.mid_p)
    if t and few:
        low, high, p = min(low, few.low), max(high, few.high), max(p, few.exact_p)
        method = f"{SATTERTHWAITE} (no narrower than {few.method})"
    return SeedsDifference(
        first=float(means[0].mean()),
        second=float(means[1].mean()),
        estimate=estimate,
        low=max(-1.0, low),
        high=min(1.0, high),
        method=method,
        p=p,
        df=t.df if t else None,
        se=t.se if t else 0.0,
        se_question=t.se_question if t else 0.0,
        se_seed=t.se_seed if t else 0.0,
        per_seed=tuple(float(value) for value in (sides[1] - means[0]).mean(axis=1)),
        n=n,
        means=few,
    )


def _few(first: NDArray[np.float64], second: NDArray[np.float64]) -> PairedDifference | None:
    """The question means as one pair if a rule for few changes applies to them (also if nothing varies), else None."""
    d = second - first
    gained, lost = int((d > TIE).sum()), int((d < -TIE).sum())
    if not intervals.few_flips(gained, lost):  # few_changes, with its lower limits, is then false too
        return None
    pair = paired.paired(first, second)
    return pair if pair.method in FEW else None


def mean(scores: ArrayLike) -> Mean:
    """The mean over training seeds of scores in [0, 1], shape (s, n), such as a rate: t as in `over_seeds`.

    No narrower than `rates.mean` of the question means if few of them are right or few are wrong. ValueError as for
    `over_seeds`, and for negative scores.
    """
    rows = _seeds("scores", scores)
    if len(rows) < 2 or rows.shape[1] < 2:
        raise ValueError(f"need at least 2 training seeds and 2 questions, got shape {rows.shape}")
    each = rows.mean(axis=0)
    own = rates.mean(each)
    t = _student(own.value, each, [rows])
    if t is None:
        return own
    low, high, method = t.low, t.high, SATTERTHWAITE
    if rates.near_an_end(own.value, own.n):
        low, high, method = min(low, own.low), max(high, own.high), f"{SATTERTHWAITE} (no narrower than {own.method})"
    return Mean(own.value, max(0.0, low), min(1.0, high), method, own.n, t.se)


@dataclass(frozen=True, slots=True)
class _Student:
    low: float
    high: float
    p: float
    df: float
    se: float
    se_question: float
    se_seed: float


def _student(estimate: float, questions: NDArray[np.float64], seeded: list[NDArray[np.float64]]) -> _Student | None:
    """The t interval of an estimate from one value per question (n,) and the seeded sides (s, n); None: all equal."""
    n = len(questions)
    parts = [(float(np.var(questions, ddof=1)) / n, n - 1)]
    parts += [(float(np.var(side.mean(axis=1), ddof=1)) / len(side), len(side) - 1) for side in seeded]
    variance = sum(v for v, _ in parts)
    if variance < 1e-24:  # only rounding
        return None
    df, se = variance**2 / sum(v**2 / freedom for v, freedom in parts), math.sqrt(variance)
    from scipy.special import stdtr, stdtrit  # Student's t: its distribution function and quantiles

    half = float(stdtrit(df, (1 + LEVEL) / 2)) * se
    p = 2 * float(stdtr(df, -abs(estimate) / se))
    by_seed = sum(v for v, _ in parts[1:])
    return _Student(estimate - half, estimate + half, p, df, se, math.sqrt(parts[0][0]), math.sqrt(by_seed))


def _seeds(name: str, scores: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    rows = values if values.ndim == 2 else values[None]
    if rows.ndim != 2 or not len(rows):
        raise ValueError(f"{name}: need one score a question, or one row of them a seed; got shape {values.shape}")
    return np.stack([intervals.column(name, row) for row in rows])
