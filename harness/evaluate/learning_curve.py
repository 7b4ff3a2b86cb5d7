"""The learning curve: the base and the adapters kept along a training on the dev split, and which one is chosen.

Dev problems are cut from train and trained on by nobody: they are there to be looked at and to choose by, so that test
is not. harness.evaluate makes the answers; what becomes of them is here, without a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.config.schema import Config
from harness.runs.directory import RunDir
from harness.runs.results import Evaluation, ScoredCompletion, read_evaluation
from harness.stats import paired, verdict
from harness.stats.scores import COMPARED, Columns, per_question, rate
from harness.util import files, typed


def watching(config: Config) -> Config:
    """The experiment with its evaluation turned to the dev split, all of it; every other setting as it is."""
    return config.model_copy(update={"eval": config.eval.model_copy(update={"split": "dev", "limit": None})})


def write(run: RunDir, seed: int) -> dict[str, Any]:
    """Make a seed's curve.json of the result.json of its steps, and return it. HarnessError where one is missing."""
    made = drawn(run.config, [read_evaluation(folder) for folder in folders(run, seed).values()])
    files.write_json(run.curve(seed) / "curve.json", made)
    return made


def folders(run: RunDir, seed: int) -> dict[int, Path]:
    """Where the answers of each point are, by step; step 0 is the base."""
    return {step: run.curve(seed) / f"step-{step}" for step in (0, *run.config.kept_steps)}


def drawn(config: Config, sides: Sequence[Evaluation]) -> dict[str, Any]:
    """The curve of the result.json of step 0 and of each kept step.

    A point a step: the rates of COMPARED with their 95% intervals, and from the first kept step on their paired
    differences to the base. `chosen` is the step whose adapter the tuned evaluation asks.
    """
    steps = (0, *config.kept_steps)
    columns = [per_question(side.scores) for side in sides]
    points = [
        {"step": step, "adapter": side.adapter}
        | {name: typed.plain(rate(column[name], config.eval.samples)) for name in COMPARED}
        | _counts(side.scores)
        | {"difference": _differences(columns[0], column) if step else None}
        for step, side, column in zip(steps, sides, columns, strict=True)
    ]
    return {
        "conditions": typed.plain(sides[0].conditions),
        "n": len(columns[0]["accuracy"]),
        "points": points,
        "checkpoint": config.train.checkpoint,
        "chosen": best(points) if config.train.checkpoint == "best_dev" else config.train.steps,
    }


def best(points: Sequence[dict[str, Any]]) -> int:
    """The kept step with the most right answers, the earliest of several; never step 0, which is the base."""
    return max((point for point in points if point["step"]), key=lambda p: (p["correct"], -p["step"]))["step"]


def _counts(scores: Sequence[ScoredCompletion]) -> dict[str, int]:
    return {
        "completions": len(scores),
        "correct": sum(score.correct for score in scores),
        "truncated": sum(score.finish_reason == "length" for score in scores),
    }


def _differences(base: Columns, later: Columns) -> dict[str, Any]:
    return {name: typed.plain(verdict.record(paired.paired(base[name], later[name]))) for name in COMPARED}
