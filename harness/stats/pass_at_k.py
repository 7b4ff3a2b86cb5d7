"""Several samples per question: pass@k, pass^k and maj@k, each as one expected score per question.

A score is the exact expectation over all ways to draw k of the K samples without replacement, so k < K needs no
drawing and no seed. The scores go into `harness.stats.paired`, which resamples questions: K answers to one question
are not K independent observations (pooled, 95% intervals were measured to cover 75.8% at K = 8).

Sources: Chen et al. 2021, arXiv 2107.03374 (pass@k), Yao et al. 2024, arXiv 2406.12045 (pass^k), Wang et al. 2022,
arXiv 2203.11171 (majority answer).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import cache
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray


def question_means(ids: Iterable[str], values: Iterable[float]) -> NDArray[np.float64]:
    """The mean of one value per completion over the samples of each question, shape (n,), by first appearance.

    ids: the question of each completion. ValueError for unequal lengths.
    """
    questions: dict[str, list[float]] = {}
    for question, value in zip(ids, values, strict=True):
        questions.setdefault(question, []).append(value)
    return np.array([sum(group) / len(group) for group in questions.values()], dtype=np.float64)


def pass_at_k(correct: ArrayLike, samples: int, k: int) -> NDArray[np.float64]:
    """The probability that at least one of k samples is right, shape (n,): 1 - C(K - c, k) / C(K, k).

    correct: how many of the K = `samples` answers to each question are right, integers of shape (n,). ValueError
    unless 1 <= k <= K and 0 <= c <= K.
    """
    return _by_count(correct, samples, k, lambda c: 1 - Fraction(comb(samples - c, k), comb(samples, k)))


def pass_hat_k(correct: ArrayLike, samples: int, k: int) -> NDArray[np.float64]:
    """The probability that all of k samples are right, shape (n,): C(c, k) / C(K, k). Otherwise as `pass_at_k`."""
    return _by_count(correct, samples, k, lambda c: Fraction(comb(c, k), comb(samples, k)))


def majority(
    answers: Sequence[Sequence[str | None]], correct: Sequence[Sequence[bool]], k: int | None = None
) -> NDArray[np.float64]:
    """maj@k, shape (n,): the expected correctness of the commonest answer among k samples.

    answers, correct: one sequence of K a question; answers in one canonical spelling. None is not a candidate: use it
    for completions without a parsed answer and for those cut at the token limit, which count as wrong in any case.
    Several commonest answers share the vote equally; without any candidate the score is 0. k: default K. ValueError
    for unequal lengths, a k outside 1 … K, or an answer that is both right and wrong.
    """
    scores = []
    for given, right in zip(answers, correct, strict=True):
        votes = list(zip(given, right, strict=True))
        chosen = len(votes) if k is None else k
        if not 1 <= chosen <= len(votes):
            raise ValueError(f"majority: need 1 <= k <= K, got k={chosen}, K={len(votes)}")
        wrong = Counter(answer for answer, is_right in votes if answer is not None and not is_right)
        hits = [answer for answer, is_right in votes if answer is not None and is_right]
        if both := wrong.keys() & set(hits):
            raise ValueError(f"majority: {min(both)!r} is both right and wrong; a cut answer must be None")
        silent = len(votes) - len(hits) - wrong.total()
        scores.append(_expected_majority(len(hits), tuple(sorted(wrong.values())), silent, chosen))
    return np.array(scores, dtype=np.float64)


@cache
def _expected_majority(right: int, wrong: tuple[int, ...], silent: int, k: int) -> float:
    """maj@k of one question: `right` right answers, how often each wrong one was given, `silent` without an answer.

    For each number of votes that the right answer may get, counts (exactly, in integers) the draws in which no wrong
    answer gets more, by how many get the same number.
    """
    left_out = right + sum(wrong) + silent - k
    worth = Fraction(0)
    for votes in range(max(1, right - left_out), min(right, k) + 1):
        ways = {(k - votes, 0): comb(right, votes)}  # (samples still to draw, answers tied with the right one)
        for given in wrong:
            longer: Counter[tuple[int, int]] = Counter()
            for (room, tied), count in ways.items():
                # At most `left_out` of an answer's occurrences can be missing from the draw.
                for taken in range(max(0, given - left_out), min(given, votes, room) + 1):
                    longer[room - taken, tied + (taken == votes)] += count * comb(given, taken)
            ways = longer
        worth += sum(Fraction(count * comb(silent, room), 1 + tied) for (room, tied), count in ways.items())
    return float(worth / comb(left_out + k, k))


def _by_count(correct: ArrayLike, samples: int, k: int, value: Callable[[int], Fraction]) -> NDArray[np.float64]:
    counts = np.asarray(correct)
    if not 1 <= k <= samples:
        raise ValueError(f"need 1 <= k <= K, got k={k}, K={samples}")
    if counts.ndim != 1 or not np.issubdtype(counts.dtype, np.integer):
        raise ValueError("correct: need one integer a question, how many of its samples are right")
    if counts.size and not 0 <= counts.min() <= counts.max() <= samples:
        raise ValueError(f"correct: counts must lie in 0 … {samples}, the samples a question")
    distinct, where = np.unique(counts, return_inverse=True)
    return np.array([float(value(int(c))) for c in distinct], dtype=np.float64)[where]
