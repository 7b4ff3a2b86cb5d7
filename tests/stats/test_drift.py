"""Reward against accuracy: the windows, the test against scipy's, and what raises the alarm."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from harness.bench.drift import rate
from harness.stats.drift import drift, rose, welch, window_length

UP, DOWN = [float(step) for step in range(20)], [0.9 - 0.04 * step for step in range(20)]


def test_welch_is_scipys():
    rng = np.random.default_rng(3)
    for size in (4, 9, 80):
        first, second = rng.normal(0, 1, size), rng.normal(0.4, 2, size + 3)
        theirs = scipy_stats.ttest_ind(first, second, equal_var=False, alternative="less").pvalue
        assert welch(first, second) == pytest.approx(theirs, rel=1e-9)
    assert welch(np.zeros(4), np.ones(4)) == 1.0


@pytest.mark.parametrize(("steps", "length"), [(1, 0), (7, 0), (8, 4), (15, 5), (24, 4), (50, 10), (52, 10)])
def test_windows_are_as_many_as_the_steps_allow(steps, length):
    assert window_length(steps) == length


def test_the_alarm_names_the_first_window_that_raises_it():
    found = drift(UP, DOWN, 20)
    assert found.step == 8 and found.reward == (1.5, 5.5)
    assert found.accuracy == (pytest.approx(0.84), pytest.approx(0.68)) and found.p < 0.05
    assert drift(UP[:8], DOWN[:8], 20) == found  # while it runs, as soon as it can be known
    assert drift(UP[:7], DOWN[:7], 20) is None


@pytest.mark.parametrize(
    ("rewards", "accuracies"),
    [(UP, UP), (DOWN, DOWN), (DOWN, UP), ([1.0] * 20, DOWN), (UP, [0.0] * 20), (UP[:6], DOWN[:6])],
    ids=["both rise", "both fall", "the other way round", "reward stays", "never right", "too short"],
)
def test_nothing_else_raises_it(rewards, accuracies):
    assert drift(rewards, [min(1.0, a / 20) for a in accuracies], len(rewards)) is None


def test_a_reward_rises_where_its_last_window_is_above_its_first():
    assert rose(UP, 20) and rose(DOWN, 20) is rose([1.0] * 20, 20) is False
    assert rose(UP[:7], 7) is None  # too short for two windows
    assert rose([0.0] * 8 + [3.0] * 8, 16) and not rose([3.0] * 8 + [0.0] * 8, 16)  # without any spread, by rank


def test_the_reward_of_a_stopped_training_is_compared_over_the_windows_that_stopped_it():
    rewards = [2.9, 3.1] * 4 + [0.0, 0.1] * 6 + [4.0, 4.1] * 6 + [2.9, 3.1] * 4
    assert drift(rewards, [0.9, 0.8] * 10 + [0.1, 0.2] * 10, 100).step == 40
    assert rose(rewards, 100) and not rose(rewards, 40)


def test_it_is_refused_what_does_not_belong_together():
    with pytest.raises(ValueError, match="3 and 2"):
        drift([1.0] * 3, [0.5] * 2, 20)


def test_simulated_trainings_raise_few_false_alarms_and_many_true_ones():
    """`python -m harness.bench drift` has all designs; 400 trainings have a standard error of 1.1 points at 5%."""
    assert rate(50, 8, 8, 0.3, fall=0.0, replications=400) < 0.05 + 3 * 0.011
    assert rate(100, 16, 4, 0.7, fall=0.5, replications=100) > 0.9
