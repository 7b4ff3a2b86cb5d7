"""Seeded bootstraps compared with exact results, other libraries and their documentation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from harness.stats import intervals, paired_tests, rates
from harness.stats.intervals import RULE_OF_THREE, TANGO
from harness.stats.paired import SEEDED_WITH_TWO_MORE, paired, paired_difference
from harness.stats.pass_at_k import pass_at_k
from harness.stats.rates import mean
from tests.conftest import near

# A 2.5% quantile of 10,000 normal draws has a standard error of 0.027 deviations; ours and theirs both have it.
SLACK = 5 * 0.027 * math.sqrt(2)


def off_lattice(n, seed):
    """pass@4 of 16 samples, base and tuned: multiples of 1/1820."""
    rng = np.random.default_rng(seed)
    p = rng.beta(2, 2, n)
    return tuple(pass_at_k(rng.binomial(16, chance), 16, 4) for chance in (p, 1 - 0.8 * (1 - p)))


# ---- means and paired differences


def test_on_a_lattice_all_is_exact():
    base, tuned = np.array([0, 0.5, 1, 1, 0]), np.array([1, 0.5, 1, 0, 1])
    assert paired(base, tuned) == paired_difference(base, tuned)
    found = mean(np.tile(tuned, 10))
    exact = intervals.bootstrap_mean(np.tile(tuned, 10))
    assert (found.low, found.high) == (exact.low, exact.high)
    assert (found.value, found.n, found.method) == (0.7, 50, rates.EXACT_MEAN)


def test_near_its_ends_a_mean_has_one_question_more_of_each_kind():
    scores = np.array([1.0] * 96 + [0.5, 0.75, 0.75, 0.0])
    found, exact = mean(scores), intervals.bootstrap_mean([*scores, 0, 1])
    assert (found.low, found.high, found.method) == (exact.low, exact.high, rates.EXACT_MEAN_OF_MORE)
    assert found.low < intervals.bootstrap_mean(scores).low
    mirrored = mean(1 - scores)
    assert (mirrored.low, mirrored.high) == (pytest.approx(1 - found.high), pytest.approx(1 - found.low))
    off = mean(np.append(scores, [1 - 1 / 211, 1 - 1 / 223]))
    assert off.method == rates.SEEDED_MEAN_OF_MORE
    assert off.low == pytest.approx(found.low, abs=0.005) and off.low <= off.value <= off.high


def test_off_a_lattice_the_bootstrap_is_seeded_and_says_so():
    base, tuned = off_lattice(300, 1)
    found = paired(base, tuned)
    assert found.method == "paired bootstrap (10,000 resamples, seed 0)"
    assert found == paired(base, tuned)
    assert (found.gained, found.lost) == ((tuned > base).sum(), (tuned < base).sum())
    test = paired_tests.seeded_sign_flip(tuned - base)
    assert (found.mid_p, found.exact_p) == (test.mid_p, test.exact)
    assert found.correlation == pytest.approx(np.corrcoef(base, tuned)[0, 1], abs=1e-12)
    assert found.estimate == pytest.approx(np.mean(tuned - base), abs=1e-15)
    assert mean(base).method == "bootstrap of question means (10,000 resamples, seed 0)"
    # The exact bootstrap of the same scores, of which it is a simulation.
    exact = intervals.exact_bootstrap(np.rint((tuned - base) * 1820).astype(np.int64), 1820)
    slack = SLACK * found.se
    assert (found.low, found.high) == (pytest.approx(exact.low, abs=slack), pytest.approx(exact.high, abs=slack))


def test_few_changes_off_a_lattice_add_two_questions():
    scores = np.linspace(0.1, 0.6, 60) + 1 / 1820
    after = scores.copy()
    after[:4] += 1 / 3
    found = paired(scores, after)
    assert found.method == SEEDED_WITH_TWO_MORE
    assert found.low < 0 < found.estimate < found.high  # without the two, 0 could not be in it
    # The standard deviation of the 62 differences: sum 4/3, squares 2 + 4/9.
    se = math.sqrt((22 / 9 / 62 - (4 / 3 / 62) ** 2) / 62)
    assert found.high - found.low == pytest.approx(2 * 1.96 * se, rel=0.1)


def test_the_seeded_bootstrap_agrees_with_scipy():
    base, tuned = off_lattice(250, 2)
    for ours, scores in ((paired(base, tuned), tuned - base), (mean(base), base)):
        theirs = scipy_stats.bootstrap((scores,), np.mean, method="percentile", batch=500, rng=3).confidence_interval
        slack = SLACK * ours.se
        assert (ours.low, ours.high) == (pytest.approx(theirs.low, abs=slack), pytest.approx(theirs.high, abs=slack))


def test_no_interval_has_zero_width():
    half = mean(np.full(50, 0.5))
    assert (half.value, half.se, half.method) == (0.5, 0.0, RULE_OF_THREE)
    # If other values were more likely than 1 - .025^(1/50), fifty equal ones would have a probability under 2.5%.
    other = 1 - 0.025 ** (1 / 50)
    assert (half.low, half.high) == (pytest.approx(0.5 * (1 - other)), pytest.approx(0.5 * (1 + other)))
    # At an end of the scale that is Clopper and Pearson's, of which the design gives a value for 1,319 of 1,319.
    assert intervals.rule_of_three(1.0, 1319, floor=0.0).low == near(0.99720718)
    scores = np.array([1 / 1820, 0.25, 1.0])
    same = paired(scores, scores)
    assert (same.method, same.estimate, same.exact_p, same.gained) == (TANGO, 0.0, 1.0, 0)
    assert same.low < 0 < same.high
    shifted = paired(scores / 2, scores / 2 + 1 / 3)
    assert shifted.method == RULE_OF_THREE
    assert shifted.low < 1 / 3 < shifted.high


@pytest.mark.parametrize(("right", "n"), [(49, 50), (50, 50), (0, 7), (989, 1319)])
def test_a_mean_of_right_and_wrong_is_a_rate_and_has_its_interval(right, n):
    found, rate = mean(np.arange(n) < right), intervals.wilson(right, n)
    assert (found.value, found.low, found.high, found.method) == (right / n, rate.low, rate.high, intervals.WILSON)


def test_differences_of_a_rounding_are_none():
    """0.1 + 0.2 exceeds 0.3 by 5.6e-17: nobody gained; 1/1820 makes the scores be on no small lattice."""
    found = paired([0.3, 1 / 1820, 0.5], [0.1 + 0.2, 1 / 1820, 0.25])
    assert (found.gained, found.lost) == (0, 1)


@pytest.mark.parametrize("scores", [[-0.5, 1], [], [float("nan")], [2.0]])
def test_mean_refuses_what_is_no_rate(scores):
    with pytest.raises(ValueError, match="scores"):
        mean(scores)


def test_paired_refuses_as_stats_does():
    base, tuned = off_lattice(10, 1)
    with pytest.raises(ValueError, match="10 questions, tuned has 9"):
        paired(base, tuned[:9])
    with pytest.raises(ValueError, match=r"\[-1, 1\]"):
        paired([-0.1234567, 0], [0.9876543, 0])
