"""Every question of a run with the answers of base and tuned model, and whether it was gained, lost or unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.runs import completions
from harness.runs.directory import RunDir
from harness.runs.results import Evaluation, read_evaluation
from harness.util.errors import HarnessError

# In the order in which they are shown. With K samples, a question is counted as in the report's tables: gained if its
# score rose, lost if it fell; "partly" if its score is neither 0 nor 1 and did not change.
OUTCOMES = {
    "gained": "Gained",
    "lost": "Lost",
    "wrong": "Both wrong",
    "right": "Both right",
    "partly": "Unchanged, partly right",
}


@dataclass(frozen=True)
class Answer:
    """One completion with its score; the fields are those of tasks.records.Score and Completion."""

    text: str
    answer: str | None
    rule: str | None
    why: str
    correct: bool
    exact_format: bool
    tokens: int
    finish_reason: str


@dataclass(frozen=True)
class Item:
    """One question; base and tuned have one answer for each sample."""

    id: str
    question: str | None  # None in runs that were evaluated before result.json kept the questions
    gold: str
    outcome: str  # a key of OUTCOMES
    base: list[Answer]
    tuned: list[Answer]

    @property
    def rules(self) -> list[str]:
        """The rules that found an answer of either model; "none" for an answer without a number."""
        return sorted({answer.rule or "none" for answer in (*self.base, *self.tuned)})


def read(run: RunDir, seed: int) -> list[Item]:
    """The questions in their order. Raises HarnessError if a completion is missing."""
    evaluated = read_evaluation(run.base)
    base, tuned = _side(run.base, evaluated), _side(run.tuned(seed), read_evaluation(run.tuned(seed)))
    questions, golds = evaluated.questions or {}, {score.id: score.gold for score in evaluated.scores}
    items = []
    for (key, before), after in zip(base.items(), tuned.values(), strict=True):
        items.append(Item(key, questions.get(key), golds[key], _outcome(before, after), before, after))
    return items


def _side(folder: Path, evaluated: Evaluation) -> dict[str, list[Answer]]:
    """The answers of one model to each question."""
    log = folder / "samples.jsonl"
    texts = completions.texts(log)
    found: dict[str, list[Answer]] = {}
    for score in evaluated.scores:
        if (text := texts.get((score.id, score.sample))) is None:
            raise HarnessError(f"{log}: the completion of problem {score.id} is missing; delete {folder} and run again")
        fields = {name: getattr(score, name) for name in Answer.__dataclass_fields__ if name != "text"}
        found.setdefault(score.id, []).append(Answer(text, **fields))
    return found


def _outcome(base: list[Answer], tuned: list[Answer]) -> str:
    before, after = (sum(answer.correct for answer in side) for side in (base, tuned))
    if before != after:
        return "gained" if after > before else "lost"
    return "wrong" if not after else "right" if after == len(tuned) else "partly"
