"""How much of a difference could have other causes: the noise floor, and answers cut at the token limit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.stats import intervals, paired, seeds
from harness.stats.paired import PairedDifference
from harness.stats.seeds import SeedsDifference

# Cut answers count as wrong; a score may exceed 1 minus their share only by the rounding of m/K.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """The base evaluated twice (A/A): what changes although nothing was trained. Rates as proportions."""

    flipped: int  # questions whose score differs between the two evaluations
    n: int
    rate: float  # flipped / n, with its 95% Wilson interval
    low: float
    high: float
    flips: bool  # whether every score is 0 or 1, so that every change is a flip
    difference: PairedDifference  # second evaluation minus first

    def sentence(self) -> str:
        """The finding in English, to be shown with the difference; in percent of the questions."""
        percent, low, high = (f"{100 * value:.1f}%" for value in (self.rate, self.low, self.high))
        gained, lost = self.difference.gained, self.difference.lost
        does, up, down = ("flips", "gained", "lost") if self.flips else ("changes the score of", "rose", "fell")
        return (
            f"Doing nothing {does} {percent} of the questions ({self.flipped:,} of {self.n:,}; 95% interval {low} to "
            f"{high}): {gained:,} {up} and {lost:,} {down} when the base was evaluated again."
        )


@dataclass(frozen=True, slots=True)
class TruncationBounds:
    """The difference as scored, and if the cut answers were right for one model and wrong for the other."""

    base_cut: float  # share of the answers that were cut at the token limit
    tuned_cut: float
    scored: PairedDifference | SeedsDifference  # cut answers wrong on both sides
    lowest: PairedDifference | SeedsDifference  # the base's cut answers right, the tuned model's wrong
    highest: PairedDifference | SeedsDifference  # the other way round


def noise_floor(base: ArrayLike, rerun: ArrayLike) -> NoiseFloor:
    """Two evaluations of the same model on the same questions, each shape (n,). ValueError as `paired.paired`."""
    difference = paired.paired(base, rerun)
    flipped, n = difference.gained + difference.lost, difference.n
    interval = intervals.wilson(flipped, n)
    whole = bool(np.isin((base, rerun), (0, 1)).all())
    return NoiseFloor(flipped, n, flipped / n, interval.low, interval.high, whole, difference)


def truncation_bounds(base: ArrayLike, base_cut: ArrayLike, tuned: ArrayLike, tuned_cut: ArrayLike) -> TruncationBounds:
    """Bounds of tuned - base over what the cut answers could have been.

    Each of shape (n,), the same questions in the same order: the share of a question's samples that are right
    (cut ones count as wrong) and the share that were cut; 0 or 1 with one sample. tuned and tuned_cut may have a
    row of these for each training seed. ValueError as `seeds.difference`, for scores outside [0, 1], and if a cut
    answer counts as right.
    """
    before, before_cut = _side("base", base, base_cut)
    after, after_cut = _side("tuned", tuned, tuned_cut)
    scored = seeds.difference(before, after)  # raises for different lengths, so the lines below can combine them
    return TruncationBounds(
        base_cut=float(before_cut.mean()),
        tuned_cut=float(after_cut.mean()),
        scored=scored,
        lowest=seeds.difference(before + before_cut, after),
        highest=seeds.difference(before, after + after_cut),
    )


def _side(name: str, scores: ArrayLike, cut: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    several = np.ndim(scores) == 2
    rows = [
        np.stack([intervals.column(label, row) for row in np.atleast_2d(values)])
        for label, values in ((name, scores), (f"{name}_cut", cut))
    ]
    right, share = rows if several else (rows[0][0], rows[1][0])
    if right.shape != share.shape:
        raise ValueError(f"{name}: scores and cut shares differ in length")
    if min(right.min(), share.min()) < 0 or np.any(right + share > 1 + _ROUNDING):
        raise ValueError(f"{name}: need shares in [0, 1], and a cut answer must count as wrong")
    return right, share
