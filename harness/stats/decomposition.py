"""What changed strict accuracy: mathematics, readability and format, exactly additive and paired question by question.

For a question let C be the share of a model's samples that are correct, R the share with a marked answer (found by a
marker, unambiguous, not cut at the token limit), M the share that are both, S the share that are strictly correct; b is
the base, t the tuned model. With one sample all of them are 0 or 1.

    mathematics = R_b·M_t − R_t·M_b
    readability = (C_t − C_b) − mathematics
    format      = (S_t − C_t) − (S_b − C_b)

Mathematics is claimed only between answers that both models marked: of two samples drawn at random, one of each model,
it is the chance that both are marked and only the tuned model's is right, minus the chance that both are marked and
only the base's is. Readability is the rest of the difference of accuracy, where one of the two is unmarked or was cut:
what marking, parsing and the token limit gave or took, and mathematics that cannot be told from it. Format is what the
exact format costs. The first two add up to the difference of accuracy, all three to that of strict accuracy.

The formula is this project's own. With K samples the values lie on a lattice of 1/K², so that beyond K = 11 the
intervals and tests are seeded draws (harness.stats.paired).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.stats import paired, seeds
from harness.stats.paired import PairedDifference
from harness.stats.paired_tests import TIE
from harness.stats.scores import RIGHT_AND_MARKED, Columns
from harness.stats.seeds import SeedsDifference


class Parts(NamedTuple):
    """The parts of the difference of strict accuracy, as proportions."""

    mathematics: PairedDifference | SeedsDifference
    readability: PairedDifference | SeedsDifference
    format: PairedDifference | SeedsDifference


def decompose(base: Columns, tuned: Columns) -> Parts:
    """The parts, from the columns of `scores.per_question`: shape (n,), or for tuned (s, n), a row for each seed.

    ValueError for different numbers of questions, and if a score contradicts another (right and marked, but not right).
    """
    _check("base", base)
    _check("tuned", tuned)
    if base["accuracy"].shape[-1] != tuned["accuracy"].shape[-1]:
        raise ValueError("base and tuned must be the same questions")
    mathematics = (tuned["marked"] * base[RIGHT_AND_MARKED], base["marked"] * tuned[RIGHT_AND_MARKED])
    return Parts(
        mathematics=_difference(*mathematics),
        readability=_difference(base["accuracy"] - mathematics[0], tuned["accuracy"] - mathematics[1]),
        format=_difference(*(side["strict"] - side["accuracy"] for side in (base, tuned))),
    )


def _difference(first: NDArray[np.float64], second: NDArray[np.float64]) -> PairedDifference | SeedsDifference:
    """Second minus first. Over seeds both sides vary with the seed, so that only their difference is a seed's score."""
    if second.ndim == 1:
        return paired.paired(first, second)
    rows = second - first
    return seeds.over_seeds(np.zeros(rows.shape[1]), rows)


def _check(name: str, side: Columns) -> None:
    limits = {RIGHT_AND_MARKED: ("accuracy", "marked"), "strict": ("accuracy", "format")}
    for low, highs in limits.items():
        for high in highs:
            if np.any(side[low] > side[high] + TIE):
                raise ValueError(f"{name}: {low} counts an answer that {high} does not")
