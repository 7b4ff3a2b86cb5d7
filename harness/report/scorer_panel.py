"""The same completions under the published rules of others: rates, differences, and whether their sign survives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.runs import completions
from harness.runs.results import ScoredCompletion
from harness.stats import paired, pass_at_k, verdict
from harness.tasks.panel import SCORERS, Scorer
from harness.tasks.records import Tags
from harness.util.errors import HarnessError

APPLICABLE = 0.5  # share of each side's completions from which a scorer must extract something to have a vote


class Completed(NamedTuple):
    """One completion of one question, with our own verdict on it."""

    id: str
    gold: str
    text: str
    correct: bool


# --- a run under all of them


def completed(scores: Sequence[ScoredCompletion], log: Path) -> list[Completed]:
    """The completions of one side: its scores with their texts from its samples.jsonl.

    Raises HarnessError where a text is missing.
    """
    texts = completions.texts(log)
    if lost := [(s.id, s.sample) for s in scores if (s.id, s.sample) not in texts]:
        raise HarnessError(f"{log}: the completion {lost[0]} of result.json is missing; run harness.evaluate")
    return [Completed(s.id, s.gold, texts[s.id, s.sample], s.correct) for s in scores]


def compare(base: Sequence[Completed], tuned: Sequence[Completed], tags: Tags) -> dict[str, Any]:
    """Every scorer's rates, paired difference and sign beside ours: plain values for summary.json.

    base, tuned: the same questions in the same order, K samples each. For each side of a scorer: `accuracy` over the
    questions; `extracted`, the share of completions in which it found an answer; `as_ours`, the share on which its
    verdict is ours. Differences are tuned minus base, as proportions (`resampling.paired`). A scorer's `sign` is

    - null where it has no vote: it extracts from under half of the completions of a side;
    - "undecided" unless its difference and ours are both detected (by `verdict.of`): the sign of a difference that may
      be chance tells nothing, alike or not;
    - else "agrees" or "disagrees", as its estimate has our sign or the other.

    `flips` names those that disagree. Raises ValueError where the two sides differ in their questions.
    """
    if [c.id for c in base] != [c.id for c in tuned]:
        raise ValueError("base and tuned must be the same questions in the same order")
    sides = (base, tuned)
    ours = _difference(sides, [[c.correct for c in side] for side in sides])
    scorers = [_under(scorer, base, tuned, tags) for scorer in SCORERS]
    for entry in scorers:
        entry["sign"] = _sign(entry["difference"], ours) if entry["applicable"] else None
    flips = [entry["name"] for entry in scorers if entry["sign"] == "disagrees"]
    return {"ours": ours, "scorers": scorers, "flips": flips, "sentence": _sentence(ours, scorers)}


def _under(scorer: Scorer, base: Sequence[Completed], tuned: Sequence[Completed], tags: Tags) -> dict[str, Any]:
    sides = (base, tuned)
    rulings = [[scorer.rule(c.text, c.gold, tags) for c in side] for side in sides]
    extracted = [sum(ruling.extracted is not None for ruling in side) / len(side) for side in rulings]
    correct = [[ruling.correct for ruling in side] for side in rulings]
    difference = _difference(sides, correct)
    entry = {"name": scorer.name, "source": scorer.source, "reads": scorer.reads, "difference": difference}
    for name, side, right, share in zip(("base", "tuned"), sides, correct, extracted, strict=True):
        as_ours = sum(theirs == c.correct for theirs, c in zip(right, side, strict=True)) / len(side)
        entry[name] = {"accuracy": difference[name], "extracted": share, "as_ours": as_ours}
    return entry | {"applicable": min(extracted) >= APPLICABLE}


def _difference(sides: Sequence[Sequence[Completed]], correct: Sequence[Sequence[bool]]) -> dict[str, Any]:
    means = (pass_at_k.question_means([c.id for c in side], right) for side, right in zip(sides, correct, strict=True))
    difference = paired.paired(*means)
    found = verdict.of(difference)
    return verdict.record(difference) | {"kind": found.kind, "direction": found.direction}


def _sign(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    if not theirs["kind"] == ours["kind"] == "detected":
        return "undecided"
    return "agrees" if theirs["direction"] == ours["direction"] else "disagrees"


def _sentence(ours: dict[str, Any], scorers: Sequence[dict[str, Any]]) -> str:
    signs = ("agrees", "disagrees", "undecided", None)
    agrees, disagrees, undecided, unfit = ([e for e in scorers if e["sign"] == sign] for sign in signs)
    detected = ours["kind"] == "detected"
    voters = f"of {len(scorers) - len(unfit)} applicable scorers"
    if disagrees:
        others = ", ".join(f"{entry['name']} {_points(entry['difference'])}" for entry in disagrees)
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
        named = ", ".join(f"{entry['name']} {_points(entry['difference'])}" for entry in undecided)
        where = "not reproduced, as none is detected there" if detected else "undecided, as ours is not detected"
        parts.append(f"{where}: {named}")
    if unfit:
        names = ", ".join(entry["name"] for entry in unfit)
        parts.append(f"not applicable, extracting from under half of a side: {names}")
    return "; ".join(parts) + "."


def _points(difference: dict[str, Any]) -> str:
    value, low, high = (verdict.signed(difference[name]) for name in ("value", "low", "high"))
    return f"{value} points ([{low}, {high}], {difference['kind']})"
