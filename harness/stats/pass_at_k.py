"""Several samples per question: pass@k, pass^k and maj@k as one expected score per question, and curves over k.

A score is the exact expectation over all ways to draw k of the K samples without replacement, so k < K needs no
drawing and no seed. The scores go into `harness.stats.paired`, which resamples questions: K answers to one question
are not K independent observations (pooled, 95% intervals were measured to cover 75.8% at K = 8).

Two models are compared at every k at once by a sup-t band. It holds the whole curve of differences in 95% of repeats,
so that a k may be picked after looking. Where few questions differ at large k the plain band covered 22 to 45%. With
one more question gained and one more lost, as in `intervals.with_two_more`, it covers 94% or more, and is wider than
needed where few differ (`python -m harness.bench coverage`).

Sources: Chen et al. 2021, arXiv 2107.03374 (pass@k), Yao et al. 2024, arXiv 2406.12045 (pass^k), Wang et al. 2022,
arXiv 2203.11171 (majority answer), Montiel Olea and Plagborg-Møller 2019, Journal of Applied Econometrics 34 (sup-t).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import comb, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.intervals import CHUNK, LEVEL
from harness.stats.paired_tests import RESAMPLES, SEED, TIE
from harness.stats.seeds import Components, Trainings


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


@dataclass(frozen=True, slots=True)
class Band:
    """Differences of pass@k, second minus first, for k = 1 … K, with a band that holds for all of them at once."""

    estimate: tuple[float, ...]
    low: tuple[float | None, ...]  # None where no question changed: a k without variance
    high: tuple[float | None, ...]
    critical: float | None  # half the band's width in standard errors; None if no k has variance


def band(first: ArrayLike, second: ArrayLike, samples: int) -> Band:
    """The differences of pass@k and their simultaneous 95% band over k, from the questions' numbers of right answers.

    first: shape (n,); second: shape (n,), or (s, n) with a row for each of several training seeds; the same questions
    in the same order, K = `samples` answers each. The band is the 95% quantile of the largest deviation over k, in
    standard errors, of RESAMPLES resamples of the questions (seeded). Over seeds it is widened at every k as the
    interval of `seeds.over_seeds` is, at the band's level. ValueError as `pass_at_k`, and for unequal lengths.
    """
    before = curve(first, samples)
    sides = np.stack([curve(side, samples) for side in np.atleast_2d(second)])
    if sides.shape[1:] != before.shape:
        raise ValueError(f"need the same questions, got {len(before)} and {sides.shape[1]}")
    d = sides.mean(axis=0) - before
    d[np.abs(d) < TIE] = 0
    varied = d.any(axis=0)
    estimate = tuple(map(float, d.mean(axis=0)))
    if not varied.any():
        nothing = (None,) * samples
        return Band(estimate, nothing, nothing, None)
    wider = np.vstack([d, np.ones(samples), -np.ones(samples)])[:, varied]
    centre, error = wider.mean(axis=0), wider.std(axis=0, ddof=1) / sqrt(len(wider))
    critical = _largest_deviation(wider, centre, error)
    low, high = [None] * samples, [None] * samples
    for at, middle, se in zip(np.flatnonzero(varied), centre, error, strict=True):
        half = critical * float(se)
        if len(sides) > 1:
            each = (sides[:, :, at] - before[:, at]).mean(axis=1)
            trainings = Trainings(float(each.std(ddof=1)) / sqrt(len(sides)), len(sides))
            half = Components(float(se), (trainings,)).half_width(critical)
        low[at] = max(-1.0, min(float(middle) - half, estimate[at]))
        high[at] = min(1.0, max(float(middle) + half, estimate[at]))
    return Band(estimate, tuple(low), tuple(high), critical)


def curve(correct: ArrayLike, samples: int) -> NDArray[np.float64]:
    """pass@k for k = 1 … K, shape (n, K). ValueError as `pass_at_k`."""
    return np.stack([pass_at_k(correct, samples, k) for k in range(1, samples + 1)], axis=1)


def _largest_deviation(d: NDArray[np.float64], centre: NDArray[np.float64], error: NDArray[np.float64]) -> float:
    """The 95% quantile, over resamples of the rows, of the largest deviation of a column's mean, in its errors."""
    distinct, counts = np.unique(d, axis=0, return_counts=True)
    rng, chances = np.random.default_rng(SEED), counts / len(d)
    largest = []
    for _ in range(RESAMPLES // CHUNK):
        means = rng.multinomial(len(d), chances, size=CHUNK) @ distinct / len(d)
        largest.append((np.abs(means - centre) / error).max(axis=1))
    return float(np.quantile(np.concatenate(largest), LEVEL, method="inverted_cdf"))


def newly_solved(first: ArrayLike, second: ArrayLike, drawn: int) -> NDArray[np.float64]:
    """The chance that `drawn` answers of the first model are all wrong and as many of the second are not, shape (n,).

    first, second: whether each of the K answers to a question is right, shape (n, K). The mean over all pairs of
    disjoint sets of places, because the answers at one place were drawn with one seed and are not independent. So a
    model against itself, first = second, is what chance makes of independent answers, without bias. Resampling the K
    answers would not give that: a question with none right among them would count as never solved. ValueError for
    unequal shapes, and unless 1 <= drawn <= K / 2.
    """
    sides = [np.asarray(side, dtype=bool) for side in (first, second)]
    if sides[0].shape != sides[1].shape or sides[0].ndim != 2 or not 1 <= drawn <= sides[0].shape[1] // 2:
        raise ValueError(f"need two arrays (n, K) and 1 <= drawn <= K / 2, got {sides[0].shape} and {sides[1].shape}")
    wrong = [~side for side in sides]
    both, only = (
        (wrong[0] & wrong[1]).sum(axis=1),
        [(side & ~other).sum(axis=1) for side, other in (wrong, wrong[::-1])],
    )
    places = zip(both.tolist(), only[0].tolist(), only[1].tolist(), strict=True)
    return np.array([_newly_solved(*each, sides[0].shape[1], drawn) for each in places], dtype=np.float64)


@cache
def _newly_solved(both: int, first: int, second: int, samples: int, drawn: int) -> float:
    """The same of one question, by the places where both are wrong, only the first, only the second.

    The first set lies in `both` and `first`, `shared` of it in `both`; that the second set is all wrong too means that
    it lies in what is left of `both`, and in `second`.
    """
    pairs = comb(samples, drawn) * comb(samples - drawn, drawn)
    wrong = comb(both + first, drawn) * comb(samples - drawn, drawn)
    all_wrong = sum(
        comb(both, shared) * comb(first, drawn - shared) * comb(both - shared + second, drawn)
        for shared in range(min(both, drawn) + 1)
    )
    return float(Fraction(wrong - all_wrong, pairs))


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
