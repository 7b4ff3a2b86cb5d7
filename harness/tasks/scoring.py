"""Scoring: a completion's text and its gold answer in, a `Score` out. Nothing else parses a completion.

The answer is taken from the last solution block if there is an opening tag (unclosed: to the end of the text).
Otherwise from "the answer is N" or "Answer: N", else `\boxed{N}`, else `#### N` (the last of its kind; no words
before N), else it is the last number of the text. What a number is: harness.tasks.numbers.

Everything is linear in the text: tags are found by str.find, and a pattern can match a text in only one way (possessive
repetition would state that, but is broken in Python before 3.11.5).
"""

from __future__ import annotations

import re

from harness.tasks.answer_format import DEFAULT_TAGS, layout
from harness.tasks.numbers import RUN, after_equals, find_numbers, gold_value, one_number, read_number, same_number
from harness.tasks.records import Score, Tags

# Raised whenever the score of any text could change: runs scored under two versions are not compared.
VERSION = "1"


_PHRASE = re.compile(r"(?<![a-z])answer[*_ \t]*(?:is|equals|would be|[:=：])", re.IGNORECASE)
# No words between a marker and its number: only blanks, markup, LaTeX commands and a variable as in "x = 18". The gap
# ends at a later phrase, which is tried by itself: reading on from each of many phrases would take quadratic time.
_GAP = re.compile(
    r"(?:[^A-Za-z\d\n.;!?\\]|\\(?![dt]?frac|(?i:answer)[*_ \t]*[:=：])(?:[A-Za-z]+(?![A-Za-z])|[^A-Za-z\n])"
    r"|[A-Za-z](?=\s?=))*\.?(?=\d|\\[dt]?frac)"
)
_FLAT = r"[^{}\n]*"
_BOX = re.compile(rf"{_FLAT}(?:\{{{_FLAT}(?:\{{{_FLAT}\}}{_FLAT})*\}}{_FLAT})*")  # two levels of braces are enough
_SENTENCE = re.compile(r"[^.;!?\n]*(?:[.;!?](?!\s)[^.;!?\n]*)*")


def _after_marker(text: str, start: int) -> tuple[str | None, str]:
    """The first number after a marker, or what the last `=` of its sentence gives."""
    sentence = _SENTENCE.match(text, start)[0]
    numbers = find_numbers(sentence)
    value = after_equals(sentence, numbers) or (numbers[0][1] if numbers else None)
    return value or None, "no number as the final answer"


def _without_block(text: str) -> tuple[str | None, str | None, str]:
    """(answer, rule, why) for a text that has no solution block."""
    if "nswer" in text or "NSWER" in text:  # much cheaper than the pattern
        for end in reversed([match.end() for match in _PHRASE.finditer(text)]):
            if _GAP.match(text, end):
                answer, why = _after_marker(text, end)
                return answer, "phrase", why
    box = text.rfind("\\boxed{") + 7
    if box >= 7:
        answer, why = one_number(_BOX.match(text, box)[0], "the box")
        if not why.startswith("no number"):
            return answer, "boxed", why
    hashes = text.rfind("####") + 4
    if hashes >= 4 and _GAP.match(text, hashes):
        answer, why = _after_marker(text, hashes)
        return answer, "hashes", why
    for match in reversed(list(RUN.finditer(text))):
        if answer := read_number(text, *match.span()):
            return answer, "last_number", ""
    return None, None, "no number in the text"


def score(text: str, gold: str, *, finish_reason: str = "stop", tags: Tags = DEFAULT_TAGS) -> Score:
    """Score one completion. Never raises because of the text.

    `rule` is "solution", "phrase", "boxed", "hashes" or "last_number": the rule that decided, even if it
    decided that there is no answer; None if the text holds no number at all. `finish_reason` "length" makes
    `correct`, `strict` and `exact_format` false and leaves `answer` as found.
    Raises ValueError if `gold` is not one number, or for unusable `tags`.
    """
    target = gold_value(gold)
    parsed = layout(text, tags)
    if parsed.solution is None:
        answer, rule, why = _without_block(text)
    else:
        rule = "solution"
        answer, why = one_number(parsed.solution, "the solution block")
    cut = finish_reason == "length"
    same = answer is not None and same_number(answer, target)
    why = "cut at the token limit" if cut else "correct" if same else "wrong number" if answer else why
    correct, exact = same and not cut, parsed.exact and not cut
    return Score(answer, rule, correct, correct and exact, exact, parsed.counts == (1, 1, 1, 1), why)
