"""What a design can detect: from its size before a run, from the number of changed questions after it."""

from __future__ import annotations

import math
from operator import index

from harness.stats import intervals
from harness.stats.intervals import ALPHA, NORMAL
from harness.stats.paired import PairedDifference
from harness.stats.seeds import SeedsDifference

ONE_WAY = 6  # the fewest changes in one direction for which the exact p is below .05: 2 · 2^-6
POWER = 0.8


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
    with 1, McNemar's continuity correction (Edwards 1948), the equation holds for δ - 1/n. ValueError unless n >= 1,
    0 <= ψ <= 1.
    """
    if n < 1 or not 0 <= discordance <= 1:
        raise ValueError(f"need n >= 1 and a discordance in [0, 1], got n={n}, discordance={discordance}")
    n, discordance = index(n), float(discordance)
    k = (NORMAL.inv_cdf(1 - alpha / 2) + NORMAL.inv_cdf(power)) ** 2 / n
    share, shift = k / (1 + k), correction / n
    if whole and share > discordance:  # without a correction δ² = share·ψ, so δ > ψ exactly then
        return None
    # The positive root of (1 + k)·δ² - 2·shift·δ + shift² - kψ = 0.
    root = math.sqrt(max(0.0, share * (discordance - shift * shift / (1 + k))))
    effect = shift / (1 + k) + root
    return effect if effect <= (discordance if whole else 1) else None


def detectable(difference: PairedDifference | SeedsDifference) -> float | None:
    """The smallest difference, as a proportion, that `verdict.of` calls detected with 80% power; None: none at all.

    From the upper 95% Wilson limit of `moved` / n, which is conservative with several samples: squared changes vary at
    most as much as 0 and 1 do. Over training seeds: (t_{α/2} + t_β)·SE at the degrees of freedom of the estimate
    (Bloom 1995); t already allows for the uncertain SE, so no limit of the SE is taken. If few questions changed, it
    is at least that of the question means as one pair, because their rules also decide.
    """
    d = difference
    if not isinstance(d, SeedsDifference):
        changed = moved(d.n, d.estimate, d.se)
        whole = changed > d.gained + d.lost - 1e-6
        return minimum_detectable_effect(d.n, discordance_high(d.n, changed), correction=1.0, whole=whole)
    if d.df is None:
        return None
    from scipy.special import stdtrit  # quantiles of Student's t

    effects = [d.se * float(stdtrit(d.df, 1 - ALPHA / 2) + stdtrit(d.df, POWER))]
    if d.means:
        effects.append(detectable(d.means) or math.inf)
    return max(effects) if max(effects) <= 1 else None


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
