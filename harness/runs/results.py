"""One side of a run on disk: the completions in samples.jsonl, and result.json with the score of each.

Pure reading and scoring, for the evaluation that has just asked a model and for `harness.rescore`, which asks none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from harness.runs.directory import RunDir
from harness.tasks import scoring, selftest
from harness.tasks.records import ProblemCounts, Score, Tags
from harness.util import files, typed
from harness.util.errors import HarnessError


@dataclass(frozen=True, slots=True)
class SamplingParameters:
    """How the next token is drawn."""

    temperature: float  # 0 is greedy
    top_p: float  # 1.0 disables
    top_k: int  # 0 disables
    min_p: float  # 0.0 disables


@dataclass(frozen=True, slots=True)
class Conditions:
    """What two evaluations must share to be compared; harness.compare groups by exactly these fields."""

    data: str  # SHA-256, in hex, over ids and golds of the questions
    split: str  # "train", "dev" or "test"
    questions: int
    prompts: str  # SHA-256, in hex, over the ordered prompt hashes
    scorer: str  # scoring.VERSION
    tags: Tags
    max_new_tokens: int  # a completion
    sampling: SamplingParameters
    samples: int  # completions a question
    seed: int | None  # of the sampling; None: greedy decoding draws nothing
    stop_ids: tuple[int, ...]  # tokens that end a completion, ascending
    engine: str  # with the versions of all that decides its last bits
    precision: str  # of the weights: "bf16" or "fp32"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredCompletion(Score):
    """One completion with its score: an entry of `scores` in result.json."""

    id: str  # of the problem
    sample: int  # which of its completions, from 0
    gold: str  # as written in the data
    prompt: str  # hash of the token ids that were put to the model
    finish_reason: str  # "stop" (the turn was ended) or "length" (max_new_tokens reached)
    tokens: int  # generated tokens, the turn-ending one included


@dataclass(frozen=True, slots=True)
class SelfTestCounts:
    """What the scorer proved about itself before an evaluation, as numbers of cases; all of them passed."""

    golds: int  # gold answers tried
    spellings: int  # right texts made of them
    adversarial: int  # texts that must score wrong, or must not be in the exact format


@dataclass(frozen=True, slots=True)
class Changed:
    """What a second evaluation of the base did otherwise than the first."""

    order: str  # SHA-256, in hex, over the prompt hashes in the order in which they were asked
    seed: int | None  # of the sampling; None: greedy decoding draws nothing


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation, as result.json holds it."""

    conditions: Conditions
    problems: ProblemCounts
    selftest: SelfTestCounts
    adapter: str | None  # SHA-256, in hex, of what was trained; None for the base
    scores: tuple[ScoredCompletion, ...]  # in question order, then by sample
    questions: dict[str, str] | None = field(default=None, metadata=typed.OMITTED)  # texts by problem id
    changed: Changed | None = field(default=None, metadata=typed.OMITTED)  # of the base evaluated again


def read_evaluation(place: Path) -> Evaluation:
    """The evaluation that a folder, or a result.json itself, holds. Raises HarnessError (one line) as typed.read."""
    return typed.read(Evaluation, place if place.suffix == ".json" else place / "result.json")


class Asked(NamedTuple):
    """One question of an evaluation: what its completions must answer, and the answer that is right."""

    id: str
    gold: str  # as written in the data
    prompt: str  # hash of the token ids that were put to the model


def run_selftest(asked: Sequence[Asked], tags: Tags) -> dict[str, int]:
    """What the scorer proved about itself on these golds, for result.json. Raises HarnessError where it failed."""
    outcome = selftest.selftest([question.gold for question in asked], tags)
    if not outcome.passed:
        raise HarnessError(f"the scorer failed its self-test, no score can be trusted: {outcome.failures[0]}")
    return {name: getattr(outcome, name) for name in ("golds", "spellings", "adversarial")}


def texts(log: Path) -> dict[tuple[str, int], str]:
    """What the completions in a log say, by (problem id, sample). KeyError for a line that is no completion."""
    return {(row["id"], row["sample"]): row["text"] for row in files.read_lines(log)}


def read(log: Path, asked: Sequence[Asked]) -> dict[tuple[int, int], dict[str, Any]]:
    """The completions in a log by (index of the question, sample).

    Raises HarnessError for one that answers another prompt, and for a line that is no completion.
    """
    index = {question.id: number for number, question in enumerate(asked)}
    found = {}
    for row in files.read_lines(log):
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


def check_conditions(run: RunDir, before: dict[str, Any], after: dict[str, Any], other: str = "tuned") -> None:
    """Raise HarnessError, naming the first difference, unless both were evaluated under the same conditions.

    before: the base's; after: those of `other`, "tuned" or "again".
    """
    differing = [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
    if not differing:
        return
    remedy = "delete base/ and tuned/ and run again"
    if other == "again":
        remedy = "delete again/ and leave eval.noise_floor out, or delete base/, again/ and tuned/, and run again"
    if differing == ["scorer"]:  # the completions are good, and may have cost hours
        remedy = "delete the result.json of both, and no completions, and run again"
        if run.is_evaluated:
            remedy = f"python -m harness.rescore {run.path} scores both anew"
    name = differing[0]
    values = _from_their_difference(str(before.get(name)), str(after.get(name)))
    raise HarnessError(
        f"{run.path}: base and {other} were not evaluated alike ({name}: {' and '.join(values)}); {remedy}"
    )


def check_pair(run: RunDir, base: dict[str, Any], after: dict[str, Any], other: str = "tuned") -> None:
    """Raise HarnessError unless both were asked the same prompts under the same conditions; as check_conditions."""
    check_conditions(run, base["conditions"], after["conditions"], other)
    if _asked(base) != _asked(after):
        raise HarnessError(f"{run.path}: base and {other} answered different questions; delete {other}/ and run again")


def _from_their_difference(*texts: str) -> list[str]:
    """Texts in at most 40 characters each, of long ones those around the first in which they differ."""
    same = next((at for at, letters in enumerate(zip(*texts, strict=False)) if len(set(letters)) > 1), 0)
    start = max(0, same - 10) if max(map(len, texts)) > 40 else 0
    cut = ("..." * (start > 0) + text[start:] for text in texts)
    return [text if len(text) <= 40 else text[:37] + "..." for text in cut]


def _asked(result: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(score["id"], score["sample"], score["prompt"]) for score in result["scores"]]
