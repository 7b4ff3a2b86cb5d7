"""The same completions under published rules of others: rates, differences, and whether the sign is the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from harness.report.summary import Panel, ScorerSide, ScorerView
from harness.runs import completions
from harness.runs.results import ScoredCompletion
from harness.stats import paired, verdict
from harness.stats.records import JudgedPair
from harness.stats.scores import means
from harness.tasks.panel import SCORERS, Scorer
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
    base: Sequence[Completed], tuned: Sequence[Completed], tags: Tags, published: Sequence[Scorer] = SCORERS
) -> Panel:
    """Every scorer's rates, paired difference and sign, compared with ours.

    base, tuned: the same questions in the same order, K samples each. For each model under a scorer: `accuracy` over
    the questions; `extracted`, the share of completions in which it found an answer; `as_ours`, the share on which its
    judgement is the same as ours. Differences are tuned minus base, as proportions (`paired.paired`). A scorer's `sign`
    is

    - None if it has no vote, because it extracts an answer from under half of a model's completions;
    - "undecided" unless its difference and ours are both detected (by `verdict.of`): the sign of a difference that may
      be chance says nothing;
    - else "agrees" or "disagrees": whether its estimate has the sign of ours.

    `flips` names those that disagree. Raises ValueError if the two models were asked different questions.
    """
    if [c.id for c in base] != [c.id for c in tuned]:
        raise ValueError("base and tuned must be the same questions in the same order")
    sides = (base, tuned)
    ours = _difference(sides, [[c.correct for c in side] for side in sides])
    scorers = tuple(_under(scorer, sides, tags, ours) for scorer in published)
    flips = tuple(view.name for view in scorers if view.sign == "disagrees")
    return Panel(ours=ours, scorers=scorers, flips=flips, sentence="; ".join(_findings(ours, scorers)) + ".")


def finding(panel: Panel) -> str:
    """Whether the sign is the same under other scorers, as a clause: the panel's sentence begins with it."""
    return _findings(panel.ours, panel.scorers)[0]


def _under(scorer: Scorer, sides: Sequence[Sequence[Completed]], tags: Tags, ours: JudgedPair) -> ScorerView:
    rulings = [[scorer.rule(c.text, c.gold, tags) for c in side] for side in sides]
    difference = _difference(sides, [[ruling.correct for ruling in side] for side in rulings])
    base, tuned = (
        ScorerSide(
            accuracy=rate,
            extracted=sum(ruling.extracted is not None for ruling in ruled) / len(ruled),
            as_ours=sum(ruling.correct == c.correct for ruling, c in zip(ruled, side, strict=True)) / len(side),
        )
        for rate, ruled, side in zip((difference.base, difference.tuned), rulings, sides, strict=True)
    )
    applicable = min(base.extracted, tuned.extracted) >= APPLICABLE
    return ScorerView(
        name=scorer.name,
        source=scorer.source,
        reads=scorer.reads,
        base=base,
        tuned=tuned,
        difference=difference,
        applicable=applicable,
        sign=_sign(difference, ours) if applicable else None,
    )


def _difference(sides: Sequence[Sequence[Completed]], correct: Sequence[Sequence[bool]]) -> JudgedPair:
    return verdict.judged(paired.paired(*map(means, sides, correct)))


def _sign(theirs: JudgedPair, ours: JudgedPair) -> str:
    if not theirs.kind == ours.kind == "detected":
        return "undecided"
    return "agrees" if theirs.direction == ours.direction else "disagrees"


def _findings(ours: JudgedPair, scorers: Sequence[ScorerView]) -> list[str]:
    """The clauses of the panel's sentence."""
    signs = ("agrees", "disagrees", "undecided", None)
    agrees, disagrees, undecided, unfit = ([view for view in scorers if view.sign == sign] for sign in signs)
    detected = ours.kind == "detected"
    voters = f"of {len(scorers) - len(unfit)} applicable scorers"
    if disagrees:
        others = ", ".join(f"{view.name} {_points(view.difference)}" for view in disagrees)
        parts = [f"THE SIGN OF THE ACCURACY DIFFERENCE FLIPS WITH THE SCORER: ours says {_points(ours)}, but {others}"]
        parts.append(f"the same sign under {len(agrees)} {voters}")
    elif agrees:
        parts = [f"The sign of the accuracy difference is the same under {len(agrees)} {voters}"]
    elif undecided:
        fate = "reproduced" if detected else "decided"
        parts = [f"The sign of the accuracy difference is {fate} under none {voters}"]
    else:
        parts = ["No other scorer is applicable: the sign of the accuracy difference rests on ours alone"]
    if undecided:
        named = ", ".join(f"{view.name} {_points(view.difference)}" for view in undecided)
        where = "not reproduced, as none is detected there" if detected else "undecided, as ours is not detected"
        parts.append(f"{where}: {named}")
    if unfit:
        names = ", ".join(view.name for view in unfit)
        parts.append(f"not applicable, extracting from under half of a side: {names}")
    return parts


def _points(difference: JudgedPair) -> str:
    value, low, high = map(verdict.signed, (difference.value, difference.low, difference.high))
    return f"{value} points ([{low}, {high}], {difference.kind})"
