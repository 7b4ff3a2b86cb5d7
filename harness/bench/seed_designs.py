"""Designs of several trainings, in which the seeds' share of the chance is known and may be by far the larger."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.bench.designs import Design, Draw, N, OneDraw, Simulated
from harness.stats import seeds
from harness.stats.intervals import LEVEL, NORMAL

RIGHT = 0.25  # of the questions before training
FARTHEST = 0.2  # that a training comes out from their mean
RATIOS = (0.3, 1.0, 2.0, 5.0)  # SE_seed / SE_question
MEAN_ABSOLUTE = math.sqrt(2 / math.pi)  # of a normal deviate

Scores = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Trainings:
    """Trainings of one base that all change the same few questions, and come out differently from one another.

    Each moves accuracy by the effect and a normal deviate of its own, on questions that chance chooses for it.
    """

    n: int
    count: int
    discordance: float  # share of the questions that all of them change, half of these for the better
    deviation: float  # of the trainings' accuracies
    own: float = 0.0  # share of the questions that each changes besides, half of these for the better

    def base(self, rng: np.random.Generator) -> Scores:
        return rng.random(self.n) < RIGHT

    def tuned(self, rng: np.random.Generator, base: Scores, effect: float = 0.0) -> Scores:
        """One row a training. effect: the expected difference, made by questions that all of them change."""
        among, share = np.where(base, RIGHT, 1 - RIGHT), max(effect, self.discordance)
        alike = np.where(base, share - effect, share + effect) / 2
        shared = rng.random(self.n) < alike / among
        moves = np.clip(rng.normal(0, self.deviation, (self.count, 1)), -FARTHEST, FARTHEST)
        wanted = np.where(base, np.maximum(-moves, 0), np.maximum(moves, 0)) + self.own / 2
        own = rng.random((self.count, self.n)) < wanted / (among - alike)
        return base ^ (shared | own)


def of_ratio(n: int, counts: tuple[int, ...], discordance: float, ratio: float) -> list[Trainings]:
    """One or two sides of trainings whose means have ratio times the standard error that the questions give."""
    shares, deviation = sum(1 / count for count in counts), 0.0
    for _ in range(50):  # what sets trainings apart changes questions too
        variance = (len(counts) * discordance + MEAN_ABSOLUTE * deviation * shares) / n
        deviation = ratio * math.sqrt(variance / shares)
    return [Trainings(n, count, discordance, deviation) for count in counts]


def simulated() -> Iterator[Simulated]:
    """Designs whose truth is no difference: of one base and its trainings, and of two experiments."""
    for n, discordance in ((N, 0.04), (200, 0.1)):
        for count in (2, 3, 5):
            for ratio in RATIOS if n == N else (1.0,):
                (side,) = of_ratio(n, (count,), discordance, ratio)
                yield Design(f"{count} seeds, r {ratio:g}", n, 0.0, True), 1, _against_base(side)
    for count in (2, 3, 5):
        for points in (1, 3):
            side = Trainings(N, count, 0.01, points / 100)
            yield Design(f"{count} seeds, few flips, SD {points}", N, 0.0, True), 1, _against_base(side)
    for counts in ((2, 2), (3, 3), (5, 5), (2, 5)):
        for ratio in (0.3, 1.0, 5.0):
            sides = of_ratio(N, counts, 0.04, ratio)
            yield Design(f"{counts[0]} and {counts[1]} seeds, r {ratio:g}", N, 0.0, True), 1, _against_each_other(sides)


def _against_base(side: Trainings) -> OneDraw:
    def one(rng: np.random.Generator) -> Draw:
        base = side.base(rng)
        return drawn(base, side.tuned(rng, base))

    return one


def _against_each_other(sides: list[Trainings]) -> OneDraw:
    def one(rng: np.random.Generator) -> Draw:
        base = sides[0].base(rng)
        return drawn(*(side.tuned(rng, base) for side in sides))

    return one


def drawn(first: Scores, second: Scores) -> Draw:
    """The interval over seeds, and two that no report uses: of the questions alone, and Satterthwaite's (1946)."""
    found = seeds.over_seeds(first, second)
    parts = [(found.se_question**2, found.n - 1), *((side.se**2, side.count - 1) for side in found.trainings)]
    freedom = found.se**4 / sum(variance**2 / df for variance, df in parts) if found.se else 1.0
    z = NORMAL.inv_cdf((1 + LEVEL) / 2)
    name = "over seeds" if first.ndim == 1 else "over seeds, both sides"
    intervals = {name: (found.low, found.high)}
    others = {
        "(questions only)": z * found.se_question,
        "(Satterthwaite)": seeds.quantile(freedom + 1) * found.se,
    }
    intervals |= {name: (found.estimate - half, found.estimate + half) for name, half in others.items()}
    return Draw(float((second[0] != (first if first.ndim == 1 else first[0])).sum()), intervals)
