"""Intervals and p-values of an estimate whose variance has parts, each with its own quantile; clustered errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.stats import seeds
from harness.stats.intervals import ALPHA, NORMAL

NOTHING = 1e-12  # a standard error nearer to 0 is rounding


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an estimate's variance."""

    se: float
    df: int | None  # degrees of freedom of its quantile; None: normal


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


def quantile(df: int | None, tail: float = ALPHA / 2) -> float:
    """What Student's t, or without df the normal distribution, exceeds with the chance `tail`."""
    if df is None:
        return -NORMAL.inv_cdf(tail)
    return seeds.quantile(df + 1, tail)


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
