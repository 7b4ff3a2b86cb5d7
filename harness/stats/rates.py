"""Rates and means of one model's scores, each with its 95% interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.stats import intervals
from harness.stats.intervals import (
    RULE_OF_THREE,
    Interval,
    OffLattice,
    bootstrap_mean,
    column,
    seeded_bootstrap,
    wilson,
)
from harness.stats.paired_tests import RESAMPLES, SEED

EXACT_MEAN = "bootstrap of question means (exact percentile)"
SEEDED_MEAN = f"bootstrap of question means ({RESAMPLES:,} resamples, seed {SEED})"
MORE = "with one question all wrong and one all right added"
EXACT_MEAN_OF_MORE = f"bootstrap of question means {MORE} (exact percentile)"
SEEDED_MEAN_OF_MORE = f"bootstrap of question means {MORE} ({RESAMPLES:,} resamples, seed {SEED})"


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of one score per question, with its 95% interval, as proportions."""

    value: float
    low: float
    high: float
    method: str  # WILSON, EXACT_MEAN, SEEDED_MEAN, either OF_MORE, or RULE_OF_THREE
    n: int
    se: float | None  # of the question means, n - 1 in the variance; None for n = 1; 0 does not mean certainty


@dataclass(frozen=True, slots=True)
class Proportion:
    """k of n questions, with Wilson's interval (the one to print) and the exact bootstrap's."""

    k: int
    n: int
    value: float
    low: float
    high: float
    bootstrap_low: float
    bootstrap_high: float


def mean(scores: ArrayLike) -> Mean:
    """The mean of scores in [0, 1], shape (n,), such as pass@k; a rate if all are 0 or 1. ValueError for others.

    Near 0 and 1 (`near_an_end`) the bootstrap misses the questions that happened not to be drawn, so one of each kind
    is added: with 8 samples, 1% of 100 questions never right and the others right in 99.5%, it covers 98% instead of
    67% (`python -m harness.bench coverage`, as all such figures).
    """
    values = intervals.column("scores", scores)
    if values.min() < 0:
        raise ValueError("scores: need values in [0, 1]")
    n, value = len(values), math.fsum(values) / len(values)
    if np.all((values == 0) | (values == 1)):
        interval, method = intervals.wilson(int(values.sum()), n), intervals.WILSON
    elif np.all(values == values[0]):
        interval, method = intervals.rule_of_three(value, n, floor=0.0), RULE_OF_THREE
    else:
        few = near_an_end(value, n)
        rows = np.append(values, [0.0, 1.0]) if few else values
        try:
            interval, method = intervals.bootstrap_mean(rows), EXACT_MEAN_OF_MORE if few else EXACT_MEAN
        except OffLattice:
            interval = seeded_bootstrap(rows)
            method = SEEDED_MEAN_OF_MORE if few else SEEDED_MEAN
        interval = Interval(min(interval.low, value), max(interval.high, value))
    se = float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else None
    return Mean(value, interval.low, interval.high, method, n, se)


def near_an_end(value: float, n: int) -> bool:
    """Whether the rarer outcome of a rate adds up to less than FEW_CHANGES of its n questions."""
    return n * min(value, 1 - value) < intervals.FEW_CHANGES


def proportion(scores: ArrayLike) -> Proportion:
    """The rate of a yes/no outcome, shape (n,), one 0/1 or bool a question. ValueError for other values."""
    values = column("scores", scores)
    if not np.all((values == 0) | (values == 1)):
        raise ValueError("scores: a proportion needs one 0 or 1 a question")
    k, n = int(values.sum()), len(values)
    printed, beside = wilson(k, n), bootstrap_mean(values)
    return Proportion(k, n, k / n, printed.low, printed.high, beside.low, beside.high)
