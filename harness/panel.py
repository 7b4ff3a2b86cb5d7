"""The scorer panel: the same completions under the published rules of others, and whether our sign survives them.

A gain may be a gain in pleasing one parser. The panel therefore takes the completions as they are and judges them as
OpenAI, lm-evaluation-harness, Inspect and the tutorial would, with their rules re-implemented in linear time. Rules,
not prompts: each of them asks the model for another format than ours, so a rule that extracts an answer from under half
of either side's completions was not made for them and has no vote. None of them asks why a completion ended, so the
panel does not either: a truncated one is judged by what it says.

Golds are given as the data writes them ("1,000"), for each rule to read in its own way. The originals read the whole
reference solution; on all 8,792 answers of GSM8K the text after its last "####" gives every rule the same.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness import inspect_match, resampling, results, samples, scoring, verdict
from harness.errors import HarnessError
from harness.schema import Tags

APPLICABLE = 0.5  # share of each side's completions from which a scorer must extract something to have a vote


class Ruling(NamedTuple):
    """What one scorer makes of one completion."""

    extracted: str | None  # the answer it compares, in its own spelling; None if it finds none
    correct: bool


Rule = Callable[[str, str, Tags], Ruling]
"""Called with a completion's text, the gold answer as written and the experiment's tags; never raises."""


@dataclasses.dataclass(frozen=True, slots=True)
class Scorer:
    """A published scorer."""

    name: str  # in reports
    source: str  # where its rule is published
    reads: str  # what the rule takes for the answer, in a phrase
    rule: Rule


class Completed(NamedTuple):
    """One completion of one question, with our own verdict on it."""

    id: str
    gold: str
    text: str
    correct: bool


# --- the rules

# Both patterns can match a text in one way only: a character is in the run or ends it.
_HASHES = re.compile(r"#### (-?[0-9.,]+)")
_FLEXIBLE = re.compile(r"-?[$0-9.,]{2,}|-?[0-9]+")


def _hashes(text: str) -> str | None:
    return found[1] if (found := _HASHES.search(text)) else None


def _openai(text: str, gold: str, tags: Tags) -> Ruling:
    target, answer = _hashes(f"#### {gold}"), _hashes(text)
    if target is None or answer is None:  # the original stops at a gold such as "$18"; here it finds nothing
        return Ruling(None, False)
    answer = answer.replace(",", "")
    return Ruling(answer, answer == target.replace(",", ""))


def _lm_eval_strict(text: str, gold: str, tags: Tags) -> Ruling:
    return _exact_match(_hashes(text), gold)


def _lm_eval_flexible(text: str, gold: str, tags: Tags) -> Ruling:
    found = _FLEXIBLE.findall(text)
    return _exact_match(found[-1] if found else None, gold)


def _exact_match(answer: str | None, gold: str) -> Ruling:
    """lm-eval's exact_match: equal characters without commas and dollar signs and without one dot at the end."""
    if answer is None:
        return Ruling(None, False)
    # It also takes out all up to "#### " and ignores case: an answer holds neither, nor does the gold's number.
    bare = [each.replace(",", "").replace("$", "").removesuffix(".") for each in (answer, gold)]
    return Ruling(answer, bare[0] == bare[1])


def _inspect(text: str, gold: str, tags: Tags) -> Ruling:
    return Ruling(*inspect_match.match(text, gold))


def _tutorial_answer(text: str, gold: str, tags: Tags) -> Ruling:
    answer = scoring.tutorial_format_capture(text, tags)
    return Ruling(answer, answer is not None and answer.strip() == gold.strip())


def _tutorial_numbers(text: str, gold: str, tags: Tags) -> Ruling:
    answer = scoring.tutorial_number(text, tags)
    try:
        return Ruling(answer, answer is not None and float(answer) == float(gold))
    except ValueError:
        return Ruling(answer, False)


_LM_EVAL = "EleutherAI/lm-evaluation-harness 0.4.13, lm_eval/tasks/gsm8k/gsm8k.yaml, version 3.0"
SCORERS = (
    Scorer(
        "OpenAI",
        "openai/grade-school-math, grade_school_math/dataset.py: is_correct",
        "the first `#### N`, to the character but for commas",
        _openai,
    ),
    Scorer(
        "lm-eval strict-match",
        f"{_LM_EVAL}: strict-match, exact_match",
        "the first `#### N`, to the character but for commas and a dot at the end",
        _lm_eval_strict,
    ),
    Scorer(
        "lm-eval flexible-extract",
        f"{_LM_EVAL}: flexible-extract, exact_match",
        "the last number of the text, to the character but for commas, `$` and a dot at the end",
        _lm_eval_flexible,
    ),
    Scorer(
        "Inspect match(numeric)",
        "UKGovernmentBEIS/inspect_ai 0.3.285, scorer/_match.py: match(numeric=True), as in inspect_evals 0.26.0",
        "the last number between blanks, which one between two tags without blanks is not",
        _inspect,
    ),
    Scorer(
        "tutorial check_answer",
        "the tutorial's reward check_answer, at 1.5 or more",
        "all of the solution block in the tutorial's format, to the character but for blanks around it",
        _tutorial_answer,
    ),
    Scorer(
        "tutorial check_numbers",
        "the tutorial's reward check_numbers, at 1.5",
        "the first digits and dots after the first solution tag, right for no gold with a comma or a minus",
        _tutorial_numbers,
    ),
)


# --- a run under all of them


def completed(scores: Sequence[dict[str, Any]], log: Path) -> list[Completed]:
    """The completions of one side: the entries of its result.json with their texts from its samples.jsonl.

    Raises HarnessError where a text is missing.
    """
    texts = results.texts(log)
    try:
        return [Completed(s["id"], s["gold"], texts[s["id"], s["sample"]], s["correct"]) for s in scores]
    except KeyError as error:
        raise HarnessError(f"{log}: the completion {error} of result.json is missing; run harness.evaluate") from None


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
    for name, completions, right, share in zip(("base", "tuned"), sides, correct, extracted, strict=True):
        as_ours = sum(theirs == c.correct for theirs, c in zip(right, completions, strict=True)) / len(completions)
        entry[name] = {"accuracy": difference[name], "extracted": share, "as_ours": as_ours}
    return entry | {"applicable": min(extracted) >= APPLICABLE}


def _difference(sides: Sequence[Sequence[Completed]], correct: Sequence[Sequence[bool]]) -> dict[str, Any]:
    means = (samples.question_means([c.id for c in side], right) for side, right in zip(sides, correct, strict=True))
    difference = resampling.paired(*means)
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
