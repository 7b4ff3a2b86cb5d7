"""The scorer panel: the same completions under published rules of others, and whether the sign of the change holds.

A gain may only reflect one parser. The panel therefore scores the same completions as OpenAI, lm-evaluation-harness,
Inspect and the tutorial would, with their rules re-implemented in linear time. It takes their rules and not their
prompts: each of them asks the model for a format other than ours, so a rule that extracts an answer from under half
of either model's completions does not fit them and has no vote. None of them considers why a completion ended, so the
panel does not either: a truncated one is judged by its text.

Each rule reads golds as the data writes them ("1,000"). The originals read the whole reference solution; on all 8,792
answers of GSM8K the text after the last "####" gives every rule the same result.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import NamedTuple

from harness.tasks import answer_format, inspect_match
from harness.tasks.records import Tags


class Ruling(NamedTuple):
    """The result of one scorer on one completion."""

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


# --- the rules

# Both patterns can match a text in only one way: a character belongs to the run or ends it.
_HASHES = re.compile(r"#### (-?[0-9.,]+)")
_FLEXIBLE = re.compile(r"-?[$0-9.,]{2,}|-?[0-9]+")


def _hashes(text: str) -> str | None:
    return found[1] if (found := _HASHES.search(text)) else None


def _openai(text: str, gold: str, tags: Tags) -> Ruling:
    target, answer = _hashes(f"#### {gold}"), _hashes(text)
    if target is None or answer is None:  # the original raises for a gold such as "$18"; here nothing is found
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
    # lm-eval also removes everything up to "#### " and ignores case, which changes neither an answer nor a gold number.
    bare = [each.replace(",", "").replace("$", "").removesuffix(".") for each in (answer, gold)]
    return Ruling(answer, bare[0] == bare[1])


def _inspect(text: str, gold: str, tags: Tags) -> Ruling:
    return Ruling(*inspect_match.match(text, gold))


def _tutorial_answer(text: str, gold: str, tags: Tags) -> Ruling:
    answer = answer_format.tutorial_format_capture(text, tags)
    return Ruling(answer, answer is not None and answer.strip() == gold.strip())


def _tutorial_numbers(text: str, gold: str, tags: Tags) -> Ruling:
    answer = answer_format.tutorial_number(text, tags)
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
        "the last number that stands between blanks, and none that stands between two tags without them",
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
        "the first digits and dots after the first solution tag; where the gold has a comma or a minus, none is right",
        _tutorial_numbers,
    ),
)
