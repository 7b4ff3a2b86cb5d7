"""GSM8K, and any data in its schema: a row's question, and an answer that ends in "#### NUMBER" or is a number."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from harness.tasks import dataset
from harness.tasks.dataset import Data, Source, problem_id
from harness.tasks.numbers import gold_value
from harness.tasks.panel import SCORERS
from harness.tasks.records import Problem
from harness.tasks.task import Task
from harness.util.errors import HarnessError


class Gsm8k(Task):
    name = "gsm8k"
    scorers = SCORERS
    lm_eval_task = "gsm8k"

    def load(self, source: Source) -> Data:
        return load(source)


def load(source: Source) -> Data:
    """The questions of a data set in GSM8K's schema. Raises HarnessError (one line) if anything is wrong with it."""
    return dataset.load(source, problems_of)


def problems_of(rows: Iterable[dict[str, Any]], source: str) -> list[Problem]:
    """Check every row and turn it into a Problem. Raises HarnessError that names the source and the row."""
    problems = []
    for number, row in enumerate(rows, 1):
        for column in ("question", "answer"):
            if column not in row:
                raise HarnessError(
                    f"data.path: {source}: no {column!r} column; found {', '.join(sorted(row)) or 'no columns'}"
                )
            if not isinstance(row[column], str):
                raise HarnessError(
                    f"data.path: {source} row {number}: {column} is not text: {row[column]!r:.60}; put it in quotes"
                )
            if re.search("[\ud800-\udfff]", row[column]):
                raise HarnessError(f"data.path: {source} row {number}: {column} has half a character (a surrogate)")
        if not row["question"].strip():
            raise HarnessError(f"data.path: {source} row {number}: the question is empty; take the row out")
        gold = row["answer"].rsplit("####", 1)[-1].strip()
        try:
            gold_value(gold)
        except ValueError:
            raise HarnessError(
                f"data.path: {source} row {number}: the gold answer {gold[:60]!r} is not a number "
                f"(the gold answer is the text after the last '####', or all of it without one)"
            ) from None
        problems.append(Problem(problem_id(row["question"]), row["question"], gold, row["answer"]))
    if not problems:
        raise HarnessError(f"data.path: {source}: no rows; a data set needs questions to train and to test on")
    return problems


TASK = Gsm8k()
