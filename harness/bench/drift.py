"""`python -m harness.bench drift`: how often does the drift warning speak of a training whose accuracy does not fall?

Trainings are simulated in which the reward rises and the accuracy stays: each step draws new prompts, whose difficulty
varies widely, and answers each several times. The warning must speak in at most 5% of them. The last column is how
often it does where accuracy falls by a third from the first step to the last.
"""

from __future__ import annotations

import itertools

import numpy as np

from harness.stats.drift import drift
from harness.util.cli import Parser
from harness.util.errors import HarnessError

STEPS = (24, 50, 100, 400)
STEP = ((1, 4), (8, 8), (16, 4))  # prompts, completions a prompt
ACCURACIES = (0.02, 0.1, 0.3, 0.7, 0.95)
SPREAD = 0.5  # a + b of the beta distribution of a prompt's difficulty: most are nearly always right or wrong
FALL = 1 / 3
REPLICATIONS = 1000
SEED = 20


def rate(steps: int, prompts: int, generations: int, accuracy: float, fall: float, replications: int) -> float:
    """The share of simulated trainings in which the warning speaks."""
    rng = np.random.default_rng([SEED, steps, prompts, generations, round(1000 * accuracy), round(1000 * fall)])
    level = accuracy * (1 - fall * np.arange(steps) / (steps - 1))[:, None]
    alarms = 0
    for _ in range(replications):
        difficulty = rng.beta(SPREAD * level, SPREAD * (1 - level), (steps, prompts))
        right = rng.binomial(generations, difficulty).mean(axis=1) / generations
        rewards = np.arange(steps) + rng.normal(0, 0.1, steps)
        alarms += drift(list(rewards), list(right), steps) is not None
    return alarms / replications


def main(argv: list[str]) -> None:
    parser = Parser("bench drift", __doc__)
    parser.add_argument("--replications", type=int, default=REPLICATIONS, metavar="N", help=f"default {REPLICATIONS:,}")
    replications = parser.parse(argv).replications
    if replications < 1:
        raise HarnessError(f"--replications: {replications}; need at least 1")
    print(f"{replications:,} simulated trainings a row; the warning's false alarms are asked to be at most 5%.\n")
    print("| steps | prompts x completions a step | accuracy % | false alarms % | found when it falls by a third % |")
    print("|---|---|---|---|---|")
    for steps, (prompts, generations), accuracy in itertools.product(STEPS, STEP, ACCURACIES):
        false, found = (rate(steps, prompts, generations, accuracy, fall, replications) for fall in (0.0, FALL))
        print(f"| {steps} | {prompts} x {generations} | {100 * accuracy:g} | {100 * false:.1f} | {100 * found:.1f} |")
