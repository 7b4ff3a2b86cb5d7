r"""Scoring: a completion's text and its gold answer in, a `Score` out. Nothing else parses a completion.

Where the answer stands. If there is an opening tag, the last solution block, always (unclosed: to the end of the text).
Else the last explicit phrase ("the answer is N", "Answer: N"; no words before N), else the last `\boxed{}`, else the
last `#### N`: of each kind the last that holds a number, be it a malformed one. These four mark an answer. Else the
last number of the text. What a number is: harness.tasks.numbers.

What a marker carries (a block or a box to its end, the others to the end of their sentence) is read by one rule:

1. One number, or one number repeated, is the answer.
2. Of several, if the first is an operand of an equation (`16 - 7 = 9`, `x = 9 * 2 = 18`): the number after the last
   `=`, not counting an explanation as in 3. `x = 18` alone is a name, no equation. In a block the operand may have been
   named before (`12 gifts, so 12 - 8 = 4 are left`), and later sentences must not speak of other numbers alone.
3. If the first stands before a parenthesis or an explanation ("since", "because", "where", …) that has an equation of
   its own (`18 (9 * 2 = 18)`, `18 since 16 - 7 = 9`): the first.
4. Else, in a block, there is no answer: it is ambiguous. Behind the other markers the first is the answer (`18 dollars
   for 9 eggs`). So it is where an equation stands apart (`18, 9 * 2 = 18`), which in a block must agree with the first.

An operand of an expression without result (`9 + 9`) is no answer, nor is a number that `or`, `to`, `and` or a dash
joins to the next one, a unit between them or not: `18 or 20`, `18 to 20`, `3 hours and 15 minutes`, `18 and a half`,
also at the end of a list (`17, 18 or 20`). That holds for the last number of a text too, where the joined number stands
before it (`between 17 and 18`); so a text that ends in a range, or in a malformed number, has no answer, rather than
one found further up. What is no number (`3:30`, `1.2.3`, `5^2`) is passed over there.

Everything is linear in the text: tags are found by str.find, and a pattern can match a text in only one way (possessive
repetition would state that, but is broken in Python before 3.11.5).
"""

from __future__ import annotations

import itertools
import re

from harness.tasks.answer_format import DEFAULT_TAGS, layout
from harness.tasks.numbers import RUN, Number, find_numbers, gold_value, number_end, read_number, same_number
from harness.tasks.records import Score, Tags

# Raised whenever a text could score otherwise than before: runs under two versions are not compared.
VERSION = "2"


_PHRASE = re.compile(r"(?<![a-z])answer[*_ \t]*(?:is|equals|would be|[:=：])", re.IGNORECASE)
_HASHES = re.compile(r"#{4,}")
# No words between a marker and its number: only blanks, markup, LaTeX commands and a variable as in "x = 18".
_GAP = re.compile(
    r"(?:[^A-Za-z\d\n.;!?\\]|\\(?![dt]?frac)(?:[A-Za-z]+(?![A-Za-z])|[^A-Za-z\n])|[A-Za-z](?=\s?=)"
    r"|(?:US|Rs\.?|[A-Z]{3})(?=[\s$]?\d|\$))*\.?(?=\d|\\[dt]?frac)"
)
_SENTENCE = re.compile(r"[^.;!?\n]*(?:[.;!?](?!\s)[^.;!?\n]*)*")
_FLAT = r"[^{}\n]*"
_BOX = re.compile(rf"{_FLAT}(?:\{{{_FLAT}(?:\{{{_FLAT}\}}{_FLAT})*\}}{_FLAT})*")  # braces two deep are enough

# An explanation: a word that gives the reason, or a parenthesis (one more within it) with `=`; before an equation also
# another subordinating word or a long dash.
_REASON = r"\b(?:since|because|as(?=\s\W*(?:\d|[A-Za-z]\s?=)))\b|(?<!\\)[(\[（](?:[^()=\n]|\([^()=\n]*\))*="
_BECAUSE = re.compile(_REASON, re.IGNORECASE)
_EXPLANATION = re.compile(
    rf"{_REASON}|\b(?:where|which|when|while|if|given|considering|assuming|using|thanks|due|namely|i\.e)\b|—|\s--\s",
    re.IGNORECASE,
)
# These explain only where the equation behind them is whole: "18 from 9 * 2 = 18", but not "9 from 3 hens = 9".
_BY_WAY_OF = re.compile(r"\b(?:after|before|from|by|with|via)\b", re.IGNORECASE)
_OPERAND = re.compile(r"[\w)\]}]\s?[*×·÷/+−–-]\s?[$£€]?\Z")  # before a number: "x - 5 = 13"
_APART = re.compile(r"[,;:]|[.!?]\s|\b(?:and|or|to)\b|\n")
_ASIDE = re.compile(r"\([^()=\n]*\)")
_RESULT = re.compile(r"[(\[]\s*=")  # 9 * 2 (= 18)
_NEW_SENTENCE = re.compile(r"[.;!?]\s|\n")

_MARKUP = re.compile(r"\\[A-Za-z]+|[^\w\n,.;:!?&/~～<=—–‑−－﹣-]+")
_DASH = r"[~～—–‑−－﹣-]"
_JOINER = re.compile(rf"\b(?:or|to|and)\b|&|{_DASH}", re.IGNORECASE)
_WORD = r"(?!(?:of|for|in|on|at|from|with|by|than|as|is|are|was|were|so|then|which|that)\b)[^\W\d_][\w/-]*\b\.? ?"
_JOINED = re.compile(  # in a text without markup
    rf" ?(?:{_WORD}){{0,3}}(?:per \w+ ?)?(?:,? ?\b(?:and/or|or|to|and)\b|&|{_DASH}+) ?"
    r"(?:(?:about|around|roughly|approximately|maybe|perhaps|possibly|even|rather) )?(?:[A-Za-z] ?= ?)?",
    re.IGNORECASE,
)
_MINUS = re.compile(r"[^\w\n]*")
_AND_A_HALF = re.compile(
    r"(?:[^\S\n]?[^\W\d_]+){0,2}\W{1,4}and\s(?:an?|one|two|three)[\s-](?:half|halves|thirds?|quarters?|fourths?|fifths?"
    r"|sixths?|eighths?|tenths?)\b",
    re.IGNORECASE,
)


def _joined(text: str, end: int, start: int) -> bool:
    """Whether what stands between two numbers joins them into one statement, as "or" does."""
    if start - end > 60 or not _JOINER.search(text, end, start):  # much cheaper than the rest
        return False
    return _JOINED.fullmatch(_MARKUP.sub(" ", text[end:start])) is not None


def _alone(text: str, numbers: list[Number]) -> str | None:
    """The value of the first of these, unless the next, or the last of a list, is joined to it."""
    first = numbers[0]
    for left, right in itertools.pairwise(numbers):
        if left.operand:
            break
        if left.value != right.value and _joined(text, left.end, right.start):
            return None
        if left.value != right.value and text[left.end : right.start].strip() != ",":
            break
    return None if first.operand or _and_a_half(text, first.end) else first.value


def _and_a_half(text: str, end: int) -> bool:
    return text.find("and", end, end + 60) >= 0 and _AND_A_HALF.match(text, end) is not None


def _by_equation(text: str, numbers: list[Number], block: bool) -> tuple[bool, str | None]:
    """Whether an equation decides, or explains, what several numbers state (rules 2 and 3), and the answer."""
    first, sign = numbers[0], text.find("=", numbers[0].end)
    if sign < 0:
        return False, None
    sentence = _NEW_SENTENCE.search(text, first.end, sign)
    end = sentence.start() if sentence else sign
    # 12 gifts, of which she wraps 8, so 12 - 8 = 4 are left
    again = block and end == sign and any(number.operand and number.value == first.value for number in numbers)
    explained = _explained(text, first, sign, end)
    if explained and (not again or _BECAUSE.match(text, explained.start())):
        return True, _alone(text, _between(numbers, 0, explained.start()))
    operand = again or first.operand or _OPERAND.search(text, max(0, first.start - 8), first.start)
    way = None if operand or end < sign else _BY_WAY_OF.search(text, first.end, end)
    if way and len(_between(numbers, way.end(), sign)) > 1 and not _apart(text, first.end, way.start()):
        return True, _alone(text, _between(numbers, 0, way.start()))
    because = _BECAUSE.search(text, sign, text.rfind("=") + 1)
    stop = because.start() if because else len(text)
    results = _between(numbers, text.rfind("=", sign, stop), stop)
    result = _alone(text, results) if results else None
    if results and block and _goes_on(text, results, result):
        return False, None
    agrees = result is not None and result == _alone(text, numbers)
    return bool(operand) or agrees or not _apart(text, first.end, sign), result


def _explained(text: str, first: Number, sign: int, end: int) -> re.Match[str] | None:
    """Where an explanation begins beside the first number: in its sentence, which ends at `end`, or right behind it."""
    found = _EXPLANATION.search(text, first.end, sign + 1)
    if found is None or (first.operand and _RESULT.match(found[0])) or _apart(text, first.end, found.start()):
        return None
    return found if found.start() < end or not text[first.end : found.start()].strip(" \n.") else None


def _goes_on(text: str, results: list[Number], result: str | None) -> bool:
    """Whether sentences after an equation speak of other numbers alone: 20 - 2 = 18. She then has 5 left."""
    sentence = _NEW_SENTENCE.search(text, results[0].end)
    further = {number.value for number in results if sentence and number.start >= sentence.end()}
    return bool(further) and result not in further


def _apart(text: str, start: int, stop: int) -> bool:
    """Whether a clause ends between two places (not right at the second one)."""
    return _APART.search(_ASIDE.sub("", text[start:stop].rstrip("\\& \n,."))) is not None


def _between(numbers: list[Number], start: int, stop: int) -> list[Number]:
    return [number for number in numbers if start <= number.start < stop]


def _stated(text: str, place: str, *, block: bool = False) -> tuple[str | None, str] | None:
    """The answer that a marker carries, and why there is none; None if it holds no number, not even a malformed one."""
    numbers = find_numbers(text)
    if not numbers:
        return None
    if all(number.value is None for number in numbers):
        return None, f"no number {place}"
    problem = "an expression" if any(number.operand for number in numbers) else "two different numbers"
    if len({number[2:] for number in numbers}) == 1:
        return _alone(text, numbers[:1]), f"{problem} {place}"
    decided, answer = _by_equation(text, numbers, block)
    if not decided:
        answer = None if block else _alone(text, numbers)
    return answer, f"{problem} {place}"


def _marked(text: str) -> tuple[str | None, str, str] | None:
    """(answer, rule, why) by the last marker of the first kind that holds a number."""
    if ("nswer" in text or "NSWER" in text) and (found := _behind(text, _PHRASE)):  # `in` is much cheaper
        return found[0], "phrase", found[1]
    box = len(text)
    while (box := text.rfind("\\boxed{", 0, box)) >= 0:
        if found := _stated(_BOX.match(text, box + 7)[0], "in the box"):
            return found[0], "boxed", found[1]
    if "####" in text and (found := _behind(text, _HASHES)):
        return found[0], "hashes", found[1]
    return None


def _behind(text: str, marker: re.Pattern[str]) -> tuple[str | None, str] | None:
    """What the last marker states that a number follows; read up to the next one, or many would take quadratic time."""
    stop = len(text)
    for match in reversed(list(marker.finditer(text))):
        if gap := _GAP.match(text, match.end(), stop):
            end = _SENTENCE.match(text, gap.end(), stop).end()
            if found := _stated(text[match.end() : end], "as the final answer"):
                return found
        stop = match.start()
    return None


def _joined_to(text: str, earlier: list[re.Match[str]], last: re.Match[str], value: str) -> bool:
    """Whether the last number is joined to the one before it. A dash before a smaller one is a minus: `20-2` is 2."""
    for match in reversed(earlier):
        end = number_end(match)
        if not _joined(text, end, last.start()):
            return False
        before = read_number(text, match)
        if before != "":
            minus = before and "/" not in before + value and _MINUS.fullmatch(text, end, last.start())
            return before != value and not (minus and float(before) > float(value))
    return False


def _last_number(text: str) -> tuple[str | None, str | None, str]:
    """(answer, rule, why) by the last number of a text without a marker."""
    matches = list(RUN.finditer(text))
    while matches:
        match = matches.pop()
        value = read_number(text, match)
        if value == "" or (value is None and not match.lastindex):
            continue
        if value is None or _joined_to(text, matches, match, value) or _and_a_half(text, number_end(match)):
            return None, "last_number", "no single number at the end"
        return value, "last_number", ""
    return None, None, "no number in the text"


def score(text: str, gold: str, *, finish_reason: str = "stop", tags: Tags = DEFAULT_TAGS) -> Score:
    """Score one completion. Never raises because of the text.

    `rule` is "solution", "phrase", "boxed", "hashes" or "last_number": the rule that decided, even if it
    decided that there is no answer; None if the text holds no number at all. `finish_reason` "length" makes
    `correct`, `strict`, `exact_format` and `marked` false and leaves `answer` as found.
    Raises ValueError if `gold` is not one number, or for unusable `tags`.
    """
    target = gold_value(gold)
    parsed = layout(text, tags)
    if parsed.solution is None:
        answer, rule, why = _marked(text) or _last_number(text)
    else:
        place = "in the solution block"
        rule, (answer, why) = "solution", _stated(parsed.solution, place, block=True) or (None, f"no number {place}")
    cut = finish_reason == "length"
    same = answer is not None and same_number(answer, target)
    why = "cut at the token limit" if cut else "correct" if same else "wrong number" if answer else why
    correct, exact = same and not cut, parsed.exact and not cut
    marked = answer is not None and rule != "last_number" and not cut
    return Score(answer, rule, correct, correct and exact, exact, parsed.counts == (1, 1, 1, 1), marked, why)
