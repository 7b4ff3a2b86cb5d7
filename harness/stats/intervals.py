"""Numbers in, intervals and tests out: what a before/after comparison on the same questions can claim.

Both models answered the same questions, so the pair is the unit. Scores live on a small lattice (0 or 1, or
m/K with K samples per question), so the percentile bootstrap with infinitely many resamples is computed, not
simulated: no seed, no Monte Carlo error. Departures from common practice: no BCa (NaN on constant data,
undercovers with few flips), no zero-width interval of a difference, and no scipy here, because its import takes most
of a second. Quantities are proportions in [-1, 1]; only the sentences use points (hundredths).

Sources: Wilson 1927 (single proportion), Tango 1998 (paired score interval), Efron 1979 (bootstrap), Miller 2024,
arXiv 2411.00640 (paired evaluation, power); for the tests see harness.stats.paired_tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import index
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats import paired_tests
from harness.stats.paired_tests import CHUNK, RESAMPLES, SEED

LEVEL = 0.95  # of every interval below unless an argument says otherwise
ALPHA = 0.05
NORMAL = NormalDist()
FEW_FLIPS = 25  # gained + lost below this, or
FEW_ON_ONE_SIDE = 5  # the smaller of the two below this: the bootstrap undercovers and Tango's interval is used
MAX_DENOMINATOR = 128  # the most samples per question for which m/K is recognised
FEW_CHANGES = 10  # the same with several samples per question, or if all changes have one direction: `with_two_more`
WILSON = "Wilson"
BOOTSTRAP = "paired bootstrap (exact percentile)"
WITH_TWO_MORE = "paired bootstrap with one question gained and one lost added (exact percentile)"
TANGO = "Tango score"
RULE_OF_THREE = "rule of three (all questions alike)"

# Far above float64's rounding of m/K (1e-16), far below the gap between two such fractions (1/128² = 6e-5).
_LATTICE_TOLERANCE = 1e-9

# A bootstrap CDF value short of q by less than this counts as q. Against direct convolution the FFT is off by
# less than 1e-13 at n = 1,319 and 1e-12 at n = 10,000, growing like n. Where the true CDF equals q, round-off
# must not decide the quantile; where it is truly short by so little, the level is off by under 1e-9.
_CDF_TOLERANCE = 1e-9


class OffLattice(ValueError):
    """Scores that are not multiples of 1/K for any small K: `paired.paired` takes them."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval, as proportions; low <= high."""

    low: float
    high: float


def wilson(k: int, n: int, level: float = LEVEL) -> Interval:
    """Score interval of k in n (Wilson 1927), exactly 0 at k = 0 and 1 at k = n. ValueError unless 0 <= k <= n >= 1."""
    k, n, z2 = index(k), index(n), NORMAL.inv_cdf((1 + level) / 2) ** 2
    if n < 1 or not 0 <= k <= n:
        raise ValueError(f"wilson: need 0 <= k <= n and n >= 1, got k={k}, n={n}")
    centre = (k + z2 / 2) / (n + z2)
    half = math.sqrt(z2 * (k * (n - k) / n + z2 / 4)) / (n + z2)
    return Interval(0.0 if k == 0 else centre - half, 1.0 if k == n else centre + half)


def bootstrap_mean(scores: ArrayLike) -> Interval:
    """95% percentile bootstrap interval of the mean, with infinitely many resamples.

    scores: shape (n,), one value per question in [-1, 1], multiples of 1/K for a K <= 128 (mean of K samples).
    Constant scores give zero width, which is why Wilson's interval is given next to it. ValueError for any other input.
    """
    denominator, (numerators,) = lattice(column("scores", scores))
    return exact_bootstrap(numerators, denominator)


def tango(gained: int, lost: int, n: int, level: float = LEVEL) -> Interval:
    """Score interval of the paired difference (gained - lost) / n (Tango 1998).

    In Tango's table (a, b, c, d), gained is b, lost is c and n the sum. ValueError for impossible counts.
    """
    gained, lost, n, z2 = index(gained), index(lost), index(n), NORMAL.inv_cdf((1 + level) / 2) ** 2
    if min(gained, lost) < 0 or n < 1 or gained + lost > n:
        raise ValueError(f"tango: gained={gained} and lost={lost} are not valid counts for n={n} questions")
    # The lower limit is the mirrored upper one, so swapping the models mirrors the interval to the last bit.
    return Interval(-_tango_upper(lost, gained, n, z2), _tango_upper(gained, lost, n, z2))


def few_flips(gained: int, lost: int) -> bool:
    """Whether the bootstrap interval is too short, with one sample per question, and Tango's is used."""
    return gained + lost < FEW_FLIPS or min(gained, lost) < FEW_ON_ONE_SIDE


def few_changes(gained: int, lost: int) -> bool:
    """Whether the bootstrap interval is too short, with several samples per question, and two questions are added."""
    return gained + lost < FEW_CHANGES or min(gained, lost) == 0


def rule_of_three(value: float, n: int, floor: float) -> Interval:
    """The interval around a value in [floor, 1] that all of n questions share, on the scale of those values.

    If other values were more likely than this, n equal ones would have a probability under 2.5%. The other 2.5% belong
    to the other limit, so this is Clopper and Pearson's interval (1934) if the value is an end of the scale.
    """
    others = 1 - ((1 - LEVEL) / 2) ** (1 / n)
    return Interval(value - others * (value - floor), value + others * (1 - value))


def column(name: str, scores: ArrayLike) -> NDArray[np.float64]:
    """One score in [-1, 1] a question as an array of shape (n,). ValueError for any other input."""
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"{name}: need at least one score, one a question; got shape {values.shape}")
    if not np.all(np.abs(values) <= 1 + _LATTICE_TOLERANCE):  # NaN fails every comparison
        raise ValueError(f"{name}: scores must lie in [-1, 1]; NaN or a larger value found")
    return values


def lattice(*columns: NDArray[np.float64]) -> tuple[int, list[NDArray[np.int64]]]:
    """The smallest K <= 128 for which every score is m/K, and the integers m, column by column; else OffLattice."""
    values = np.unique(np.concatenate(columns))
    for denominator in range(1, MAX_DENOMINATOR + 1):
        nearest = np.rint(values * denominator) / denominator
        if np.all(np.abs(values - nearest) <= _LATTICE_TOLERANCE):
            return denominator, [np.rint(column * denominator).astype(np.int64) for column in columns]
    raise OffLattice(f"scores are not multiples of 1/K for any K up to {MAX_DENOMINATOR}")


def exact_bootstrap(numerators: NDArray[np.int64], denominator: int) -> Interval:
    """Percentile interval of the mean of n draws with replacement from numerators / denominator.

    The generating polynomial of the sum of n draws is that of one draw to the n-th power; the FFT is longer than its
    support, so nothing wraps around. A quantile is the smallest lattice point with CDF >= q.
    """
    n, lowest = len(numerators), int(numerators.min())
    one_draw = np.bincount(numerators - lowest) / n
    size = 1 << (n * (len(one_draw) - 1)).bit_length()
    cdf = np.cumsum(np.fft.irfft(paired_tests.integer_power(np.fft.rfft(one_draw, size), n), size))
    low, high = (int(np.argmax(cdf >= q - _CDF_TOLERANCE)) for q in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval((low + n * lowest) / (n * denominator), (high + n * lowest) / (n * denominator))


def with_two_more(numerators: NDArray[np.int64], denominator: int) -> Interval:
    """The bootstrap interval with one more question fully gained and one fully lost; it contains the estimate.

    With few changes, the differences that happened not to occur are missing from the bootstrap. With 8 samples
    (`python -m harness.bench coverage`): if 4 questions of 200 are expected to change, nearly all upwards,
    `paired_difference` covers over 99% (the plain bootstrap 84%); with one or two whole gains among 5 small steps 99%
    (67 to 87%). Beyond FEW_CHANGES this rule rarely joins in, and few whole gains among small steps are undercovered:
    84.6% with one among 12 steps, 88% with two among 30, 94% with five among 30 or one among 100.
    """
    estimate = int(numerators.sum()) / (len(numerators) * denominator)
    wider = exact_bootstrap(np.append(numerators, [denominator, -denominator]), denominator)
    return Interval(min(wider.low, estimate), max(wider.high, estimate))


def _tango_upper(gained: int, lost: int, n: int, z2: float) -> float:
    """The δ at or above the estimate where Tango's score statistic reaches z, by bisection to the last bit.

    It is monotone and above z at δ = 1 (all gained: the limit is 1), so [estimate, 1] brackets the only root.
    """
    low, high = (gained - lost) / n, 1.0
    while low < (middle := (low + high) / 2) < high:
        # q, the likeliest probability of a loss given the difference `middle`, solves 2n·q² + b·q + c = 0.
        b = (2 * n - gained + lost) * middle - gained - lost
        c = -lost * middle * (1 - middle)
        root = math.sqrt(max(b * b - 8 * n * c, 0.0))
        variance = (root - b) / (2 * n) + middle * (1 - middle)  # 2q + δ(1 - δ)
        beyond = (gained - lost - n * middle) ** 2 >= z2 * n * variance
        low, high = (low, middle) if beyond else (middle, high)
    return high


def seeded_bootstrap(values: NDArray[np.float64]) -> Interval:
    """The percentile interval of the mean, from RESAMPLES draws with replacement; values: shape (n,)."""
    distinct, counts = np.unique(values.reshape(-1, 1), axis=0, return_counts=True)
    rng, chances = np.random.default_rng(SEED), counts / len(values)
    draws = (rng.multinomial(len(values), chances, size=CHUNK) @ distinct for _ in range(RESAMPLES // CHUNK))
    means = np.concatenate(list(draws))[:, 0] / len(values)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="inverted_cdf")
    return Interval(float(low), float(high))
