"""Several training seeds: the combination against its parts done by hand."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
from scipy import optimize
from scipy import stats as scipy_stats

from harness.stats import finding, power, rates
from harness.stats.intervals import RULE_OF_THREE, TANGO
from harness.stats.paired import paired, paired_difference
from harness.stats.seeds import OVER_SEEDS, Components, Trainings, by_seed, mean, over_seeds

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
    assert found.se == pytest.approx(math.sqrt(0.015625 + 0.6875 / 12))
    assert found.trainings == (Trainings(pytest.approx(0.125), 2),)
    half = math.sqrt(scipy_stats.norm.ppf(0.975) ** 2 * 0.6875 / 12 + scipy_stats.t.ppf(0.975, 1) ** 2 * 0.015625)
    few = paired(base, [1, 1, 1, 0.5])  # so few questions that its rule holds too
    assert found.low == pytest.approx(max(-1, min(0.375 - half, few.low)))
    assert found.high == pytest.approx(min(1, max(0.375 + half, few.high)))
    assert found.p == pytest.approx(max(touching(0.375, math.sqrt(0.6875 / 12), (0.125, 1)), few.exact_p))
    assert (found.method, found.n, found.means) == (f"{OVER_SEEDS} (no narrower than {few.method})", 4, few)


def touching(estimate, se_question, *sides):
    """The p at which z and t quantiles, each times its own standard error, add up to the estimate; by scipy alone."""

    def beyond(log_p):
        tail = math.exp(log_p) / 2
        parts = [scipy_stats.t.isf(tail, df) * se for se, df in sides]
        return math.hypot(scipy_stats.norm.isf(tail) * se_question, *parts) - abs(estimate)

    return math.exp(optimize.brentq(beyond, math.log(1e-200), 0.0, xtol=1e-14))


def test_where_many_questions_change_the_formula_decides_alone():
    base, tuned = seeded(N, 3, 0.02, 1)
    found = over_seeds(base, tuned)
    half = math.hypot(scipy_stats.norm.ppf(0.975) * found.se_question, scipy_stats.t.ppf(0.975, 2) * found.se_seed)
    assert (found.low, found.high) == (pytest.approx(found.estimate - half), pytest.approx(found.estimate + half))
    assert found.p == pytest.approx(touching(found.estimate, found.se_question, (found.se_seed, 2)))
    assert (found.method, found.means) == (OVER_SEEDS, None)


@pytest.mark.parametrize(
    ("se_question", "sides"),
    [
        (0.01, [(0.003, 2)]),
        (0.01, [(0.05, 2)]),
        (0.01, [(0.02, 5)]),
        (0.002, [(0.01, 2), (0.03, 4)]),
        (0.0, [(0.01, 3)]),
    ],
)
def test_p_is_the_level_at_which_the_interval_touches_zero(se_question, sides):
    parts = Components(se_question, tuple(Trainings(*side) for side in sides))
    for estimate in (0.001, 0.02, 0.1, 0.9):
        expected = touching(estimate, se_question, *((se, count - 1) for se, count in sides))
        assert parts.p(estimate) == parts.p(-estimate) == pytest.approx(expected, rel=1e-9)
    assert parts.p(0.0) == 1.0
    half = parts.half_width()
    assert half == pytest.approx(
        math.hypot(1.959963984540054 * se_question, *(scipy_stats.t.ppf(0.975, n - 1) * se for se, n in sides))
    )
    # Never at odds with the interval, however close 0 is to its end.
    assert parts.p(half * (1 + 1e-9)) < 0.05 < parts.p(half * (1 - 1e-9))
    assert parts.p(half) == pytest.approx(0.05, rel=1e-10)


def test_p_of_one_part_alone_is_its_own_test():
    questions, trainings = Components(0.01, (Trainings(0.0, 3),)), Components(0.0, (Trainings(0.01, 2),))
    assert questions.p(0.025) == pytest.approx(2 * scipy_stats.norm.sf(2.5))
    assert trainings.p(0.025) == pytest.approx(2 * scipy_stats.t.sf(2.5, 1))
    assert 0 < questions.p(1.0) < 1e-250  # as small as it is told to be, and no error
    assert trainings.p(1e300 * 0.01) >= 0


def test_interval_and_p_agree_on_every_draw_where_no_other_rule_joins_in():
    rng = np.random.default_rng(5)
    for _ in range(200):
        base = rng.random(300) < 0.5
        tuned = base ^ (rng.random((rng.integers(2, 6), 300)) < rng.uniform(0.2, 0.4))
        found = over_seeds(base, tuned)
        if found.means is None:
            assert (found.low > 0 or found.high < 0) == (found.p < 0.05)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (4, 0), (5, 0), (7, 1), (12, 2), (30, 0)])
def test_seeds_that_are_equal_claim_what_one_of_them_claims(gained, lost):
    base, tuned = np.zeros(N), np.zeros(N)
    base[:lost], tuned[lost : lost + gained] = 1, 1
    one, three = paired_difference(base, tuned), over_seeds(base, [tuned, tuned, tuned])
    assert three.low <= one.low and three.high >= one.high and three.p >= one.exact_p
    assert finding.of(three).kind == finding.of(one).kind
    assert (power.detectable(three) or math.inf) >= (power.detectable(one) or math.inf)


def test_a_rate_over_seeds_is_its_difference_from_nothing():
    _, tuned = seeded(N, 4, 0.02, 2)
    found, against_nothing = mean(tuned), over_seeds(np.zeros(N), tuned)
    assert (found.value, found.se, found.n) == (pytest.approx(tuned.mean()), against_nothing.se, N)
    by_seed = scipy_stats.t.ppf(0.975, 3) * np.std(tuned.mean(axis=1), ddof=1) / 2
    half = math.hypot(scipy_stats.norm.ppf(0.975) * np.std(tuned.mean(axis=0), ddof=1) / math.sqrt(N), by_seed)
    assert (found.low, found.high) == (pytest.approx(found.value - half), pytest.approx(found.value + half))
    assert found.method == OVER_SEEDS


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
    # And each its own quantile, as Satterthwaite would not have it.
    parts = [scipy_stats.t.ppf(0.975, len(side) - 1) * scipy_stats.sem(side.mean(axis=1)) for side in (first, second)]
    half = math.hypot(scipy_stats.norm.ppf(0.975) * found.se_question, *parts)
    assert (found.low, found.high) == (pytest.approx(found.estimate - half), pytest.approx(found.estimate + half))
    assert [side.count for side in found.trainings] == [3, 4]
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
    assert found.se == pytest.approx(alone.se)
    half = scipy_stats.norm.ppf(0.975) * alone.se
    assert (found.low, found.high) == (pytest.approx(alone.estimate - half), pytest.approx(alone.estimate + half))
    assert found.per_seed == (pytest.approx(alone.estimate),) * 3


def test_no_variation_at_all_is_no_certainty():
    base = np.array([1, 0, 1, 1])
    same = over_seeds(base, [base, base])
    assert (same.estimate, same.se, same.trainings, same.p, same.method) == (0.0, 0.0, (), 1.0, TANGO)
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


# ---- twins that share their seeds


def test_what_a_seed_does_to_both_of_a_pair_cancels():
    """By hand: 400 questions, three seeds, of which one is bad for both; the differences of the seeds vary little."""
    rng = np.random.default_rng(8)
    first = (rng.random((3, 400)) < np.array([[0.5], [0.2], [0.5]])).astype(float)
    second = np.maximum(first, rng.random((3, 400)) < 0.1)
    found, d = by_seed(first, second), second - first
    se_question = d.mean(axis=0).std(ddof=1) / math.sqrt(400)
    se_seed = d.mean(axis=1).std(ddof=1) / math.sqrt(3)
    half = math.hypot(scipy_stats.norm.ppf(0.975) * se_question, scipy_stats.t.ppf(0.975, 2) * se_seed)
    assert (found.first, found.second) == (pytest.approx(first.mean()), pytest.approx(second.mean()))
    assert found.estimate == pytest.approx(d.mean()) == pytest.approx(found.second - found.first)
    assert (found.low, found.high) == (pytest.approx(d.mean() - half), pytest.approx(d.mean() + half))
    assert found.per_seed == pytest.approx(tuple(d.mean(axis=1)))
    apart = over_seeds(first, second)  # as if the seeds were others
    assert apart.high - apart.low > 5 * (found.high - found.low) and apart.estimate == pytest.approx(found.estimate)


def test_twins_of_one_seed_are_a_pair_and_others_are_refused():
    first, second = [0, 1, 0, 1], [1, 1, 0, 1]
    assert by_seed(first, second) == paired(first, second)
    for other in ([second, second], [1, 0]):
        with pytest.raises(ValueError, match="the same seeds and questions"):
            by_seed([first, first, first] if np.ndim(other) == 2 else first, other)


def test_twins_that_share_their_seeds_are_covered():
    """Both trainings of a seed move together by 4 points, their difference by 1: at least 93% of 400 are covered."""
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(400):
        shared, own = rng.normal(0, 0.04, 3), rng.normal(0, 0.01, 3)
        easy = rng.random(500)
        control = (easy < (0.4 + shared)[:, None]).astype(float)
        tuned = (easy < (0.4 + shared + 0.05 + own)[:, None]).astype(float)
        found = by_seed(control, tuned)
        covered += found.low <= 0.05 <= found.high
    assert covered >= 0.93 * 400
