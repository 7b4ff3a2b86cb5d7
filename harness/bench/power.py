"""The power table of `python -m harness.bench coverage`: is what is said to be detected with 80% power detected in 80%?

    given      at the difference for known standard errors, or a known discordance: power 77 to 83% (where under 25
               questions are expected to change it may be more)
    stated     of each simulated run, from its own upper limits: the true power at what it states is 80% or more in at
               least 95% of the runs; a run that states none is no miss

True power is that of the reports' own rule on simulated trainings with the difference built in; for single pairs all
outcomes are enumerated. Rows in brackets are rules that no report uses, for comparison.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harness.bench import outcomes, seed_designs
from harness.bench.designs import Design, N
from harness.bench.seed_designs import RATIOS, Trainings
from harness.stats import finding, paired, power, seeds
from harness.stats.intervals import ALPHA, NORMAL
from harness.stats.power import POWER
from harness.stats.seeds import Components

AROUND = (0.85, 1.0, 1.15)  # of the difference: where true power is simulated, to find where it is 80%
ENOUGH = 25  # expected number of questions that change from which a single pair's power is asked to be near 80%
SAMPLED = ((N, 8), (200, 4))  # questions, samples a question
PAIRS = ((N, 0.02), (N, 0.05), (N, 0.2), (200, 0.1))  # questions, discordance
NEGLIGIBLE = 1e-7


@dataclass(frozen=True, slots=True)
class Row:
    """What is detected with 80% power under one design, and whether it is; percentages, but for the points."""

    design: str
    n: int
    of: str
    points: float | None  # the difference; of those that runs state the median; None: over half state none
    power: float | None
    share: float | None  # of the runs, in which the true power at what they state is 80% or more
    error: float | None  # standard error of power or share; None: enumerated
    at_most: float = 83.0

    @property
    def exception(self) -> str:
        if self.of.startswith("("):
            return ""
        if self.power is not None:
            return outcomes.missed("power", self.power, 77.0, self.at_most, self.error)
        return outcomes.missed("80% or more", self.share or 0.0, 95.0, 100.0, self.error)


def study(replications: int, largest: int) -> Iterator[Row]:
    """All designs of up to `largest` questions; a design is drawn five times over, so with half the replications."""
    replications = max(1, replications // 2)
    for n, discordance in PAIRS:
        if n <= largest:
            yield from _pair(n, discordance)
    for n, samples in SAMPLED:
        if n <= largest:
            yield _sampled(n, samples, replications)
    for name, side in trainings():
        if side.n <= largest:
            yield from _over_seeds(name, side, replications)


def trainings() -> Iterator[tuple[str, Trainings]]:
    for count in (2, 3, 5):
        for ratio in RATIOS[:3] if count == 2 else RATIOS:  # what 2 seeds of ratio 5 detect is over 50 points
            yield f"{count} seeds, r {ratio:g}", seed_designs.of_ratio(N, (count,), 0.04, ratio)[0]
    for count in (3, 5):
        yield f"{count} seeds, few flips, SD 1", Trainings(N, count, 0.01, 0.01)
        yield f"{count} seeds, own flips, SD 1", Trainings(N, count, 0.02, 0.01, own=0.05)
    yield "3 seeds, r 1", seed_designs.of_ratio(200, (3,), 0.1, 1.0)[0]


def _over_seeds(name: str, side: Trainings, replications: int) -> Iterator[Row]:
    design = Design(name, side.n, 0.0, True)
    rng = outcomes.own_rng(design, ", power")
    found = [_differ(side, rng, 0.0) for _ in range(replications)]
    effect = power.over_seeds(_true(found, found))
    there = [_differ(side, rng, effect) for _ in range(replications)]
    effect = power.over_seeds(_true(there, found + there))
    shares = []
    for times in AROUND:
        runs = (_differ(side, rng, times * effect) for _ in range(replications))
        shares.append(sum(d.low > 0 or d.high < 0 for d in runs) / replications)
    at = shares[AROUND.index(1.0)]
    yield Row(
        name, side.n, "over seeds, given", 100 * effect, 100 * at, None, outcomes.standard_error(at, replications)
    )
    if side.count < power.FEWEST:
        return
    stated = np.array([math.inf if (x := power.detectable(d)) is None else x for d in found])
    needed = effect * _where_power_is_enough(shares, replications)
    share, middle = float((stated >= needed).mean()), float(np.median(stated))
    points = 100 * middle if math.isfinite(middle) else None
    yield Row(
        name, side.n, "over seeds, stated", points, None, 100 * share, outcomes.standard_error(share, replications)
    )


def _true(question: list[seeds.SeedsDifference], seed: list[seeds.SeedsDifference]) -> Components:
    """The standard errors of a design with one seeded side as they are: in squares, the means over these runs."""
    sides = (seeds.Trainings(math.sqrt(sum(d.se_seed**2 for d in seed) / len(seed)), len(seed[0].per_seed)),)
    return Components(math.sqrt(sum(d.se_question**2 for d in question) / len(question)), sides)


def _differ(side: Trainings, rng: np.random.Generator, effect: float) -> seeds.SeedsDifference:
    base = side.base(rng)
    return seeds.over_seeds(base, side.tuned(rng, base, effect))


def _where_power_is_enough(shares: list[float], replications: int) -> float:
    """At which multiple of the difference true power is 80%: a line through those AROUND it, as normal deviates."""
    inner = np.clip(shares, 0.5 / replications, 1 - 0.5 / replications)
    slope, start = np.polyfit(AROUND, [NORMAL.inv_cdf(share) for share in inner], 1)
    return float((NORMAL.inv_cdf(POWER) - start) / slope) if slope > 0 else math.inf


def _pair(n: int, discordance: float) -> Iterator[Row]:
    """One pair, one sample a question, enumerated over (gained, lost)."""
    for of, correction in (("one pair, given", 1.0), ("(without the correction)", 0.0)):
        effect = power.minimum_detectable_effect(n, discordance, correction=correction)
        if effect is None:
            continue
        gain, loss = (discordance + effect) / 2, (discordance - effect) / 2
        drawn = outcomes.of_flips(n, gain, loss, NEGLIGIBLE)
        chance = sum(chance for chance, gained, lost in drawn if _detected(gained, lost, n))
        at_most = 83.0 if n * discordance >= ENOUGH else 100.0
        yield Row(f"paired, ψ {discordance:g}", n, of, 100 * effect, 100 * chance, None, None, at_most)


def _detected(gained: int, lost: int, n: int) -> bool:
    drawn = outcomes.flipped(gained, lost, n)
    low, high = drawn.intervals["interval rule"]
    return (low > 0 or high < 0) and max(drawn.p.values()) < ALPHA


def _sampled(n: int, samples: int, replications: int) -> Row:
    """One pair, several samples a question: the base right with p ~ Beta(2, 1), the other wrong c times as often.

    c = 1 - 3δ, as E(1 - p) = 1/3. The mean square of a change is E[p(1-p) + q(1-q)] / samples + E(q - p)², where
    E(1 - p)² = 1/6, so that E p(1-p) = 1/6, E q(1-q) = c/3 - c²/6 and E(q - p)² = (1-c)²/6; δ is what that detects.
    """
    effect = 0.0
    for _ in range(50):
        c = 1 - 3 * effect
        square = (1 / 6 + c / 3 - c * c / 6) / samples + (1 - c) ** 2 / 6
        effect = power.minimum_detectable_effect(n, square, correction=1.0, whole=False) or 0.0
    name = f"K {samples}, better"
    rng, found = outcomes.own_rng(Design(name, n, effect, False), ", power"), 0
    for _ in range(replications):
        p = rng.beta(2, 1, n)
        sides = (rng.binomial(samples, chance) / samples for chance in (p, 1 - (1 - 3 * effect) * (1 - p)))
        found += finding.of(paired.paired_difference(*sides)).kind == "detected"
    share = found / replications
    error = outcomes.standard_error(share, replications)
    return Row(name, n, "one pair, given", 100 * effect, 100 * share, None, error, 100.0)


def line(row: Row) -> str:
    points, chance, share = ("" if x is None else f"{x:.2f}" for x in (row.points, row.power, row.share))
    error = "exact" if row.error is None else f"{row.error:.2f}"
    errors = (error, "") if row.power is not None else ("", error)
    return (
        f"| {row.design:34} | {row.n:5,} | {row.of:30} | {points:>6} | {chance:>7} | {errors[0]:>5} | {share:>16} "
        f"| {errors[1]:>5} |"
    )
