"""Several training seeds: the combination against its parts done by hand."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
from scipy import stats as scipy_stats

from harness.stats import power, rates, verdict
from harness.stats.intervals import RULE_OF_THREE, TANGO
from harness.stats.paired import paired, paired_difference
from harness.stats.seeds import SATTERTHWAITE, mean, over_seeds

N = 1319


def test_reference_t_interval_of_a_paired_difference():
    base = np.repeat([1, 0, 1, 0], [865, 111, 58, 285])
    tuned = np.repeat([1, 1, 0, 0], [865, 111, 58, 285])
    d = paired_difference(base, tuned)
    half = scipy_stats.t.ppf(0.975, N - 1) * d.se
    assert (d.estimate - half, d.estimate + half) == (
        pytest.approx(0.02096181, abs=5.1e-9),
        pytest.approx(0.05940210, abs=5.1e-9),
    )
    assert d.se * math.sqrt((N - 1) / N) == pytest.approx(0.00979366, abs=5.1e-9)  # the bootstrap's standard error
    own = [paired_difference(np.zeros(N), side).se for side in (base, tuned)]
    assert math.hypot(*own) == pytest.approx(0.01747560, abs=5.1e-9)  # unpaired


# ---- the combination


def test_two_seeds_by_hand():
    """Four questions; the base is right on the first two, the seeds gain two and one of the others.

    Seed means: 2/4 and 1/4; the estimate .375. Between seeds: variance .03125, over 2 seeds .015625 (df 1).
    Question means: 0, 0, 1, .5; squares about .375 sum to .6875; variance .6875/3, over 4 questions .6875/12 (df 3).
    """
    base = [1, 1, 0, 0]
    tuned = [[1, 1, 1, 1], [1, 1, 1, 0]]
    found = over_seeds(base, tuned)
    assert (found.first, found.second, found.estimate) == (0.5, 0.875, 0.375)
    assert found.per_seed == (0.5, 0.25)
    assert (found.se_seed**2, found.se_question**2) == (pytest.approx(0.015625), pytest.approx(0.6875 / 12))
    variance = 0.015625 + 0.6875 / 12
    assert found.se == pytest.approx(math.sqrt(variance))
    assert found.df == pytest.approx(variance**2 / (0.015625**2 / 1 + (0.6875 / 12) ** 2 / 3))
    half = scipy_stats.t.ppf(0.975, found.df) * found.se
    few = paired(base, [1, 1, 1, 0.5])  # so few questions that its rule holds too
    assert found.low == pytest.approx(min(0.375 - half, few.low))
    assert found.high == pytest.approx(min(1, max(0.375 + half, few.high)))
    assert found.p == pytest.approx(max(2 * scipy_stats.t.sf(0.375 / found.se, found.df), few.exact_p))
    assert (found.method, found.n, found.means) == (f"{SATTERTHWAITE} (no narrower than {few.method})", 4, few)


def test_where_many_questions_change_the_t_test_decides_alone():
    base, tuned = seeded(N, 3, 0.02, 1)
    found = over_seeds(base, tuned)
    half = scipy_stats.t.ppf(0.975, found.df) * found.se
    assert (found.low, found.high) == (pytest.approx(found.estimate - half), pytest.approx(found.estimate + half))
    assert found.p == pytest.approx(2 * scipy_stats.t.sf(abs(found.estimate) / found.se, found.df))
    assert (found.method, found.means) == (SATTERTHWAITE, None)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (4, 0), (5, 0), (7, 1), (12, 2), (30, 0)])
def test_seeds_that_are_equal_claim_what_one_of_them_claims(gained, lost):
    base, tuned = np.zeros(N), np.zeros(N)
    base[:lost], tuned[lost : lost + gained] = 1, 1
    one, three = paired_difference(base, tuned), over_seeds(base, [tuned, tuned, tuned])
    assert three.low <= one.low and three.high >= one.high and three.p >= one.exact_p
    assert verdict.of(three).kind == verdict.of(one).kind
    assert (power.detectable(three) or math.inf) >= (power.detectable(one) or math.inf)


def test_a_rate_over_seeds_is_the_t_interval_of_its_question_means():
    _, tuned = seeded(N, 4, 0.02, 2)
    found, against_nothing = mean(tuned), over_seeds(np.zeros(N), tuned)
    assert (found.value, found.se, found.n) == (pytest.approx(tuned.mean()), against_nothing.se, N)
    half = scipy_stats.t.ppf(0.975, against_nothing.df) * found.se
    assert (found.low, found.high) == (pytest.approx(found.value - half), pytest.approx(found.value + half))
    assert found.method == SATTERTHWAITE


@pytest.mark.parametrize("wrong", [0, 1, 6])
def test_a_rate_near_its_end_is_no_narrower_than_one_seeds(wrong):
    tuned = np.ones((3, 200))
    tuned[:, :wrong] = 0
    found, one = mean(tuned), rates.mean(tuned[0])
    assert found.low <= one.low and one.high <= found.high <= 1
    assert found.low < found.high and one.method in found.method
    mirrored = mean(1 - tuned)
    assert (mirrored.low, mirrored.high) == (pytest.approx(1 - found.high), pytest.approx(1 - found.low))


def test_a_rate_over_seeds_takes_several_of_both():
    for scores in ([[1, 0, 1]], [1, 0, 1], [[1], [0]]):
        with pytest.raises(ValueError, match="at least 2 training seeds and 2 questions"):
            mean(scores)
    with pytest.raises(ValueError, match=r"need values in \[0, 1\]"):
        mean([[1, -1], [1, -1]])


def seeded(n, s, deviation, seed):
    rng = np.random.default_rng(seed)
    p = rng.beta(4, 2, n)
    return rng.random(n) < p, rng.random((s, n)) < np.clip(p + rng.normal(0, deviation, (s, 1)), 0, 1)


def test_two_experiments_share_the_base_which_cancels():
    base, first = seeded(N, 3, 0.02, 1)
    _, second = seeded(N, 4, 0.02, 2)
    found = over_seeds(first, second)
    apart = over_seeds(base, second).estimate - over_seeds(base, first).estimate
    assert found.estimate == pytest.approx(apart, abs=1e-12)
    # Seed variance of both: s²/3 + s²/4 of the seed means.
    expected = np.var(first.mean(axis=1), ddof=1) / 3 + np.var(second.mean(axis=1), ddof=1) / 4
    assert found.se_seed**2 == pytest.approx(expected)
    swapped = over_seeds(second, first)
    assert (swapped.estimate, swapped.low, swapped.high) == (
        pytest.approx(-found.estimate),
        pytest.approx(-found.high),
        pytest.approx(-found.low),
    )
    assert swapped.p == pytest.approx(found.p)
    # Each of the second's seeds minus the mean of the first's.
    assert found.per_seed == pytest.approx(second.mean(axis=1) - first.mean())


def test_seeds_without_variation_of_their_own_leave_the_questions():
    base, tuned = seeded(N, 1, 0, 3)
    found = over_seeds(base, np.repeat(tuned, 3, axis=0))
    alone = paired_difference(base, tuned[0])
    assert found.se_seed == pytest.approx(0, abs=1e-12)
    assert (found.se, found.df) == (pytest.approx(alone.se), pytest.approx(N - 1))
    assert found.per_seed == (pytest.approx(alone.estimate),) * 3


def test_no_variation_at_all_is_no_certainty():
    base = np.array([1, 0, 1, 1])
    same = over_seeds(base, [base, base])
    assert (same.estimate, same.se, same.df, same.p, same.method) == (0.0, 0.0, None, 1.0, TANGO)
    assert same.low < 0 < same.high
    third = over_seeds(np.zeros(5), np.full((3, 5), 1 / 3))
    assert third.method == RULE_OF_THREE
    assert third.low < 1 / 3 < third.high


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([1, 0], [[1, 1]], "one training seed"),
        ([1, 0], [1, 1], "one training seed"),
        ([[1, 0]], [[1, 1], [0, 1]], "one training seed"),
        ([1, 0, 1], [[1, 1], [0, 1]], "same questions"),
        ([1], [[1], [0]], "at least 2"),
        ([1, 0], [[1, 2], [0, 1]], r"\[-1, 1\]"),
        ([[[1]]], [[1, 1], [0, 1]], "shape"),
    ],
)
def test_bad_input_is_refused(first, second, message):
    with pytest.raises(ValueError, match=message):
        over_seeds(first, second)


def test_results_are_plain_python():
    found = over_seeds(*seeded(500, 2, 0.1, 4))
    assert {type(value) for value in asdict(found).values()} <= {float, int, str, tuple, type(None)}
    assert {type(value) for value in found.per_seed} == {float}
