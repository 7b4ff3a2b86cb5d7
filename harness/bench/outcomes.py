"""What the coverage study's tables share: outcomes and their chances, random numbers of a design, what was missed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from harness.bench.designs import Design, Draw
from harness.stats import paired

SEED = 20
CHANCE = 2  # standard errors of the simulation within which a miss may be its chance
NEGLIGIBLE = 1e-9  # outcomes less probable than this are not enumerated


def own_rng(design: Design, what: str = "") -> np.random.Generator:
    """Random numbers that hang on what the design is called, not on which others are studied."""
    named = hashlib.sha256(f"{design.name}, n {design.n}{what}".encode()).digest()
    return np.random.default_rng([SEED, int.from_bytes(named[:8], "big")])


def missed(what: str, figure: float, low: float, high: float, error: float | None) -> str:
    """That a percentage is not between what is asked, in words; empty where it is."""
    if low <= figure <= high:
        return ""
    outside = low - figure if figure < low else figure - high
    chance = f", within {CHANCE} standard errors" if error and outside < CHANCE * error else ""
    return f"{what} {figure:.2f}%, asked {low:g} to {high:g}%{chance}"


def standard_error(share: float, simulations: int) -> float:
    """Of a simulated share, in percent: with one hit and one miss added, so that no figure seems certain."""
    share = (share * simulations + 1) / (simulations + 2)
    return 100 * math.sqrt(share * (1 - share) / simulations)


def of_flips(n: int, gain: float, loss: float, negligible: float = NEGLIGIBLE) -> Iterator[tuple[float, int, int]]:
    """Chance, gained and lost of n questions, one sample each, gained and lost with these probabilities."""
    spans = []
    for p in (gain, loss):
        reach = 7 * math.sqrt(n * p) + 20
        spans.append(np.arange(max(0, int(n * p - reach)), min(n, int(n * p + reach)) + 1))
    grid = np.array(np.meshgrid(*spans)).reshape(2, -1)
    grid = grid[:, grid.sum(axis=0) <= n]
    chances = multinomial(n, grid, (gain, loss))
    for i in np.flatnonzero(chances > negligible):
        yield float(chances[i]), int(grid[0, i]), int(grid[1, i])


@cache
def flipped(gained: int, lost: int, n: int) -> Draw:
    base, tuned = (np.repeat(side, [gained, lost, n - gained - lost]) for side in ([0, 1, 0], [1, 0, 0]))
    found = paired.paired_difference(base, tuned)
    return Draw(
        gained + lost, {"interval rule": (found.low, found.high)}, {"mid-p": found.mid_p, "exact p": found.exact_p}
    )


def multinomial(n: int, counts: NDArray[np.int64], p: tuple[float, ...]) -> NDArray[np.float64]:
    """Probabilities of counts, shape (categories, outcomes), with a last category that takes the rest."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    rest = n - counts.sum(axis=0)
    exponent = logs[n] - logs[rest]
    for row, chance in zip([*counts, rest], [*p, 1 - sum(p)], strict=True):
        exponent = exponent + (row * math.log(chance) if chance > 0 else np.where(row > 0, -np.inf, 0.0))
    return np.exp(exponent - logs[counts].sum(axis=0))
