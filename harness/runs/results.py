"""One evaluation on disk: result.json, with the conditions that it was made under and the score of each completion.

Only reading and scoring, for an evaluation that has just run a model and for `harness.rescore`, which runs none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.runs import completions
from harness.runs.completions import Asked, LoggedCompletion
from harness.tasks import judge
from harness.tasks.records import Problem, ProblemCounts, Score, Tags
from harness.tasks.task import Task
from harness.util import files, typed
from harness.util.errors import HarnessError

REMEDY = "python -m harness.rescore mends a run of an earlier version; else delete it and run again"


@dataclass(frozen=True, slots=True)
class SamplingParameters:
    """How the next token is drawn."""

    temperature: float  # 0 is greedy
    top_p: float  # 1.0 disables
    top_k: int  # 0 disables
    min_p: float  # 0.0 disables


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """How completions are made, independent of how they are scored."""

    questions: int
    prompts: str  # SHA-256, in hex, over the ordered prompt hashes
    max_new_tokens: int  # a completion
    sampling: SamplingParameters
    samples: int  # completions per question
    seed: int | None  # of the sampling; None: greedy decoding draws nothing
    stop_ids: tuple[int, ...]  # tokens that end a completion, ascending
    engine: str  # with the versions of everything that affects its last bits
    precision: str  # of the weights: "bf16" or "fp32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions(Generation):
    """What must be equal in two evaluations to compare them; harness.compare groups by exactly these fields."""

    data: str  # SHA-256, in hex, over ids and golds of the questions
    split: str  # "train", "dev" or "test"
    scorer: str  # Task.scorer
    tags: Tags


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredCompletion(Score):
    """One completion with its score: an entry of `scores` in result.json."""

    id: str  # of the problem
    sample: int  # which of its completions, from 0
    gold: str  # as written in the data
    prompt: str  # hash of the token ids given to the model
    finish_reason: str  # "stop" (the turn was ended) or "length" (max_new_tokens reached)
    tokens: int  # generated tokens, the turn-ending one included


@dataclass(frozen=True, slots=True)
class SelfTestCounts:
    """The scorer's self-test before an evaluation, as numbers of cases; all of them passed."""

    golds: int  # gold answers tried
    spellings: int  # right texts made from them
    adversarial: int  # texts that must score wrong, or must not be in the exact format


@dataclass(frozen=True, slots=True)
class Changed:
    """How a second evaluation of the base differed from the first."""

    order: str  # SHA-256, in hex, over the prompt hashes in the order in which they were asked
    seed: int | None  # of the sampling; None: greedy decoding draws nothing


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What is known of the questions of a published benchmark."""

    left_out: dict[str, int]  # rows that were not asked because no rule can judge their answers, by the reason
    clusters: dict[str, str] | None = field(default=None, metadata=typed.OMITTED)  # by problem id
    kinds: dict[str, str] | None = field(default=None, metadata=typed.OMITTED)  # by problem id

    @staticmethod
    def of(problems: Sequence[Problem], left_out: dict[str, int]) -> Benchmark:
        clusters = {problem.id: problem.cluster for problem in problems}
        kinds = {problem.id: problem.kind for problem in problems}
        return Benchmark(left_out, clusters if any(clusters.values()) else None, kinds if any(kinds.values()) else None)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation, as in result.json."""

    conditions: Conditions
    problems: ProblemCounts
    selftest: SelfTestCounts
    adapter: str | None  # SHA-256, in hex, of what was trained; None for the base
    scores: tuple[ScoredCompletion, ...]  # in question order, then by sample
    questions: dict[str, str] | None = field(default=None, metadata=typed.OMITTED)  # texts by problem id
    changed: Changed | None = field(default=None, metadata=typed.OMITTED)  # of the base evaluated again
    benchmark: Benchmark | None = field(default=None, metadata=typed.OMITTED)  # None: the data of the experiment


def read_evaluation(place: Path) -> Evaluation:
    """The evaluation in a folder or in a result.json. Raises HarnessError (one line) as typed.read."""
    return typed.read(Evaluation, place if place.suffix == ".json" else place / "result.json", REMEDY)


@dataclass(frozen=True, slots=True)
class _Answered:
    id: str


@dataclass(frozen=True, slots=True)
class _AllAnswered:
    scores: tuple[_Answered, ...]


def question_ids(place: Path) -> frozenset[str]:
    """The ids of the questions of an evaluation, of any version. Raises HarnessError (one line) as typed.read."""
    return frozenset(score.id for score in typed.read(_AllAnswered, place / "result.json").scores)


def read_earlier(folder: Path) -> Evaluation:
    """The same for scoring again: fields of a score that an older scorer did not write are read as nothing found."""
    file = folder / "result.json"
    content = files.read_json(file)
    if isinstance(content, dict) and isinstance(content.get("scores"), list):
        nothing = typed.fields(Score(None, None, False, False, False, False, False, ""))
        content["scores"] = [nothing | score if isinstance(score, dict) else score for score in content["scores"]]
    return typed.parse(Evaluation, json.dumps(content).encode(), str(file))


def run_selftest(task: Task, asked: Sequence[Asked], tags: Tags) -> SelfTestCounts:
    """Run the scorer's self-test on these golds. Raises HarnessError if it fails."""
    outcome = task.selftest([question.gold for question in asked], tags)
    if not outcome.passed:
        raise HarnessError(f"the scorer failed its self-test, so no score can be trusted: {outcome.failures[0]}")
    return SelfTestCounts(outcome.golds, outcome.spellings, outcome.adversarial)


def score(task: Task, log: Path, asked: Sequence[Asked], samples: int, tags: Tags) -> tuple[ScoredCompletion, ...]:
    """The scored completions of a log, in question order, then by sample.

    Raises HarnessError unless the log holds `samples` completions of every question.
    """
    made = completions.read(log, asked)
    if made.keys() != {(index, sample) for index in range(len(asked)) for sample in range(samples)}:
        raise HarnessError(
            f"{log}: found {len(made)} of {len(asked) * samples} completions; python -m harness.evaluate makes the rest"
        )
    rows = [(asked[index], row) for (index, _), row in sorted(made.items())]
    each = map if task.quick else judge.side_by_side
    return tuple(each(lambda row: _scored(task, *row, tags), rows))


def _scored(task: Task, question: Asked, made: LoggedCompletion, tags: Tags) -> ScoredCompletion:
    worth = task.score(made.text, question.gold, finish_reason=made.finish_reason, tags=tags)
    return ScoredCompletion(
        id=question.id,
        sample=made.sample,
        gold=question.gold,
        prompt=made.prompt,
        finish_reason=made.finish_reason,
        tokens=made.tokens,
        **typed.fields(worth),
    )
