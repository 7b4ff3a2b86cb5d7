"""Published test sets with questions of their own: where they come from, and how their rows become problems.

A benchmark names its hub data set with a pinned commit, and the file that holds the same rows in `data.benchmarks`. Its
questions are asked in the order of their ids, which are hashes: published files are sorted by difficulty, template or
seed question, and `eval.limit` is to take a fair sample of them. What cannot be judged is left out, and counted by its
reason.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.tasks import dataset
from harness.tasks.dataset import Data, Source, problem_id
from harness.tasks.numbers import gold_value
from harness.tasks.records import Problem
from harness.tasks.task import Task
from harness.util import hub
from harness.util.errors import HarnessError, in_short

SETTING = "data.benchmarks"


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
