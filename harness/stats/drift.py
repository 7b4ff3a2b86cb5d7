"""Reward against accuracy during a training: whether the reward rises while the accuracy of the rollouts falls.

The steps are cut into equal windows, and each later window is compared with the first, over the means of its steps, by
one-sided Welch tests (Welch 1947) at ALPHA divided by the number of later windows (Bonferroni). The alarm is raised
where in one window the reward is higher and the accuracy is lower. While accuracy does not fall, that happens in at
most ALPHA of the trainings, whatever the reward does: `python -m harness.bench drift` simulates it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.stats.intervals import ALPHA

WINDOWS = 5  # of a training, at most
SHORTEST = 4  # steps a window: fewer say nothing about their spread


@dataclass(frozen=True, slots=True)
class Drift:
    """The first window in which the reward was higher and the accuracy lower than in the first window."""

    step: int  # the last of the window, from 1
    reward: tuple[float, float]  # mean of the first window and of this one
    accuracy: tuple[float, float]  # the same, as proportions
    p: float  # one-sided, of the fall of accuracy, corrected for the number of windows


def window_length(steps: int) -> int:
    """Steps a window in a training of so many; 0 where the training is too short to compare two."""
    windows = min(WINDOWS, steps // SHORTEST)
    return steps // windows if windows > 1 else 0


def drift(rewards: Sequence[float], accuracies: Sequence[float], steps: int) -> Drift | None:
    """The first alarm in the steps so far, of a training of `steps`; None where there is none.

    rewards, accuracies: one mean a step, in order, equally many; accuracies are proportions. ValueError otherwise.
    """
    if len(rewards) != len(accuracies):
        raise ValueError(f"need a reward and an accuracy for each step, got {len(rewards)} and {len(accuracies)}")
    length = window_length(steps)
    if not length:
        return None
    comparisons = steps // length - 1
    columns = [np.asarray(values, dtype=np.float64) for values in (rewards, accuracies)]
    for end in range(2 * length, len(rewards) + 1, length):
        (reward, later_reward), (accuracy, later) = (
            (column[:length], column[end - length : end]) for column in columns
        )
        fall = min(1.0, welch(later, accuracy) * comparisons)
        if fall < ALPHA and welch(reward, later_reward) * comparisons < ALPHA:
            rates = (float(accuracy.mean()), float(later.mean()))
            return Drift(end, (float(reward.mean()), float(later_reward.mean())), rates, fall)
    return None


def rose(values: Sequence[float], steps: int) -> bool | None:
    """Whether the last window is higher than the first, at ALPHA, in a training of `steps`; None: too few to test.

    values: one mean a step, of a training that is over, so that fewer than `steps` are of one that was stopped. Where
    neither window varies they are compared by rank, whose exact p is below ALPHA from SHORTEST steps a window on: 1/70.
    """
    length = window_length(steps)
    if len(values) < 2 * length:
        length = window_length(len(values))
    if not length:
        return None
    column = np.asarray(values, dtype=np.float64)
    first, last = column[:length], column[-length:]
    if not np.ptp(first) and not np.ptp(last):
        return bool(last[0] > first[0])
    return welch(first, last) < ALPHA


def welch(lower: NDArray[np.float64], higher: NDArray[np.float64]) -> float:
    """The one-sided p of "the second mean is not higher"; 1 where neither sample varies.

    Constant samples that differ could be told apart only by assuming how much they might have varied.
    """
    from scipy.special import stdtr  # Student's t

    parts = [float(np.var(sample, ddof=1)) / len(sample) for sample in (lower, higher)]
    variance = sum(parts)
    if not variance:
        return 1.0
    freedom = variance**2 / sum(v**2 / (len(s) - 1) for v, s in zip(parts, (lower, higher), strict=True))
    return float(stdtr(freedom, (float(lower.mean()) - float(higher.mean())) / math.sqrt(variance)))
