"""The completions of an evaluation on disk: samples.jsonl, one line each, appended to as they finish.

An evaluation in several parts, which run side by side, has a log for each, next to samples.jsonl. Whoever finds the
completions of all parts there joins the logs. It does not matter which log holds a completion, nor how many parts there
were when it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from harness.tasks.records import Completion
from harness.util import files, typed
from harness.util.errors import HarnessError


class Asked(NamedTuple):
    """One question of an evaluation: its prompt and its gold answer."""

    id: str
    gold: str  # as written in the data
    prompt: str  # hash of the token ids given to the model


class Part(NamedTuple):
    """One of the parts into which the completions of an evaluation are divided."""

    number: int  # from 1
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(frozen=True, slots=True)
class LoggedCompletion:
    """One completion, a line of the log."""

    id: str  # of the problem
    prompt: str  # hash of the token ids given to the model
    sample: int  # which of the problem's completions, from 0
    text: str  # decoded without special tokens
    finish_reason: str  # "stop" (the turn was ended) or "length" (max_new_tokens reached)
    tokens: int  # generated tokens, the turn-ending one included
    seconds: float | None = field(default=None, metadata=typed.OMITTED)  # wall time, as in records.Completion

    @staticmethod
    def of(question: Asked, made: Completion) -> LoggedCompletion:
        return LoggedCompletion(
            question.id, question.prompt, made.sample, made.text, made.finish_reason, made.tokens, made.seconds
        )


@contextmanager
def appending(log: Path) -> Iterator[Callable[[Sequence[LoggedCompletion]], None]]:
    """Open a log for appending; yields append(rows), as files.appending."""
    with files.appending(log) as append:
        yield lambda rows: append([typed.plain(row) for row in rows])


def texts(log: Path) -> dict[tuple[str, int], str]:
    """The texts of a log by (problem id, sample). Raises HarnessError for a line that is not a completion."""
    return {(row.id, row.sample): row.text for row in typed.read_lines(LoggedCompletion, log)}


def read(log: Path, asked: Sequence[Asked]) -> dict[tuple[int, int], LoggedCompletion]:
    """The completions in a log by (index of the question, sample).

    Raises HarnessError for a completion of another prompt, and for a line that is not a completion.
    """
    index = {question.id: number for number, question in enumerate(asked)}
    found = {}
    for row in typed.read_lines(LoggedCompletion, log):
        number = index.get(row.id)
        if number is None or row.prompt != asked[number].prompt:
            raise HarnessError(
                f"{log}: holds a completion of another prompt than this run's (problem {row.id}); "
                f"delete the file and run again"
            )
        found[number, row.sample] = row
    return found


def part_log(log: Path, key: str, part: Part) -> Path:
    """The log of one part; `key` names what the completions are made with, so that no others are ever joined."""
    return log.with_name(f"{log.stem}.{key}.part-{part.number}-of-{part.of}.jsonl")


def part_logs(log: Path, key: str) -> list[Path]:
    """The logs of all parts that were begun, in however many parts."""
    return sorted(log.parent.glob(f"{log.stem}.{key}.part-*.jsonl"))


def read_all(log: Path, key: str, asked: Sequence[Asked]) -> dict[tuple[int, int], LoggedCompletion]:
    """As read, for a log and those of its parts together."""
    found: dict[tuple[int, int], LoggedCompletion] = {}
    for each in (log, *part_logs(log, key)):
        found = read(each, asked) | found
    return found


def join(log: Path, key: str, asked: Sequence[Asked]) -> dict[tuple[int, int], LoggedCompletion]:
    """Move the completions of the parts into the log, in question order, and return all. The caller works alone."""
    found, parts = read_all(log, key, asked), part_logs(log, key)
    if parts:
        files.write_lines(log, [typed.plain(found[place]) for place in sorted(found)])
        for part in parts:
            part.unlink()
    return found
