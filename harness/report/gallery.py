"""Every question of a run with the answers of base and tuned models, and whether it was gained, lost or unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.runs import completions
from harness.runs.directory import RunDir
from harness.runs.results import Evaluation, ScoredCompletion, read_evaluation
from harness.tasks.panel import Scorer
from harness.util.errors import HarnessError

# In the order in which they are shown, but for Gallery.first. With K samples, a question is counted as in the report's
# tables: gained if its score rose, lost if it fell; "partly" if its score is neither 0 nor 1 and did not change.
OUTCOMES = {
    "gained": "Gained",
    "lost": "Lost",
    "wrong": "Both wrong",
    "right": "Both right",
    "partly": "Unchanged, partly right",
}


@dataclass(frozen=True)
class Answer:
    """One completion with its score."""

    text: str
    score: ScoredCompletion
    disputed_by: tuple[str, ...]  # the scorers of others that judge it otherwise


@dataclass(frozen=True)
class Item:
    """One question; every model has one answer for each sample."""

    id: str
    question: str | None  # None in runs that were evaluated before result.json kept the questions
    gold: str
    base: list[Answer]
    tuned: list[list[Answer]]  # by training seed
    outcomes: list[str]  # by training seed: keys of OUTCOMES


def read(run: RunDir, scorers: Sequence[Scorer]) -> list[Item]:
    """The questions in their order. Raises HarnessError if a completion is missing.

    scorers: those of others that judge the completions too.
    """
    evaluated = read_evaluation(run.base)
    base = _side(run, run.base, evaluated, scorers)
    folders = map(run.tuned, run.config.train.seeds)
    tuned = [_side(run, folder, read_evaluation(folder), scorers) for folder in folders]
    questions, golds = evaluated.questions or {}, {score.id: score.gold for score in evaluated.scores}
    items = []
    for (key, before), *each in zip(base.items(), *(side.values() for side in tuned), strict=True):
        outcomes = [_outcome(before, after) for after in each]
        items.append(Item(key, questions.get(key), golds[key], before, each, outcomes))
    return items


def _side(run: RunDir, folder: Path, evaluated: Evaluation, scorers: Sequence[Scorer]) -> dict[str, list[Answer]]:
    """The answers of one model to each question."""
    log, tags = folder / "samples.jsonl", run.config.prompt.tags.record()
    texts = completions.texts(log)
    found: dict[str, list[Answer]] = {}
    for score in evaluated.scores:
        if (text := texts.get((score.id, score.sample))) is None:
            raise HarnessError(f"{log}: the completion of problem {score.id} is missing; delete {folder} and run again")
        others = tuple(each.name for each in scorers if each.rule(text, score.gold, tags).correct != score.correct)
        found.setdefault(score.id, []).append(Answer(text, score, others))
    return found


def _outcome(base: list[Answer], tuned: list[Answer]) -> str:
    before, after = (sum(answer.score.correct for answer in side) for side in (base, tuned))
    if before != after:
        return "gained" if after > before else "lost"
    return "wrong" if not after else "right" if after == len(tuned) else "partly"
