"""Published test sets with questions of their own: where they come from, and how their rows become problems.

A benchmark names its hub data set with a pinned commit, and the file that holds the same rows in `data.benchmarks`. Its
questions are asked in the order of their ids, which are hashes: published files are sorted by difficulty, template or
seed question, and `eval.limit` is to take a fair sample of them. What cannot be judged is left out, and counted by its
reason. Some golds were rounded when they were published, as 4.33 for 13/3: right is what rounds to their decimals.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from harness.tasks import dataset, scoring, selftest
from harness.tasks.dataset import Data, Source, problem_id
from harness.tasks.numbers import gold_value
from harness.tasks.records import Problem, Score, Tags
from harness.tasks.selftest import SelfTest
from harness.tasks.task import Task
from harness.util import hub
from harness.util.errors import HarnessError, in_short

SETTING = "data.benchmarks"
LONGEST = 60  # characters of an answer that may be rounded: Fraction is quadratic in them


class LeftOut(Exception):
    """A row whose answer no rule can judge; the message is the reason, the same for all rows of its kind."""


class Published(Task):
    """A benchmark whose questions are its own, not those of the experiment's data. All of them are its test split."""

    hub: str
    revision: str
    licence: str
    subset: str | None = None  # its configuration; None: the only one
    splits: tuple[str, ...] = ("test",)  # together, in this order, the rows of the file
    file = ""  # name of the file in data.benchmarks

    def problem(self, row: dict[str, Any]) -> Problem:
        """The problem in a row, without its id. Raises LeftOut; KeyError, TypeError or ValueError for a damaged row."""
        raise NotImplementedError

    def load(self, source: Source) -> Data:
        rows, where = self._rows(source)
        counts: Counter[str] = Counter()
        problems = list(self._problems(rows, where, counts))
        if not problems:
            raise HarnessError(f"{SETTING}: {where}: no rows that can be judged; replace it by the published file")
        problems.sort(key=lambda problem: problem.id)
        return Data((), (), tuple(problems), 0, self.name, dict(sorted(counts.items())))

    def _rows(self, source: Source) -> tuple[Iterable[dict[str, Any]], str]:
        if source.benchmarks is not None:
            file = Path(source.benchmarks) / self.file
            return _lines(file), str(file)
        asked = {"revision": self.revision, "offline": hub.unreachable(), "setting": SETTING}
        names = (self.hub, *([self.subset] if self.subset else []))
        loaded = [dataset.load_dataset(self.hub, *names, split=split, **asked) for split in self.splits]
        return [row for rows in loaded for row in rows], self.hub

    def _problems(self, rows: Iterable[dict[str, Any]], where: str, left_out: Counter[str]) -> Iterator[Problem]:
        seen: set[str] = set()
        for number, row in enumerate(rows, 1):
            try:
                found = self.problem(row)
            except LeftOut as reason:
                left_out[str(reason)] += 1
                continue
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise HarnessError(
                    f"{SETTING}: {where} row {number} is not a row of {self.name} ({type(error).__name__}: "
                    f"{in_short(error)}); replace the file by the published one ({self.hub})"
                ) from None
            key = problem_id(found.question)
            if key in seen:  # asked again: an id of its own, so that both are paired
                key = problem_id(f"{found.question}\n(row {number})")
            seen.add(key)
            yield dataclasses.replace(found, id=key)


class Rounded(Published):
    """A benchmark whose golds with decimals were rounded: an answer within half a unit of the last one is right.

    So 4.333, 13/3 and 4.334 are right for 4.33, and 4.3 is not. A whole gold and a fraction stay exact.
    """

    scorer = f"{scoring.VERSION}, golds with decimals as rounded"

    def score(self, text: str, gold: str, *, finish_reason: str, tags: Tags) -> Score:
        found = scoring.score(text, gold, finish_reason=finish_reason, tags=tags)
        if found.correct or found.answer is None or finish_reason == "length" or not _rounds(found.answer, gold):
            return found
        return dataclasses.replace(
            found, correct=True, strict=found.exact_format, why="correct: rounds to the gold's decimals"
        )

    def selftest(self, golds: Iterable[str], tags: Tags) -> SelfTest:
        """The scorer's self-test, and each gold with decimals a little nearer and a little farther than half a unit."""
        golds = list(golds)
        found, failures = selftest.selftest(golds, tags), []
        decimals = [gold for gold in golds if _unit(gold)]
        for gold in decimals:
            for share, right in ((Fraction(2, 5), True), (Fraction(3, 5), False)):
                for sign in (1, -1):
                    answer = Fraction(gold_value(gold)) + sign * share * _unit(gold)
                    text = f"{tags.solution_start}{answer.numerator}/{answer.denominator}{tags.solution_end}"
                    if self.score(text, gold, finish_reason="stop", tags=tags).correct is not right:
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


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        raise HarnessError(
            f"{SETTING}: {file} cannot be read ({in_short(error)}); put the published file there, or leave "
            f"{SETTING} out to load it from the hub"
        ) from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                raise HarnessError(f"{SETTING}: {file} line {number}: not JSON ({in_short(error)})") from None


def one_number(gold: str, reason: str) -> str:
    """The gold if it is one number; else raises LeftOut with the reason."""
    try:
        gold_value(gold)
    except ValueError:
        raise LeftOut(reason) from None
    return gold
