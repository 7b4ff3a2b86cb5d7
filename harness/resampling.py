"""What needs more than `stats`: means of scores, scores on no small lattice, and the parts of a difference.

Bootstraps here resample questions as multinomial counts of the distinct rows, seeded, and say so in their method;
where the scores lie on a lattice of m/K the exact bootstrap of `stats` is used instead. Quantiles are inverse-CDF
as there. No interval has zero width: where all questions agree it is Wilson's, Tango's or the rule of three's.

Sources: Efron 1979 (bootstrap), Miller 2024, arXiv 2411.00640 (clustered standard error).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness import flips, stats
from harness.flips import CHUNK, RESAMPLES, SEED, TIE
from harness.stats import LEVEL, RULE_OF_THREE, Interval, OffLattice, PairedDifference

EXACT_MEAN = "bootstrap of question means (exact percentile)"
SEEDED_MEAN = f"bootstrap of question means ({RESAMPLES:,} resamples, seed {SEED})"
MORE = "with one question all wrong and one all right added"
EXACT_MEAN_OF_MORE = f"bootstrap of question means {MORE} (exact percentile)"
SEEDED_MEAN_OF_MORE = f"bootstrap of question means {MORE} ({RESAMPLES:,} resamples, seed {SEED})"
SEEDED_PAIRED = f"paired bootstrap ({RESAMPLES:,} resamples, seed {SEED})"
SEEDED_WITH_TWO_MORE = (
    f"paired bootstrap with one question gained and one lost added ({RESAMPLES:,} resamples, seed {SEED})"
)


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of one score a question, with its 95% interval, as proportions."""

    value: float
    low: float
    high: float
    method: str  # WILSON, EXACT_MEAN, SEEDED_MEAN, either OF_MORE, or RULE_OF_THREE
    n: int
    se: float | None  # of the question means, n - 1 in the variance; None for n = 1; 0 is no certainty


@dataclass(frozen=True, slots=True, eq=False)
class Flags:
    """One run's answers: three arrays of shape (n,), same question order, 0/1 or means of K samples."""

    correct: ArrayLike
    strict: ArrayLike  # correct and in the exact format
    exact_format: ArrayLike


@dataclass(frozen=True, slots=True)
class Decomposition:
    """strict = mathematics + format: exact in counts, where gained - lost adds up as integers."""

    strict: PairedDifference  # difference of strict accuracy
    mathematics: PairedDifference  # difference of (lenient) accuracy
    format: PairedDifference  # difference of (strict - accuracy), each side <= 0: what the format costs
    both_comply: int  # questions that both runs answered in the exact format, every sample of them
    where_both_comply: PairedDifference | None  # difference of accuracy on those; None if there are none


def mean(scores: ArrayLike) -> Mean:
    """The mean of scores in [0, 1], shape (n,), such as pass@k; a rate where all are 0 or 1. ValueError for others.

    Near 0 and 1 (`near_an_end`) the bootstrap misses the questions that happened not to be drawn, and one of each kind
    is added: with 8 samples, 1% of 100 questions never right and
    the others in 99.5% it covers 98.5% instead of 70% (2,000 simulations; more in `harness.bench coverage`).
    """
    values = stats.column("scores", scores)
    if values.min() < 0:
        raise ValueError("scores: need values in [0, 1]")
    n, value = len(values), math.fsum(values) / len(values)
    if np.all((values == 0) | (values == 1)):
        interval, method = stats.wilson(int(values.sum()), n), stats.WILSON
    elif np.all(values == values[0]):
        interval, method = stats.rule_of_three(value, n, floor=0.0), RULE_OF_THREE
    else:
        few = near_an_end(value, n)
        rows = np.append(values, [0.0, 1.0]) if few else values
        try:
            interval, method = stats.bootstrap_mean(rows), EXACT_MEAN_OF_MORE if few else EXACT_MEAN
        except OffLattice:
            interval = _percentile(_resampled_sums(rows)[:, 0] / len(rows))
            method = SEEDED_MEAN_OF_MORE if few else SEEDED_MEAN
        interval = Interval(min(interval.low, value), max(interval.high, value))
    se = float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else None
    return Mean(value, interval.low, interval.high, method, n, se)


def near_an_end(value: float, n: int) -> bool:
    """Whether the rarer outcome of a rate adds up to less than FEW_CHANGES of its n questions."""
    return n * min(value, 1 - value) < stats.FEW_CHANGES


def paired(base: ArrayLike, tuned: ArrayLike) -> PairedDifference:
    """`stats.paired_difference`, also for scores on no small lattice: bootstrap and sign flips are seeded there.

    base, tuned: shape (n,), the same questions in the same order, one value each. ValueError as there.
    """
    try:
        return stats.paired_difference(base, tuned)
    except OffLattice:
        before, after = stats.column("base", base), stats.column("tuned", tuned)
    d, n = after - before, len(before)
    d[np.abs(d) < TIE] = 0
    if np.abs(d).max() > 1 + TIE:
        raise ValueError("tuned - base: a question's difference must lie in [-1, 1]")
    gained, lost = int((d > 0).sum()), int((d < 0).sum())
    estimate = math.fsum(d) / n
    if not gained + lost:
        interval, method = stats.tango(0, 0, n), stats.TANGO
    elif np.ptp(d) < TIE:
        interval, method = stats.rule_of_three(estimate, n, floor=-1.0), RULE_OF_THREE
    elif stats.few_changes(gained, lost):
        wider = _percentile(_resampled_sums(np.append(d, [1.0, -1.0]))[:, 0] / (n + 2))
        interval = Interval(min(wider.low, estimate), max(wider.high, estimate))
        method = SEEDED_WITH_TWO_MORE
    else:
        interval, method = _percentile(_resampled_sums(d)[:, 0] / n), SEEDED_PAIRED
    test = flips.seeded_sign_flip(d)
    varies = np.ptp(before) > 0 and np.ptp(after) > 0
    return PairedDifference(
        base=math.fsum(before) / n,
        tuned=math.fsum(after) / n,
        estimate=estimate,
        low=interval.low,
        high=interval.high,
        method=method,
        gained=gained,
        lost=lost,
        n=n,
        mid_p=test.mid_p,
        exact_p=test.exact,
        se=float(np.std(d, ddof=1)) / math.sqrt(n) if n > 1 else None,
        correlation=float(np.clip(np.corrcoef(before, after)[0, 1], -1, 1)) if varies else None,
    )


def decompose(base: Flags, tuned: Flags) -> Decomposition:
    """Split the difference of strict accuracy into mathematics and format, all paired.

    strict = correct + (strict - correct) for every answer, so the parts add up. ValueError as for
    `paired`, and where strict counts an answer that is not correct or not in format.
    """
    correct0, strict0, format0 = _flags("base", base)
    correct1, strict1, format1 = _flags("tuned", tuned)
    mathematics = paired(correct0, correct1)  # refuses different lengths before they meet below
    comply = (format0 == 1) & (format1 == 1)
    return Decomposition(
        strict=paired(strict0, strict1),
        mathematics=mathematics,
        format=paired(strict0 - correct0, strict1 - correct1),
        both_comply=int(comply.sum()),
        where_both_comply=paired(correct0[comply], correct1[comply]) if np.any(comply) else None,
    )


def _flags(name: str, flags: Flags) -> list[NDArray[np.float64]]:
    columns = [stats.column(f"{name}.{key}", getattr(flags, key)) for key in ("correct", "strict", "exact_format")]
    if len({len(column) for column in columns}) > 1:
        raise ValueError(f"{name}: correct, strict and exact_format differ in length")
    correct, strict, exact_format = columns
    if np.any(strict > np.minimum(correct, exact_format) + TIE):
        raise ValueError(f"{name}: strict counts an answer that is not correct or not in the exact format")
    return columns


def _resampled_sums(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over n questions drawn with replacement, shape (RESAMPLES, columns); rows: shape (n,) or (n, columns)."""
    table = rows.reshape(len(rows), -1)
    distinct, counts = np.unique(table, axis=0, return_counts=True)
    rng, chances = np.random.default_rng(SEED), counts / len(table)
    draws = (rng.multinomial(len(table), chances, size=CHUNK) @ distinct for _ in range(RESAMPLES // CHUNK))
    return np.concatenate(list(draws))


def _percentile(values: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="inverted_cdf")
    return Interval(float(low), float(high))
