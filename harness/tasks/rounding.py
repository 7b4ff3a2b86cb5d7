"""Golds that were rounded when they were published, as 4.33 for 13/3: right is what rounds to their decimals."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

from harness.tasks import scoring, selftest
from harness.tasks.answer_format import DEFAULT_TAGS
from harness.tasks.numbers import gold_value
from harness.tasks.records import Score, Tags
from harness.tasks.selftest import SelfTest

VERSION = f"{scoring.VERSION}, golds with decimals as rounded"
LONGEST = 60  # characters of an answer that may be rounded: Fraction is quadratic in them


def score(text: str, gold: str, *, finish_reason: str = "stop", tags: Tags = DEFAULT_TAGS) -> Score:
    """As scoring.score, but where the gold has decimals an answer within half a unit of its last one is right.

    So 4.333, 13/3 and 4.334 are right for 4.33, and 4.3 is not. A whole gold and a fraction stay exact.
    """
    found = scoring.score(text, gold, finish_reason=finish_reason, tags=tags)
    if found.correct or found.answer is None or finish_reason == "length" or not _rounds(found.answer, gold):
        return found
    return replace(found, correct=True, strict=found.exact_format, why="correct: rounds to the gold's decimals")


def run_selftest(golds: Iterable[str], tags: Tags) -> SelfTest:
    """The scorer's self-test, and each gold with decimals a little nearer and a little farther than half a unit."""
    golds = list(golds)
    found, failures = selftest.selftest(golds, tags), []
    decimals = [gold for gold in golds if _unit(gold)]
    for gold in decimals:
        for share, right in ((Fraction(2, 5), True), (Fraction(3, 5), False)):
            for sign in (1, -1):
                answer = Fraction(gold_value(gold)) + sign * share * _unit(gold)
                text = f"{tags.solution_start}{answer.numerator}/{answer.denominator}{tags.solution_end}"
                if score(text, gold, tags=tags).correct is not right:
                    failures.append(f"{text!a} for {gold!a}: correct is not {right}")
    tried = 2 * len(decimals)
    return SelfTest(found.golds, found.spellings + tried, found.adversarial + tried, (*found.failures, *failures))


def _unit(gold: str) -> Fraction:
    """The value of one in the last decimal, as the gold is written; 0 without decimals."""
    decimals = re.search(r"\.(\d+)", gold)
    return Fraction(1, 10 ** len(decimals[1])) if decimals else Fraction(0)


def _rounds(answer: str, gold: str) -> bool:
    unit = _unit(gold)
    if not unit or len(answer) > LONGEST:
        return False
    return 2 * abs(Fraction(answer) - Fraction(gold_value(gold))) <= unit
