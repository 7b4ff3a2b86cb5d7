"""What a comparison found, in one sentence: from the pairs that are detected to differ after the correction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from harness.compare import pairs as run_pairs
from harness.compare.pairs import Pairs
from harness.stats import finding
from harness.stats.finding import in_points
from harness.util.text import plural


class Found(NamedTuple):
    """What a comparison found, and of which runs it speaks, by their positions in `Pairs.kept`."""

    sentence: str
    better: int | None = None  # None: no two runs are detected to differ
    worse: int | None = None  # None besides: all others


def of(pairs: Pairs, labels: Sequence[str]) -> Found | None:
    """What was found of the runs of one group, each called by its label; None if no two of them could be compared.

    labels: one for each run of `pairs.kept`.
    """
    if not pairs.compared:
        return None
    detected = {}  # (better, worse): by how much
    for later, earlier, pair in pairs.compared:
        found = finding.of(pair.difference)
        if run_pairs.kind(pair, found) == "detected":
            better, worse = (later, earlier) if found.direction == "up" else (earlier, later)
            detected[better, worse] = abs(found.difference.value)
    if len(labels) == 2:
        return _of_two(detected, labels)
    unpaired = len(labels) * (len(labels) - 1) // 2 - len(pairs.compared)
    rest = f"; {plural(unpaired, 'pair')} of one training with several were not compared" if unpaired else ""
    if not detected:
        return Found(f"No two of {len(labels)} runs are detected to differ in accuracy{rest}")
    for best in range(len(labels)):
        beaten = [worse for better, worse in detected if better == best]
        if len(beaten) == len(labels) - 1:
            return Found(f"{labels[best]} is more accurate than each of the other {len(beaten)} runs", best)
    (better, worse), most = max(detected.items(), key=lambda item: item[1])
    apart = f"most of all {labels[better]} and {labels[worse]}, by {in_points(most)[0]} points"
    said = f"{len(detected)} of {len(pairs.compared)} pairs of runs differ in accuracy, {apart}{rest}"
    return Found(said, better, worse)


def _of_two(detected: dict[tuple[int, int], float], labels: Sequence[str]) -> Found:
    if not detected:
        return Found(f"No difference in accuracy is detected between {labels[0]} and {labels[1]}")
    (((better, worse), by),) = detected.items()
    said = f"{labels[better]} is {in_points(by)[0]} points more accurate than {labels[worse]}"
    return Found(said, better, worse)
