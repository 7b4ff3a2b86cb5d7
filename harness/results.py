"""One side of a run on disk: the completions in samples.jsonl, and result.json with the score of each.

Pure reading and scoring, for the evaluation that has just asked a model and for `harness.rescore`, which asks none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness import rundir, scoring
from harness.errors import HarnessError
from harness.schema import Tags


class Asked(NamedTuple):
    """One question of an evaluation: what its completions must answer, and the answer that is right."""

    id: str
    gold: str  # as written in the data
    prompt: str  # hash of the token ids that were put to the model


def selftest(asked: Sequence[Asked], tags: Tags) -> dict[str, int]:
    """What the scorer proved about itself on these golds, for result.json. Raises HarnessError where it failed."""
    outcome = scoring.selftest([question.gold for question in asked], tags)
    if not outcome.passed:
        raise HarnessError(f"the scorer failed its self-test, no score can be trusted: {outcome.failures[0]}")
    return {name: getattr(outcome, name) for name in ("golds", "spellings", "adversarial")}


def texts(log: Path) -> dict[tuple[str, int], str]:
    """What the completions in a log say, by (problem id, sample). KeyError for a line that is no completion."""
    return {(row["id"], row["sample"]): row["text"] for row in rundir.read_lines(log)}


def read(log: Path, asked: Sequence[Asked]) -> dict[tuple[int, int], dict[str, Any]]:
    """The completions in a log by (index of the question, sample).

    Raises HarnessError for one that answers another prompt, and for a line that is no completion.
    """
    index = {question.id: number for number, question in enumerate(asked)}
    found = {}
    for row in rundir.read_lines(log):
        if not isinstance(row, dict) or not row.keys() >= {"id", "sample", "prompt", "text", "finish_reason", "tokens"}:
            raise HarnessError(f"{log}: holds a line that is no completion; delete the file and run again")
        number = index.get(row["id"])
        if number is None or row["prompt"] != asked[number].prompt:
            raise HarnessError(f"{log}: answers another prompt than this run asks (problem {row['id']}); delete it")
        found[number, row["sample"]] = row
    return found


def score(log: Path, asked: Sequence[Asked], samples: int, tags: Tags) -> list[dict[str, Any]]:
    """The entries of result.json: one a completion, in question order, then by sample.

    Raises HarnessError unless the log holds `samples` completions of every question.
    """
    completions = read(log, asked)
    if completions.keys() != {(index, sample) for index in range(len(asked)) for sample in range(samples)}:
        raise HarnessError(
            f"{log}: {len(completions)} of {len(asked) * samples} completions are there; "
            f"python -m harness.evaluate makes the rest"
        )
    scores = []
    for (index, sample), row in sorted(completions.items()):
        question = asked[index]
        worth = scoring.score(row["text"], question.gold, finish_reason=row["finish_reason"], tags=tags)
        entry = {"id": question.id, "sample": sample, "gold": question.gold, "prompt": row["prompt"]}
        entry |= {"finish_reason": row["finish_reason"], "tokens": row["tokens"]}
        scores.append(entry | dataclasses.asdict(worth))
    return scores
