"""What a design can detect: from its size before a run, from the number of changed questions after it."""

from __future__ import annotations

import math
from operator import index

import numpy as np
from numpy.typing import NDArray

from harness.stats import intervals
from harness.stats.intervals import ALPHA, NORMAL
from harness.stats.paired import PairedDifference
from harness.stats.seeds import Components, SeedsDifference, Trainings

ONE_WAY = 6  # the fewest changes in one direction for which the exact p is below .05: 2 · 2^-6
POWER = 0.8
FEWEST = 3  # training seeds from which a difference over them has a stated power
LIMIT = 0.03  # chance that the variance of the seeds is over its upper limit: .05, less what normal theory may be off
ENUMERATED = 25  # expected changes below which the power of the exact test is enumerated
CELLS = {1: 200, 2: 40}  # into which the chi of each side is cut, by how many sides have seeds


def moved(n: int, estimate: float, se: float | None) -> float:
    """The sum over the questions of their squared changes; with one sample per question, the number that changed.

    Power depends on it: a question that moved by 1/K carries 1/K² of the information of one that flipped.
    n: questions; estimate: the mean of their changes; se: its standard error.
    """
    return n * (estimate**2 + (n - 1) * (se or 0.0) ** 2)


def minimum_detectable_effect(
    n: int,
    discordance: float,
    power: float = POWER,
    alpha: float = ALPHA,
    correction: float = 0.0,
    *,
    whole: bool = True,
) -> float | None:
    """The smallest paired difference, as a proportion, that n questions find with this power, two-sided.

    discordance: the share ψ of questions that change. From δ = (z_{α/2} + z_β)·sqrt((ψ - δ²)/n), Miller 2024:
    δ = sqrt(kψ/(1 + k)), k = (z_{α/2} + z_β)²/n. A difference cannot exceed the discordance: None where δ is
    over ψ, ψ = 0 included. Where questions change by parts of 1 (whole=False) ψ is the mean of their squared changes,
    which bounds δ² and not δ: None where δ is over 1. correction: how many questions δ·n must exceed the formula by;
    with 1, McNemar's continuity correction (Edwards 1948), the equation holds for δ - 1/n. With a correction and fewer
    than ENUMERATED changes expected, the exact test is enumerated instead: the formula promises too much there.
    ValueError unless n >= 1, 0 <= ψ <= 1.
    """
    if n < 1 or not 0 <= discordance <= 1:
        raise ValueError(f"need n >= 1 and a discordance in [0, 1], got n={n}, discordance={discordance}")
    n, discordance = index(n), float(discordance)
    if whole and correction and n * discordance < ENUMERATED:
        return _enumerated(n, discordance, power, alpha)
    k = (NORMAL.inv_cdf(1 - alpha / 2) + NORMAL.inv_cdf(power)) ** 2 / n
    share, shift = k / (1 + k), correction / n
    if whole and share > discordance:  # without a correction δ² = share·ψ, so δ > ψ exactly then
        return None
    # The positive root of (1 + k)·δ² - 2·shift·δ + shift² - kψ = 0.
    root = math.sqrt(max(0.0, share * (discordance - shift * shift / (1 + k))))
    effect = shift / (1 + k) + root
    return effect if effect <= (discordance if whole else 1) else None


def _enumerated(n: int, discordance: float, power: float, alpha: float) -> float | None:
    """The smallest paired difference at which McNemar's exact p is below alpha with this power; None: at none.

    Of n questions Binomial(n, ψ) change, each of them for the better with the chance (1 + δ/ψ)/2. By bisection of δ.
    """
    from scipy.stats import binom

    changed = np.arange(1, min(n, 4 * ENUMERATED) + 1)  # of a mean below ENUMERATED, more are never seen
    # The fewest gains of so many changes for which 2·P(as many or more at 1/2) < alpha; more than all: never.
    needed = binom.isf(alpha / 2, changed, 0.5) + 1
    needed += 2 * binom.sf(needed - 1, changed, 0.5) >= alpha
    likely = binom.pmf(changed, n, discordance)

    def found(difference: float) -> float:
        better = (1 + difference / discordance) / 2
        return float(likely @ binom.sf(needed - 1, changed, better))

    if not discordance or found(discordance) < power:
        return None
    low, high = 0.0, discordance
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) >= power else (middle, high)
    return high


def detectable(difference: PairedDifference | SeedsDifference) -> float | None:
    """The smallest difference, as a proportion, that `verdict.of` calls detected with 80% power; None: none at all.

    From the upper 95% Wilson limit of `moved` / n, which is conservative with several samples: squared changes vary at
    most as much as 0 and 1 do. Over training seeds: `over_seeds` of that limit for the questions and of an upper limit
    of the seeds' variance, (S - 1)·s² / χ²_LIMIT. s² itself is often far too small, and the power at what it gives is
    then far below 80%. Two seeds have no useful limit (s² times 707): None. If few questions changed, it is at least
    that of the question means as one pair, because their rules also decide. In `python -m harness.bench coverage` the
    true power at what runs of 3 and 5 seeds state is 80% or more in 96 to 99.8% of them, and it is 79 to 82% at what
    `over_seeds` gives for known standard errors.
    """
    d = difference
    if not isinstance(d, SeedsDifference):
        changed = moved(d.n, d.estimate, d.se)
        return minimum_detectable_effect(d.n, discordance_high(d.n, changed), correction=1.0, whole=d.whole)
    if not d.trainings or min(side.count for side in d.trainings) < FEWEST:
        return None
    effect = _from_upper_limits(d.n, moved(d.n, d.estimate, d.se_question), d.trainings)
    if d.means:
        effect = max(effect, detectable(d.means) or math.inf)
    return effect if effect <= 1 else None


def _from_upper_limits(n: int, changed: float, trainings: tuple[Trainings, ...]) -> float:
    """What `over_seeds` gives for upper limits: of the squared changes of n questions, and of each side's seeds."""
    from scipy.special import chdtri  # the χ² that is exceeded with a given chance

    share = discordance_high(n, changed)
    sides = tuple(
        Trainings(side.se * math.sqrt((side.count - 1) / float(chdtri(side.count - 1, 1 - LIMIT))), side.count)
        for side in trainings
    )
    effect = over_seeds(Components(math.sqrt(share / n), sides))
    if effect > share:  # which as many questions have to change as
        effect = over_seeds(Components(math.sqrt(min(1.0, effect) / n), sides))
    return effect


def stated(n: int, discordance: float, deviation: float = 0.0, count: int = 1, samples: int = 1) -> float | None:
    """What a report will state as `detectable` if the run turns out like this, for a plan; None: nothing.

    discordance: the mean squared change of the n questions, with one sample the share that changes; deviation: the
    standard deviation of the accuracies of `count` trainings, as a proportion. No side has few changes.
    """
    changed = discordance * n
    if count == 1:
        high = discordance_high(n, changed)
        return minimum_detectable_effect(n, high, correction=1.0, whole=samples == 1)
    if count < FEWEST:
        return None
    effect = _from_upper_limits(n, changed, (Trainings(deviation / math.sqrt(count), count),))
    return effect if effect <= 1 else None


def over_seeds(true: Components) -> float:
    """The smallest difference, as a proportion, that `seeds.over_seeds` finds with 80% power; may exceed 1.

    true: the standard errors as they are, not as estimated. By bisection of `chance_over_seeds`.
    """
    halves, weights = _half_widths(true)
    low, high = 0.0, float(halves.max()) + true.se * NORMAL.inv_cdf(POWER)
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if _found(middle, true.se, halves, weights) < POWER else (low, middle)
    return high


def chance_over_seeds(difference: float, true: Components) -> float:
    """The power of the interval of `seeds.over_seeds` at a difference, given the true standard errors.

    The estimate is normal and each side's S - 1 times estimated over true variance of the seeds is χ² of S - 1 degrees
    of freedom, independent of it: power = E[Φ((δ - h) / se) + Φ((-δ - h) / se)] over the half-width
    h = sqrt((z·SE_question)² + Σ (t·SE_seed)²·χ² / (S - 1)). SE_question is taken as known: it has n - 1.
    """
    return _found(difference, true.se, *_half_widths(true))


def _found(difference: float, se: float, halves: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    from scipy.special import ndtr

    return float(weights @ (ndtr((difference - halves) / se) + ndtr((-difference - halves) / se)))


def _half_widths(true: Components) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The half-widths of the 95% interval, and the chance of each: chi cut into equal cells, of each side."""
    from scipy.special import chdtr, chdtri, stdtrit

    squares, weights = np.array([(NORMAL.inv_cdf(1 - ALPHA / 2) * true.se_question) ** 2]), np.ones(1)
    for side in true.trainings:
        df = side.count - 1
        edges = np.linspace(0, math.sqrt(chdtri(df, 1e-10)), CELLS[len(true.trainings)] + 1)
        chances = np.diff(chdtr(df, edges**2))
        middles = (edges[1:] + edges[:-1]) / 2
        term = (float(stdtrit(df, 1 - ALPHA / 2)) * side.se * middles) ** 2 / df
        squares, weights = np.add.outer(squares, term).ravel(), np.multiply.outer(weights, chances).ravel()
    return np.sqrt(squares), weights / weights.sum()


def planned(n: int, discordance: float, deviation: float, count: int, samples: int = 1) -> float | None:
    """What the mean of `count` training seeds finds with 80% power, were the seeds' deviation known; None: nothing.

    discordance: the mean squared change of the n questions, with one sample the share of them that change; deviation:
    the standard deviation of the trainings' accuracies on the same questions, as a proportion. All are assumed to
    change the same questions: the worst case. With one training the deviation has no effect.
    """
    pair = minimum_detectable_effect(n, discordance, correction=1.0, whole=samples == 1)
    if pair is None or count == 1:
        return pair
    seeds = Trainings(deviation / math.sqrt(count), count)
    effect = max(pair, over_seeds(Components(math.sqrt(discordance / n), (seeds,))))
    return effect if effect <= (discordance if samples == 1 else 1) else None


def one_way(n: int) -> float | None:
    """The smallest share of n questions that, all changing in one direction, are found with 80% power; exact.

    At least ONE_WAY of them must change: the binomial chance of that reaches 80%. None for fewer questions.
    """
    if n < ONE_WAY:
        return None
    from scipy.special import bdtri  # the p at which P(at most k of n successes) has a given value

    return float(bdtri(ONE_WAY - 1, n, 1 - POWER))


def discordance_high(n: int, changed: float) -> float:
    """The upper 95% Wilson limit of the share of n questions that change; changed: as `moved` returns it."""
    # Rounding must not turn a whole number of questions into one more.
    return intervals.wilson(min(n, math.ceil(changed - 1e-6)), n).high
