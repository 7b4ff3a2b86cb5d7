"""How to spend a given number of hours: the questions, samples and seeds that detect the smallest difference.

Designs are ranked by what they detect with 80% power under assumptions that are said; what their report will state is
given too, which is more over training seeds, whose deviation it has to estimate. The steps of the training stay as they
are: no formula says how much more a longer training would change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from harness.cost.estimate import HOUR, Pace
from harness.stats import power
from harness.util.text import plural

DISCORDANCE = 0.10  # assumed share of the questions that change with one sample each
CHANCE = 0.5  # assumed part of it that is chance between samples, which more samples average out
DEVIATION = 0.01  # assumed standard deviation of the trainings' accuracies
SAMPLES = (1, 2, 4, 8, 16)
SEEDS = (1, 3, 4, 5, 6, 8, 10, 12, 16)
FEWEST = 32  # questions of a design that is offered
ASSUMED = (
    f"if {DISCORDANCE:.0%} of the questions change with one sample each, {CHANCE:.0%} of that by chance between "
    f"samples, and the accuracies of trainings have a standard deviation of {100 * DEVIATION:g} point"
)


@dataclass(frozen=True, slots=True)
class Design:
    """What a run asks and how often it trains."""

    questions: int
    samples: int
    seeds: int

    @property
    def detects(self) -> float | None:
        """The smallest difference that it finds with 80% power, as a proportion; None: none."""
        return power.planned(self.questions, self._share, DEVIATION, self.seeds, self.samples)

    @property
    def stated(self) -> float | None:
        """The same as its report will state it."""
        return power.stated(self.questions, self._share, DEVIATION, self.seeds, self.samples)

    @property
    def _share(self) -> float:
        return DISCORDANCE * (1 - CHANCE + CHANCE / self.samples)

    def __str__(self) -> str:
        return f"{self.questions:,} questions x {plural(self.samples, 'sample')} x {plural(self.seeds, 'seed')}"


def best(pace: Pace, hours: float, tasks: Sequence[int], seeds: Sequence[int]) -> Design | None:
    """Of the designs that take no longer, the one that detects the smallest difference, then the shortest; or None.

    tasks: the questions of each; those of the first are what the difference is of.
    """
    questions = tasks[0]
    sizes = [questions // part for part in (1, 2, 4, 8, 16) if questions // part >= FEWEST] or [questions]
    found = []
    for design in map(Design, *zip(*product(sizes, SAMPLES, seeds), strict=True)):
        seconds = _seconds(pace, design, tasks)
        if seconds <= hours * HOUR and (effect := design.detects) is not None:
            found.append((round(effect, 6), seconds, design))
    return min(found, key=lambda each: each[:2])[2] if found else None


def _seconds(pace: Pace, design: Design, tasks: Sequence[int]) -> float:
    """What a design takes; eval.limit is of every task."""
    limit = design.questions if design.questions < tasks[0] else max(tasks)
    return pace.run(sum(min(limit, size) for size in tasks), design.samples, design.seeds)


def lines(pace: Pace | None, hours: float, tasks: Sequence[int]) -> Iterator[str]:
    """How to spend the hours, in words; tasks: the questions that each has, the first task first."""
    if pace is None:
        yield (
            f"How to spend {hours:g} h is not known: no run of this kind was measured on this machine. Run it once "
            "with few steps and questions (train.steps=4 eval.limit=64), and plan again: the plan reads what that took."
        )
        return
    yield f"How to spend {hours:g} h, {ASSUMED} (times as in {pace.source}; steps as they are):"
    for what, seeds in (
        ("one training, so about this checkpoint alone", SEEDS[:1]),
        ("several, so about trainings like these", SEEDS[1:]),
    ):
        design = best(pace, hours, tasks, seeds)
        if design is None:
            least = _seconds(pace, Design(min(tasks[0], FEWEST), 1, seeds[0]), tasks) / HOUR
            yield f"- {what}: nothing that detects a difference; {seeds[0]} with {FEWEST} questions take {least:.2f} h."
            continue
        took = _seconds(pace, design, tasks) / HOUR
        found, said = (f"≥ {100 * each:.2f}" if each else "none" for each in (design.detects, design.stated))
        most = ", the most that are looked at" if design.samples == SAMPLES[-1] or design.seeds == SEEDS[-1] else ""
        stated = f"detect {found} points with 80% power (the report will state {said})"
        yield f"- {what}: {design}{most}, {took:.2f} h, {stated}."
    yield "Set them by eval.limit, eval.samples (with eval.temperature: greedy answers are all alike) and train.seeds."
