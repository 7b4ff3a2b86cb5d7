r"""MATH-500: 500 problems of MATH's test set (Hendrycks et al. 2021, Lightman et al. 2023), whose answers are LaTeX.

Where the answer stands: in the last solution block, always, if there is one; else in the last `\boxed{}`; else behind
the last "answer is". Without any of them it is the last expression of the text, and is not marked. Whether it is right,
math-verify says (harness.tasks.judge).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from harness.tasks import judge
from harness.tasks.answer_format import layout
from harness.tasks.dataset import Data, Source
from harness.tasks.published import Published
from harness.tasks.records import Problem, Score, Tags
from harness.tasks.selftest import SelfTest

TAIL = 400  # characters at the end of a text without a marker in which the last expression is looked for
TIMED_OUT = "time-out: it could not be judged within its budget"
_WHY = {
    judge.SAME: "correct",
    judge.DIFFERENT: "another value",
    judge.UNREAD: "no expression that can be read",
    judge.TIME_OUT: TIMED_OUT,
}
_PHRASE = re.compile(r"(?<![a-z])answer[*_ \t]*(?:is|equals|would be|[:=])[*_ \t:]*", re.IGNORECASE)
_SENTENCE = re.compile(r"[.!?](?=\s|$)|\n")
WRONG = (("18", "17"), ("\\frac{1}{2}", "2"), ("(1,2]", "[1,2]"), ("\\text{yes}", "no"), ("x^2", "x^3"))


class Math500(Published):
    name = "math500"
    lm_eval_task = "minerva_math500"
    hub = "HuggingFaceH4/MATH-500"
    revision = "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be"
    file = "math500.jsonl"
    licence = "MIT"
    timed_out = TIMED_OUT
    quick = False
    lengths = 2  # solutions are about twice as long as GSM8K's

    @property
    def scorer(self) -> str:
        return f"math500 2, {judge.installed()}"

    def load(self, source: Source) -> Data:
        judge.check_installed()
        return super().load(source)

    def problem(self, row: dict[str, Any]) -> Problem:
        return Problem("", row["problem"], row["answer"], row["solution"], "", row["subject"])

    def score(self, text: str, gold: str, *, finish_reason: str, tags: Tags) -> Score:
        parsed = layout(text, tags)
        if parsed.solution is not None:
            rule, answer = "solution", parsed.solution.strip()
            answer = _boxed(answer) or answer
        elif answer := _boxed(text):
            rule = "boxed"
        elif answer := _behind_phrase(text):
            rule = "phrase"
        else:
            rule, answer = "last_expression", text[-TAIL:].strip()
        ruling = (
            judge.judge(gold, answer, whole=rule == "last_expression") if answer else judge.Ruling(judge.UNREAD, "")
        )
        cut, same = finish_reason == "length", ruling.verdict == judge.SAME
        correct, exact = same and not cut, parsed.exact and not cut
        found = ruling.read if rule == "last_expression" else answer
        return Score(
            answer=found or None,
            rule=rule if found else None,
            correct=correct,
            strict=correct and exact,
            exact_format=exact,
            tags_ok=parsed.counts == (1, 1, 1, 1),
            marked=bool(found) and rule != "last_expression" and not cut,
            why="cut at the token limit" if cut else _WHY[ruling.verdict],
        )

    def selftest(self, golds: Iterable[str], tags: Tags) -> SelfTest:
        """Every gold must be right for itself, and WRONG must be wrong."""
        golds = list(golds)
        ruled = judge.side_by_side(lambda gold: judge.judge(gold, gold), golds)
        wrong = [
            f"{gold!a} is not right for itself"
            for gold, ruling in zip(golds, ruled, strict=True)
            if ruling.verdict != judge.SAME
        ]
        wrong += [f"{a!a} is right for {gold!a}" for gold, a in WRONG if judge.judge(gold, a).verdict == judge.SAME]
        return SelfTest(len(golds), len(golds), len(WRONG), tuple(wrong))


def _boxed(text: str) -> str:
    r"""The content of the last `\boxed{}` that has any, with its braces balanced; empty if there is none."""
    stop = len(text)
    while (start := text.rfind("\\boxed{", 0, stop)) >= 0:
        depth, begin = 1, start + len("\\boxed{")
        for brace in re.finditer(r"(?<!\\)[{}]", text[begin:stop]):
            depth += 1 if brace[0] == "{" else -1
            if not depth:
                if inside := text[begin : begin + brace.start()].strip():
                    return inside
                break
        stop = start
    return ""


def _behind_phrase(text: str) -> str:
    """What the last "answer is" says, to the end of its sentence; empty if there is none."""
    phrases = list(_PHRASE.finditer(text))
    return _SENTENCE.split(text[phrases[-1].end() :].strip(), maxsplit=1)[0].strip() if phrases else ""


TASK = Math500()
