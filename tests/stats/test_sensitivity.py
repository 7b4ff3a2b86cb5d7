"""The noise floor and the truncation bounds on hand-made answers."""

from __future__ import annotations

import numpy as np
import pytest

from harness.stats.intervals import wilson
from harness.stats.paired import paired_difference
from harness.stats.sensitivity import noise_floor, truncation_bounds


def test_noise_floor_counts_flips_both_ways():
    base, rerun = [1, 1, 0, 0, 1, 0, 1, 1, 1, 0], [1, 0, 1, 0, 1, 0, 1, 0, 1, 0]
    floor = noise_floor(base, rerun)
    assert (floor.flipped, floor.n, floor.rate) == (3, 10, 0.3)
    assert (floor.low, floor.high) == (wilson(3, 10).low, wilson(3, 10).high)
    assert floor.difference == paired_difference(base, rerun)
    # Wilson 3/10: 0.1078 to 0.6032.
    assert floor.sentence() == (
        "Doing nothing flips 30.0% of the questions (3 of 10; 95% interval 10.8% to 60.3%): 1 gained and 2 lost when "
        "the base was evaluated again."
    )


def test_of_several_samples_a_score_changes_and_nothing_flips():
    floor = noise_floor([0.5, 1, 0, 0.25], [0.75, 1, 0, 0])
    assert not floor.flips
    assert floor.sentence().startswith("Doing nothing changes the score of 50.0% of the questions (2 of 4;")
    assert floor.sentence().endswith("): 1 rose and 1 fell when the base was evaluated again.")


def test_a_rerun_without_a_flip_is_no_certainty():
    floor = noise_floor(np.ones(1319), np.ones(1319))
    assert (floor.flipped, floor.rate, floor.low) == (0, 0.0, 0.0)
    assert "flips 0.0% of the questions (0 of 1,319; 95% interval 0.0% to 0.3%)" in floor.sentence()


def test_truncation_bounds_with_one_sample():
    base, base_cut = [1, 0, 0, 1, 0], [0, 1, 0, 0, 1]
    tuned, tuned_cut = [1, 1, 0, 1, 0], [0, 0, 0, 0, 1]
    found = truncation_bounds(base, base_cut, tuned, tuned_cut)
    assert (found.base_cut, found.tuned_cut) == (2 / 5, 1 / 5)
    assert found.scored == paired_difference(base, tuned)
    assert found.lowest == paired_difference([1, 1, 0, 1, 1], tuned)  # -1/5: question 5 is lost
    assert found.highest == paired_difference(base, [1, 1, 0, 1, 1])  # +2/5: questions 2 and 5 are gained
    assert [d.estimate for d in (found.lowest, found.scored, found.highest)] == [-1 / 5, 1 / 5, 2 / 5]


def test_truncation_bounds_with_several_samples():
    base, base_cut = np.array([2, 0, 3, 4]) / 4, np.array([1, 0, 0, 0]) / 4
    tuned, tuned_cut = np.array([4, 3, 3, 3]) / 4, np.array([0, 1, 1, 0]) / 4
    found = truncation_bounds(base, base_cut, tuned, tuned_cut)
    # As scored (4 + 3 + 3 + 3 - 2 - 0 - 3 - 4)/16 = 4/16; one more for the base, two more for the tuned.
    assert [d.estimate for d in (found.lowest, found.scored, found.highest)] == [3 / 16, 4 / 16, 6 / 16]
    assert (found.base_cut, found.tuned_cut) == (1 / 16, 2 / 16)


def test_nothing_cut_is_nothing_to_bound():
    base, tuned, none = [1, 0, 1], [1, 1, 1], [0, 0, 0]
    found = truncation_bounds(base, none, tuned, none)
    assert found.lowest == found.scored == found.highest


@pytest.mark.parametrize(
    ("base", "base_cut", "tuned", "tuned_cut", "message"),
    [
        ([1, 0], [1, 0], [1, 0], [0, 0], "base: .* must count as wrong"),
        ([1, 0], [0, 0], [1, 0], [0, -1], "tuned: need shares"),
        ([1, 0], [0], [1, 0], [0, 0], "base: .* differ in length"),
        ([1, 0], [0, 0], [1], [0], "2 questions, tuned has 1"),
        ([float("nan")], [0], [1], [0], "NaN"),
    ],
)
def test_impossible_shares_are_refused(base, base_cut, tuned, tuned_cut, message):
    with pytest.raises(ValueError, match=message):
        truncation_bounds(base, base_cut, tuned, tuned_cut)
