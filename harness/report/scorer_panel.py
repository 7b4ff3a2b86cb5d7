"""The same completions under published rules of others: rates, differences, and whether these are unlike ours."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.report.summary import ScorerSide, ScorerView
from harness.runs import completions
from harness.runs.results import ScoredCompletion
from harness.stats import finding, seeds
from harness.stats.scores import means
from harness.tasks.panel import SCORERS, Ruling, Scorer
from harness.tasks.records import Tags
from harness.util.errors import HarnessError

APPLICABLE = 0.5  # share of each model's completions from which a scorer must extract an answer to have a vote


class Completed(NamedTuple):
    """One completion of one question, with our own verdict on it."""

    id: str
    gold: str
    text: str
    correct: bool


# --- a run under all of them


def completed(scores: Sequence[ScoredCompletion], log: Path) -> list[Completed]:
    """The completions of one model: its scores with their texts from its samples.jsonl.

    Raises HarnessError if a text is missing.
    """
    texts = completions.texts(log)
    if lost := [(s.id, s.sample) for s in scores if (s.id, s.sample) not in texts]:
        raise HarnessError(f"{log}: the completion {lost[0]} of result.json is missing; run harness.evaluate again")
    return [Completed(s.id, s.gold, texts[s.id, s.sample], s.correct) for s in scores]


def compare(
    base: Sequence[Completed],
    tuned: Sequence[Sequence[Completed]],
    ours: NDArray[np.float64],
    tags: Tags,
    published: Sequence[Scorer] = SCORERS,
) -> tuple[ScorerView, ...]:
    """Every scorer's rates and paired difference, what may be said of it, and whether it is unlike ours.

    base: the completions of n questions, K samples each; tuned: for each training seed those of the same questions in
    the same order. ours: our differences of accuracy, shape (n,) or with several seeds (s, n). For each model under a
    scorer: `accuracy` over the questions; `extracted`, the share of completions in which it found an answer; `as_ours`,
    the share on which its judgement is the same as ours. Differences are tuned minus base, as proportions
    (`seeds.difference`); over seeds they are those of the mean, as ours is.

    A scorer that extracts an answer from under half of a side's completions is not `applicable`. It `differs` if the
    difference between its difference and ours is detected (by `finding.of`, question by question).
    Raises ValueError if two models were asked different questions.
    """
    for side in tuned:
        if [c.id for c in base] != [c.id for c in side]:
            raise ValueError("base and tuned must be the same questions in the same order")
    return tuple(_under(scorer, base, tuned, ours, tags) for scorer in published)


def _under(
    scorer: Scorer,
    base: Sequence[Completed],
    tuned: Sequence[Sequence[Completed]],
    ours: NDArray[np.float64],
    tags: Tags,
) -> ScorerView:
    ruled, *each = ([(c, scorer.rule(c.text, c.gold, tags)) for c in side] for side in (base, *tuned))
    before, *after = (means([c for c, _ in side], [ruling.correct for _, ruling in side]) for side in (ruled, *each))
    trained = np.stack(after) if len(after) > 1 else after[0]
    difference = finding.record(seeds.difference(before, trained))
    # Halved, both lie in [-1, 1], and so does what is between them.
    unlike = seeds.difference(np.zeros(len(before)), (trained - before - ours) / 2)
    first, second = (
        ScorerSide(rate, *_shares(side))
        for rate, side in ((difference.base, ruled), (difference.tuned, list(chain(*each))))
    )
    judged = finding.of(difference)
    return ScorerView(
        name=scorer.name,
        source=scorer.source,
        reads=scorer.reads,
        base=first,
        tuned=second,
        difference=difference,
        kind=judged.kind,
        direction=judged.direction,
        applicable=min(first.extracted, second.extracted) >= APPLICABLE,
        differs=finding.of(unlike).detected is not None,
    )


def _shares(ruled: Sequence[tuple[Completed, Ruling]]) -> tuple[float, float]:
    """The shares of completions in which an answer is found, and on which the judgement is ours."""
    found = sum(ruling.extracted is not None for _, ruling in ruled) / len(ruled)
    return found, sum(ruling.correct == completion.correct for completion, ruling in ruled) / len(ruled)
