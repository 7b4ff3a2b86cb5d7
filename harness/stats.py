"""Numbers in, intervals and tests out: what a before/after comparison on the same questions can claim.

Both models answered the same questions, so the pair is the unit. Scores live on a small lattice (0 or 1, or
m/K with K samples a question), so the percentile bootstrap with infinitely many resamples is computed, not
simulated: no seed, no Monte-Carlo wobble. Departures from common practice: no BCa (NaN on constant data,
undercovers with few flips), no zero-width interval of a difference, and no scipy, whose import takes most of a
second. Quantities are proportions in [-1, 1]; only the sentences speak of points (hundredths).

Sources: Wilson 1927 (single proportion), McNemar 1947, Fagerland, Lydersen and Laake 2013 (mid-p), Tango 1998
(paired score interval), Efron 1979 (bootstrap), Miller 2024, arXiv 2411.00640 (paired evaluation, power).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import index
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95  # of every interval below unless an argument says otherwise
ALPHA = 0.05
POWER = 0.8
NORMAL = NormalDist()
FEW_FLIPS = 25  # gained + lost below this, or
FEW_ON_ONE_SIDE = 5  # the smaller of the two below this: the bootstrap undercovers and Tango takes over
MAX_DENOMINATOR = 128  # the most samples a question for which m/K is recognised
BOOTSTRAP = "paired bootstrap (exact percentile)"
TANGO = "Tango score"
RULE_OF_THREE = "rule of three (all differences equal)"

# Far above float64's rounding of m/K (1e-16), far below the gap between two such fractions (1/128² = 6e-5).
_LATTICE_TOLERANCE = 1e-9

# A bootstrap CDF value short of q by less than this counts as q. Against direct convolution the FFT is off by
# less than 1e-13 at n = 1,319 and 1e-12 at n = 10,000, growing like n. Where the true CDF equals q, round-off
# must not decide the quantile; where it is truly short by so little, the level is off by under 1e-9.
_CDF_TOLERANCE = 1e-9


class OffLattice(ValueError):
    """Scores that are not multiples of 1/K for any small K: `harness.resampling` takes them."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval, as proportions; low <= high."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Proportion:
    """k of n questions, with Wilson's interval (the one to print) and the exact bootstrap beside it."""

    k: int
    n: int
    value: float
    low: float
    high: float
    bootstrap_low: float
    bootstrap_high: float


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two-sided p-values of "a flip is as likely a gain as a loss"."""

    exact: float
    mid_p: float


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Tuned minus base on the same questions, as proportions."""

    base: float  # mean of the base scores
    tuned: float
    estimate: float  # tuned - base
    low: float  # 95% interval of the difference
    high: float
    method: str  # how the interval was made: BOOTSTRAP, TANGO or RULE_OF_THREE
    gained: int  # questions whose score rose (for right/wrong: wrong -> right)
    lost: int  # questions whose score fell
    n: int
    mid_p: float  # McNemar's; with K samples a question, the sign test of the questions that rose or fell
    exact_p: float
    se: float | None  # paired standard error, n - 1 in the variance; None for n = 1; 0 is no certainty
    correlation: float | None  # of base and tuned over questions; None where either is constant


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


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may be said about a difference, and how large one would have had to be to be seen."""

    kind: str  # "detected", "borderline" or "not detected"
    direction: str  # of the estimate: "up", "down" or "none"
    disagreement: str  # borderline: which test contradicts the interval; else empty
    identical: bool  # no question changed: a warning about the adapter, not a finding
    detectable: float | None  # smallest difference found with 80% power; None: none at this discordance
    discordance: float  # observed share of questions that changed
    discordance_high: float  # its upper 95% Wilson limit, from which `detectable` is computed
    difference: PairedDifference

    def sentence(self, quantity: str = "accuracy") -> str:
        """The verdict in English, for the first line of a report; differences in points."""
        d = self.difference
        points, low, high = _points(d.estimate, d.low, d.high)
        evidence = f"95% interval {low} to {high}; gained {d.gained:,}, lost {d.lost:,}"
        evidence += f"; mid-p {spell_p(d.mid_p)}, exact p {spell_p(d.exact_p)}"
        verb = {"up": "rose", "down": "fell", "none": "moved"}[self.direction]
        change = f"{quantity} {verb} by {points.lstrip('−')} points"
        if self.kind == "detected":
            return f"{change[:1].upper()}{change[1:]} ({evidence})."
        design = "this design cannot detect any at this discordance"
        if self.detectable is not None:
            design = f"this design detects ≥ {100 * self.detectable:.2f} points with {POWER:.0%} power"
        if self.kind == "borderline":
            return f"Borderline: {change} ({evidence}), but {self.disagreement}; {design}."
        text = f"No difference in {quantity} detected; {design}."
        if self.identical:
            return f"{text} Not one of {d.n:,} questions changed: check that the adapter was applied."
        return f"{text} Observed {'+' * (d.estimate > 0)}{points} points ({evidence})."


def wilson(k: int, n: int, level: float = LEVEL) -> Interval:
    """Score interval of k in n (Wilson 1927), exactly 0 at k = 0 and 1 at k = n. ValueError if no counts."""
    k, n, z2 = index(k), index(n), NORMAL.inv_cdf((1 + level) / 2) ** 2
    if n < 1 or not 0 <= k <= n:
        raise ValueError(f"wilson: need 0 <= k <= n and n >= 1, got k={k}, n={n}")
    centre = (k + z2 / 2) / (n + z2)
    half = math.sqrt(z2 * (k * (n - k) / n + z2 / 4)) / (n + z2)
    return Interval(0.0 if k == 0 else centre - half, 1.0 if k == n else centre + half)


def bootstrap_mean(scores: ArrayLike) -> Interval:
    """95% percentile bootstrap interval of the mean, with infinitely many resamples.

    scores: shape (n,), one value a question in [-1, 1], multiples of 1/K for a K <= 128 (mean of K samples).
    Constant scores give zero width, which is why Wilson stands beside it. ValueError for any other input.
    """
    denominator, (numerators,) = lattice(column("scores", scores))
    return _bootstrap(numerators, denominator)


def proportion(scores: ArrayLike) -> Proportion:
    """The rate of a yes/no outcome, shape (n,), one 0/1 or bool a question. ValueError for other values."""
    values = column("scores", scores)
    if not np.all((values == 0) | (values == 1)):
        raise ValueError("scores: a proportion needs one 0 or 1 a question")
    k, n = int(values.sum()), len(values)
    printed, beside = wilson(k, n), bootstrap_mean(values)
    return Proportion(k, n, k / n, printed.low, printed.high, beside.low, beside.high)


def mcnemar(gained: int, lost: int) -> McNemar:
    """Exact and mid-p McNemar tests, two-sided (Fagerland et al. 2013), from exact integer binomial tails.

    mid-p is twice the one-sided mid-p, so gained = lost (0 and 0 included) gives 1 in both tests.
    """
    gained, lost = index(gained), index(lost)
    if gained < 0 or lost < 0:
        raise ValueError(f"mcnemar: counts must not be negative, got gained={gained}, lost={lost}")
    flips, term, below = gained + lost, 1, 0  # term: C(flips, i); below: the sum of those before it
    for i in range(min(gained, lost)):
        below += term
        term = term * (flips - i) // (i + 1)
    # Integer / integer is correctly rounded, however long the integers are.
    return McNemar(exact=min(1.0, 2 * (below + term) / 2**flips), mid_p=(2 * below + term) / 2**flips)


def tango(gained: int, lost: int, n: int, level: float = LEVEL) -> Interval:
    """Score interval of the paired difference (gained - lost) / n (Tango 1998).

    In Tango's table (a, b, c, d), gained is b, lost is c and n the sum. ValueError for impossible counts.
    """
    gained, lost, n, z2 = index(gained), index(lost), index(n), NORMAL.inv_cdf((1 + level) / 2) ** 2
    if min(gained, lost) < 0 or n < 1 or gained + lost > n:
        raise ValueError(f"tango: gained={gained} and lost={lost} are no counts among n={n} questions")
    # The lower limit is the mirrored upper one, so swapping the models mirrors the interval to the last bit.
    return Interval(-_tango_upper(lost, gained, n, z2), _tango_upper(gained, lost, n, z2))


def paired_difference(base: ArrayLike, tuned: ArrayLike) -> PairedDifference:
    """Tuned minus base with its 95% interval and tests.

    base, tuned: shape (n,), the same questions in the same order, one value each: 0/1 or bool, a mean of K
    samples, or a difference such as strict - correct in {-1, 0}. Interval: exact percentile bootstrap of the
    differences; Tango's where all are -1, 0 or 1 and few not 0 (gained + lost < 25, or the smaller < 5); the
    rule of three's where all are one other value. ValueError for any other input.
    """
    before, after = column("base", base), column("tuned", tuned)
    if len(before) != len(after):
        raise ValueError(f"base has {len(before)} questions, tuned has {len(after)}: they must be the same")
    denominator, (x, y) = lattice(before, after)
    d = y - x
    if np.abs(d).max() > denominator:
        raise ValueError("tuned - base: a question's difference must lie in [-1, 1]")
    n, scale = len(d), len(d) * denominator
    gained, lost = int((d > 0).sum()), int((d < 0).sum())
    estimate = int(d.sum()) / scale
    few = gained + lost < FEW_FLIPS or min(gained, lost) < FEW_ON_ONE_SIDE
    if few and np.all(d % denominator == 0):
        interval, method = tango(gained, lost, n), TANGO
    elif np.all(d == d[0]):
        # Were other values likelier than this, n equal ones would have a chance under 5%.
        others = 1 - (1 - LEVEL) ** (1 / n)
        interval = Interval(estimate - others * (1 + estimate), estimate + others * (1 - estimate))
        method = RULE_OF_THREE
    else:
        interval, method = _bootstrap(d, denominator), BOOTSTRAP
    test = mcnemar(gained, lost)
    xx, yy, xy, dd = (_spread(*pair) for pair in ((x, x), (y, y), (x, y), (d, d)))
    return PairedDifference(
        base=int(x.sum()) / scale,
        tuned=int(y.sum()) / scale,
        estimate=estimate,
        low=interval.low,
        high=interval.high,
        method=method,
        gained=gained,
        lost=lost,
        n=n,
        mid_p=test.mid_p,
        exact_p=test.exact,
        se=math.sqrt(dd / (n - 1)) / scale if n > 1 else None,
        correlation=max(-1.0, min(1.0, xy / math.sqrt(xx * yy))) if xx and yy else None,
    )


def minimum_detectable_effect(n: int, discordance: float, power: float = POWER, alpha: float = ALPHA) -> float | None:
    """The smallest paired difference, as a proportion, that n questions find with this power, two-sided.

    discordance: the share ψ of questions that change. From δ = (z_{α/2} + z_β)·sqrt((ψ - δ²)/n), Miller 2024:
    δ = sqrt(kψ/(1 + k)), k = (z_{α/2} + z_β)²/n. A difference cannot exceed the discordance: None where δ is
    over ψ, ψ = 0 included. ValueError unless n >= 1 and 0 <= ψ <= 1.
    """
    if n < 1 or not 0 <= discordance <= 1:
        raise ValueError(f"need n >= 1 and a discordance in [0, 1], got n={n}, discordance={discordance}")
    k = (NORMAL.inv_cdf(1 - alpha / 2) + NORMAL.inv_cdf(power)) ** 2 / index(n)
    share = k / (1 + k)  # δ² = share·ψ, so δ > ψ exactly when share > ψ
    return None if share > discordance else math.sqrt(share * float(discordance))


def detectable(n: int, gained: int, lost: int) -> float | None:
    """`minimum_detectable_effect` at the upper 95% Wilson limit of the discordance (gained + lost) / n."""
    return minimum_detectable_effect(n, wilson(gained + lost, n).high)


def decompose(base: Flags, tuned: Flags) -> Decomposition:
    """Split the difference of strict accuracy into mathematics and format, all paired.

    strict = correct + (strict - correct) for every answer, so the parts add up. ValueError as for
    `paired_difference`, and where strict counts an answer that is not correct or not in format.
    """
    correct0, strict0, format0 = _flags("base", base)
    correct1, strict1, format1 = _flags("tuned", tuned)
    mathematics = paired_difference(correct0, correct1)  # refuses different lengths before they meet below
    comply = (format0 == 1) & (format1 == 1)
    return Decomposition(
        strict=paired_difference(strict0, strict1),
        mathematics=mathematics,
        format=paired_difference(strict0 - correct0, strict1 - correct1),
        both_comply=int(comply.sum()),
        where_both_comply=paired_difference(correct0[comply], correct1[comply]) if np.any(comply) else None,
    )


def verdict(difference: PairedDifference) -> Verdict:
    """Detected: 0 lies strictly outside the interval, and both p-values are below .05.

    Borderline: the interval says one thing and mid-p or exact p the other (0 outside but a p >= .05; 0 inside
    or at an end but a p < .05). Otherwise not detected, which is never "no effect".
    """
    d, flips = difference, difference.gained + difference.lost
    excluded = d.low > 0 or d.high < 0
    against = [name for name, p in (("mid-p", d.mid_p), ("exact p", d.exact_p)) if (p < ALPHA) != excluded]
    interval, side = ("excludes", "not below") if excluded else ("contains", "below")
    names = " and ".join(against) + (" are" if against[1:] else " is")
    return Verdict(
        kind="borderline" if against else "detected" if excluded else "not detected",
        direction="up" if d.estimate > 0 else "down" if d.estimate < 0 else "none",
        disagreement=f"the interval {interval} 0 while {names} {side} {ALPHA}" if against else "",
        identical=flips == 0,
        detectable=detectable(d.n, d.gained, d.lost),
        discordance=flips / d.n,
        discordance_high=wilson(flips, d.n).high,
        difference=d,
    )


def spell_p(p: float) -> str:
    """A p-value to two significant digits, more where rounding would carry it across .05."""
    if p < 0.0001:
        return "< 0.0001"
    digits = 2 if p >= 0.1 else 1 - math.floor(math.log10(p))
    while (float(f"{p:.{digits}f}") < ALPHA) != (p < ALPHA):
        digits += 1
    return f"{p:.{digits}f}"


def _points(*values: float) -> list[str]:
    """Proportions as points, with as many decimals (at least one) as keep what is not 0 from reading 0."""
    decimals = 1
    while decimals < 6 and any(v and float(f"{100 * v:.{decimals}f}") == 0 for v in values):
        decimals += 1
    return [f"{100 * v:.{decimals}f}".replace("-", "−") for v in values]


def column(name: str, scores: ArrayLike) -> NDArray[np.float64]:
    """One score in [-1, 1] a question as an array of shape (n,). ValueError for any other input."""
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"{name}: need at least one score, one a question; got shape {values.shape}")
    if not np.all(np.abs(values) <= 1 + _LATTICE_TOLERANCE):  # NaN fails every comparison
        raise ValueError(f"{name}: scores must lie in [-1, 1]; NaN or a larger value found")
    return values


def _flags(name: str, flags: Flags) -> list[NDArray[np.float64]]:
    columns = [column(f"{name}.{key}", getattr(flags, key)) for key in ("correct", "strict", "exact_format")]
    if len({len(column) for column in columns}) > 1:
        raise ValueError(f"{name}: correct, strict and exact_format differ in length")
    correct, strict, exact_format = columns
    if np.any(strict > np.minimum(correct, exact_format) + _LATTICE_TOLERANCE):
        raise ValueError(f"{name}: strict counts an answer that is not correct or not in the exact format")
    return columns


def lattice(*columns: NDArray[np.float64]) -> tuple[int, list[NDArray[np.int64]]]:
    """The smallest K <= 128 for which every score is m/K, and the integers m, column by column; else OffLattice."""
    values = np.unique(np.concatenate(columns))
    for denominator in range(1, MAX_DENOMINATOR + 1):
        nearest = np.rint(values * denominator) / denominator
        if np.all(np.abs(values - nearest) <= _LATTICE_TOLERANCE):
            return denominator, [np.rint(column * denominator).astype(np.int64) for column in columns]
    raise OffLattice(f"scores are not multiples of 1/K for any K up to {MAX_DENOMINATOR}")


def _bootstrap(numerators: NDArray[np.int64], denominator: int) -> Interval:
    """Percentile interval of the mean of n draws with replacement from numerators / denominator.

    The sum of n draws has the generating polynomial of one draw to the n-th power; the FFT is longer than its
    support, so nothing wraps around. A quantile is the smallest lattice point with CDF >= q.
    """
    n, lowest = len(numerators), int(numerators.min())
    one_draw = np.bincount(numerators - lowest) / n
    size = 1 << (n * (len(one_draw) - 1)).bit_length()
    power, exponent, transform = 1.0, n, np.fft.rfft(one_draw, size)
    while exponent:  # by squaring: several times faster than numpy's complex power
        power = power * transform if exponent & 1 else power
        transform, exponent = transform * transform, exponent >> 1
    cdf = np.cumsum(np.fft.irfft(power, size))
    low, high = (int(np.argmax(cdf >= q - _CDF_TOLERANCE)) for q in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval((low + n * lowest) / (n * denominator), (high + n * lowest) / (n * denominator))


def _tango_upper(gained: int, lost: int, n: int, z2: float) -> float:
    """The δ at or above the estimate where Tango's score statistic reaches z, by bisection to the last bit.

    It is monotone and beyond z at δ = 1 (all gained: the limit is 1), so [estimate, 1] brackets the one root.
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


def _spread(x: NDArray[np.int64], y: NDArray[np.int64]) -> int:
    """n² times the (population) covariance of two integer columns, exactly."""
    return len(x) * int(x @ y) - int(x.sum()) * int(y.sum())
