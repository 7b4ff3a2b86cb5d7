"""pass@k, pass^k and maj@k against published values and against all draws, one by one."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.stats import seeds
from harness.stats.pass_at_k import (
    band,
    curve,
    majority,
    newly_solved,
    pass_at_k,
    pass_hat_k,
    question_means,
)
from tests.conftest import near


def test_reference_values():
    assert pass_at_k([3], 10, 5) == near([0.91666667])
    assert pass_at_k([1], 16, 8) == near([0.5])
    assert pass_hat_k([6], 10, 5) == near([0.02380952])


@pytest.mark.parametrize(("samples", "k"), [(1, 1), (4, 1), (4, 3), (4, 4), (7, 3)])
def test_they_are_means_over_all_draws(samples, k):
    for correct in range(samples + 1):
        draws = list(itertools.combinations([True] * correct + [False] * (samples - correct), k))
        assert pass_at_k([correct], samples, k)[0] == pytest.approx(np.mean([any(draw) for draw in draws]), abs=1e-15)
        assert pass_hat_k([correct], samples, k)[0] == pytest.approx(np.mean([all(draw) for draw in draws]), abs=1e-15)


def test_one_draw_is_accuracy_and_many_samples_are_no_overflow():
    correct = np.arange(9)
    for measure in (pass_at_k, pass_hat_k):
        assert measure(correct, 8, 1) == pytest.approx(correct / 8, abs=1e-15)
    assert pass_at_k([1], 10_000, 5000)[0] == 0.5


@pytest.mark.parametrize(
    ("correct", "samples", "k", "message"),
    [
        ([1], 4, 5, "1 <= k <= K"),
        ([1], 4, 0, "1 <= k <= K"),
        ([5], 4, 2, r"0 … 4"),
        ([-1], 4, 2, r"0 … 4"),
        ([0.5], 4, 2, "integer"),
        ([[1]], 4, 2, "integer"),
    ],
)
def test_impossible_counts_are_refused(correct, samples, k, message):
    for measure in (pass_at_k, pass_hat_k):
        with pytest.raises(ValueError, match=message):
            measure(correct, samples, k)


# ---- majority


def vote(answers, gold, k=None):
    return float(majority([answers], [[answer == gold for answer in answers]], k)[0])


@pytest.mark.parametrize(
    ("answers", "k", "expected"),
    [
        (["18", "18", "7"], None, 1.0),
        (["18", "7", "7"], None, 0.0),
        (["18", "7", "7", "18"], None, 1 / 2),  # two share the vote
        (["18", "7", "9"], None, 1 / 3),  # three do
        (["18", None, None, None], None, 1.0),  # the only candidate
        ([None, None], None, 0.0),  # none at all
        (["7", "7"], None, 0.0),
        (["18", "7", "7", None], 1, 1 / 4),  # one draw is accuracy
        # Six pairs: 18 with each 7 (½ twice), 18 alone (1), two 7s (0), a 7 alone (0 twice).
        (["18", "7", "7", None], 2, (1 / 2 + 1 / 2 + 1) / 6),
    ],
)
def test_the_commonest_answer_wins_and_ties_share(answers, k, expected):
    assert vote(answers, "18", k) == pytest.approx(expected, abs=1e-15)


def brute_force(answers, gold, k):
    worth = []
    for draw in itertools.combinations(answers, k):
        counts = Counter(answer for answer in draw if answer is not None)
        best = [answer for answer, count in counts.items() if count == max(counts.values())]
        worth.append((gold in best) / len(best) if best else 0)
    return np.mean(worth)


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.lists(st.sampled_from(["18", "7", "9", "1/3", None]), min_size=1, max_size=8), st.data())
def test_majority_is_the_mean_over_all_draws(answers, data):
    k = data.draw(st.integers(1, len(answers)))
    assert vote(answers, "18", k) == pytest.approx(brute_force(answers, "18", k), abs=1e-12)


def test_a_cut_answer_is_no_candidate():
    with pytest.raises(ValueError, match="'18' is both right and wrong"):
        majority([["18", "18"]], [[True, False]])
    assert majority([["18", None]], [[True, False]])[0] == 1.0


@pytest.mark.parametrize(
    ("answers", "correct", "k"), [([["1"]], [[True]], 2), ([["1"]], [[True]], 0), ([[]], [[]], None)]
)
def test_majority_refuses_impossible_draws(answers, correct, k):
    with pytest.raises(ValueError, match="1 <= k <= K"):
        majority(answers, correct, k)


def test_majority_refuses_unequal_lengths():
    with pytest.raises(ValueError, match="zip"):
        majority([["1"], ["2"]], [[True]])
    with pytest.raises(ValueError, match="zip"):
        majority([["1", "2"]], [[True]])


def test_question_means_are_by_first_appearance():
    assert question_means("babca", [1, 0, 0, 1, 1]).tolist() == [0.5, 0.5, 1.0]
    with pytest.raises(ValueError, match="shorter"):
        question_means("ab", [1])


# ---- curves over k

RNG = np.random.default_rng(11)
CHANCES = RNG.beta(1, 2, 60)
BASE = RNG.binomial(6, CHANCES)
TUNED = RNG.binomial(6, np.minimum(1, CHANCES + 0.1))


def solved(correct, samples, k):
    """The share of draws with a right answer, all of them one by one."""
    draws = list(itertools.combinations([True] * correct + [False] * (samples - correct), k))
    return sum(map(any, draws)) / len(draws)


def band_by_index(base, tuned, samples, resamples=4000):
    """The same band, question by question: each resample is a list of indices, and two questions are added."""
    d = [[solved(t, samples, k) - solved(b, samples, k) for k in range(1, samples + 1)]
         for b, t in zip(base, tuned, strict=True)]  # fmt: skip
    d += [[1.0] * samples, [-1.0] * samples]
    n, rng, columns = len(d), np.random.default_rng(5), np.array(d).T
    middles = [sum(column) / n for column in columns]
    errors = [np.sqrt(sum((x - m) ** 2 for x in c) / (n - 1) / n) for c, m in zip(columns, middles, strict=True)]
    largest = []
    for _ in range(resamples):
        drawn = rng.integers(0, n, n)
        means = [column[drawn].mean() for column in columns]
        largest.append(max(abs(x - m) / e for x, m, e in zip(means, middles, errors, strict=True)))
    critical = float(np.quantile(largest, 0.95))
    return critical, [(m - critical * e, m + critical * e) for m, e in zip(middles, errors, strict=True)]


def test_the_band_is_that_of_another_implementation():
    found = band(BASE, TUNED, 6)
    critical, ends = band_by_index(BASE, TUNED, 6)
    # The 95% quantile of 4,000 and of 10,000 draws: its standard error is about .02 and .013.
    assert found.critical == pytest.approx(critical, abs=0.08)
    assert 1.96 < found.critical < 2.64  # one comparison, and Bonferroni over six
    for low, high, expected in zip(found.low, found.high, ends, strict=True):
        assert (low, high) == (pytest.approx(expected[0], abs=0.005), pytest.approx(expected[1], abs=0.005))
    assert found.estimate == pytest.approx((curve(TUNED, 6) - curve(BASE, 6)).mean(axis=0))
    assert band(BASE, TUNED, 6) == found  # seeded


def test_a_swapped_band_is_the_mirrored_one_but_for_the_draws():
    there, back = band(BASE, TUNED, 6), band(TUNED, BASE, 6)
    for low, high in zip(there.low, back.high, strict=True):
        assert low == pytest.approx(-high, abs=0.005)


def test_a_k_without_variance_has_no_band():
    """Every question is solved with two or more answers by both; with one answer they differ."""
    found = band([1] * 10 + [2] * 10, [2] * 10 + [1] * 10, 2)
    assert found.low[1] is found.high[1] is None and found.estimate[1] == 0
    assert found.low[0] < 0 < found.high[0] and found.critical > 0
    assert band(BASE, BASE, 6).critical is None and set(band(BASE, BASE, 6).low) == {None}


def test_equal_seeds_add_nothing_and_different_ones_widen_the_band():
    alone, equal = band(BASE, TUNED, 6), band(BASE, np.stack([TUNED] * 3), 6)
    assert equal.low == pytest.approx(alone.low) and equal.high == pytest.approx(alone.high)
    sides = np.stack([TUNED, BASE, RNG.binomial(6, CHANCES)])
    found, mean = band(BASE, sides, 6), np.mean([curve(side, 6) for side in sides], axis=0) - curve(BASE, 6)
    each = [(curve(side, 6) - curve(BASE, 6)).mean(axis=0)[0] for side in sides]
    wider = np.append(mean[:, 0], [1, -1])
    questions, trainings = wider.std(ddof=1) / np.sqrt(62), np.std(each, ddof=1) / np.sqrt(3)
    half = seeds.Components(questions, (seeds.Trainings(trainings, 3),)).half_width(found.critical)
    assert found.high[0] == pytest.approx(wider.mean() + half)
    assert half > found.critical * questions * 1.5


def test_bands_of_different_questions_are_refused():
    with pytest.raises(ValueError, match="the same questions"):
        band([1, 2], [1, 2, 3], 4)
    with pytest.raises(ValueError, match="0 … 4"):
        band([1, 5], [1, 2], 4)


# ---- newly solved


@pytest.mark.parametrize(("samples", "drawn"), [(2, 1), (3, 1), (4, 2), (5, 2)])
def test_newly_solved_is_the_mean_over_all_pairs_of_disjoint_sets(samples, drawn):
    answers = list(itertools.product((False, True), repeat=samples))
    for first, second in itertools.product(answers, answers):
        found = []
        for chosen in itertools.combinations(range(samples), drawn):
            for other in itertools.combinations(set(range(samples)) - set(chosen), drawn):
                found.append(not any(first[i] for i in chosen) and any(second[i] for i in other))
        assert newly_solved([first], [second], drawn)[0] == pytest.approx(np.mean(found), abs=1e-15)


def test_a_model_with_the_same_answers_solves_as_many_newly_as_chance():
    """Also where both draw with the same seeds, so that half of their answers are the same."""
    rng = np.random.default_rng(6)
    p = rng.beta(1, 2, (4000, 1))
    base = rng.random((4000, 8)) < p
    tuned = np.where(rng.random((4000, 8)) < 0.5, base, rng.random((4000, 8)) < p)
    by_chance, found = newly_solved(base, base, 4), newly_solved(base, tuned, 4)
    error = np.std(found - by_chance, ddof=1) / np.sqrt(4000)
    assert found.mean() == pytest.approx(by_chance.mean(), abs=4 * error)
    independent = ((1 - p) ** 4 * (1 - (1 - p) ** 4)).mean()
    assert by_chance.mean() == pytest.approx(independent, abs=4 * np.std(by_chance) / np.sqrt(4000))


def test_impossible_sets_are_refused():
    for first, second, drawn in (([[1, 0]], [[1, 0]], 2), ([[1, 0]], [[1, 0, 1]], 1), ([1, 0], [1, 0], 1)):
        with pytest.raises(ValueError, match="need two arrays"):
            newly_solved(first, second, drawn)
