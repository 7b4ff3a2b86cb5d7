"""Every question of a run with what the base and the tuned model answered, and which way it changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.runs import results
from harness.runs.directory import RunDir
from harness.util import files
from harness.util.errors import HarnessError

# In the order in which they are shown. With K samples a question counts as in the table above it: gained where its
# score rose, lost where it fell; "partly" is one whose score is neither 0 nor 1 and did not change.
OUTCOMES = {
    "gained": "Gained",
    "lost": "Lost",
    "wrong": "Both wrong",
    "right": "Both right",
    "partly": "Unchanged, partly right",
}


@dataclass(frozen=True)
class Answer:
    """One completion with its score; the fields of schema.Score and of schema.Completion."""

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
    """One question; base and tuned have one answer a sample."""

    id: str
    question: str | None  # None in runs that were evaluated before result.json kept the questions
    gold: str
    outcome: str  # a key of OUTCOMES
    base: list[Answer]
    tuned: list[Answer]

    @property
    def rules(self) -> list[str]:
        """The rules that found an answer on either side, "none" where there was no number."""
        return sorted({answer.rule or "none" for answer in (*self.base, *self.tuned)})


def read(run: RunDir, seed: int) -> list[Item]:
    """The questions in their order. Raises HarnessError where a completion is missing."""
    base, tuned = _side(run.base), _side(run.tuned(seed))
    questions = files.read_json(run.base / "result.json").get("questions", {})
    items = []
    for (key, (gold, before)), (_, after) in zip(base.items(), tuned.values(), strict=True):
        items.append(Item(key, questions.get(key), gold, _outcome(before, after), before, after))
    return items


def _side(folder: Path) -> dict[str, tuple[str, list[Answer]]]:
    """The gold and the answers of each question of one side."""
    log = folder / "samples.jsonl"
    found: dict[str, tuple[str, list[Answer]]] = {}
    try:
        texts = results.texts(log)
        for score in files.read_json(folder / "result.json")["scores"]:
            text = texts.get((score["id"], score["sample"]))
            if text is None:
                raise HarnessError(
                    f"{log}: the completion of problem {score['id']} is missing; delete {folder} and run again"
                )
            fields = {name: score[name] for name in Answer.__dataclass_fields__ if name != "text"}
            found.setdefault(score["id"], (score["gold"], []))[1].append(Answer(text, **fields))
    except (KeyError, TypeError) as error:
        raise HarnessError(
            f"{folder}: not as this version of the harness writes it ({error!r}); harness.rescore scores a run anew"
        ) from None
    return found


def _outcome(base: list[Answer], tuned: list[Answer]) -> str:
    before, after = (sum(answer.correct for answer in side) for side in (base, tuned))
    if before != after:
        return "gained" if after > before else "lost"
    return "wrong" if not after else "right" if after == len(tuned) else "partly"
