"""pass@k, pass^k and maj@k against published values and against all draws, one by one."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.stats.pass_at_k import majority, pass_at_k, pass_hat_k, question_means
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
