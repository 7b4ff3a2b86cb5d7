"""The learning curve: the base and the adapters kept during a training on the dev split, and which one is chosen.

Dev problems are taken from train, and no training uses them: they serve for monitoring and for choosing a checkpoint,
so that test is not used for that. harness.evaluate makes the completions; this module needs no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.config.schema import Config
from harness.runs import curve, seals
from harness.runs.curve import Curve, Point
from harness.runs.directory import RunDir
from harness.runs.results import Evaluation, read_evaluation
from harness.stats import finding
from harness.stats.scores import COMPARED, per_question, rate


def watching(config: Config) -> Config:
    """The experiment with its evaluation set to the whole dev split; all other settings are unchanged."""
    return config.model_copy(update={"eval": config.eval.model_copy(update={"split": "dev", "limit": None})})


def write(run: RunDir, seed: int) -> Curve:
    """Make a seed's curve.json from the result.json of its steps, and return it. HarnessError if one is missing."""
    made = drawn(run.config, {step: read_evaluation(folder) for step, folder in folders(run, seed).items()})
    file = run.curve(seed) / curve.NAME
    sources = seals.hashes(run, (folder / "result.json" for folder in folders(run, seed).values()))
    seals.write_text(run, file, curve.text(made), sources)
    return made


def folders(run: RunDir, seed: int) -> dict[int, Path]:
    """The folder of the completions of each point, by step; step 0 is the base."""
    return {step: run.curve(seed) / f"step-{step}" for step in (0, *run.kept_steps(seed))}


def drawn(config: Config, sides: Mapping[int, Evaluation]) -> Curve:
    """The curve of the evaluations by step: 0, and each kept step, ascending.

    One point for each step: the rates of COMPARED with their 95% intervals, and from the first kept step on their
    paired differences from the base.
    """
    columns = [per_question(side.scores) for side in sides.values()]
    points = tuple(
        Point(
            step=step,
            adapter=side.adapter,
            **{name: rate(column[name], config.eval.samples) for name in COMPARED},
            completions=len(side.scores),
            correct=sum(score.correct for score in side.scores),
            truncated=sum(score.finish_reason == "length" for score in side.scores),
            difference=finding.differences(columns[0], column) if step else None,
        )
        for (step, side), column in zip(sides.items(), columns, strict=True)
    )
    checkpoint = config.train.checkpoint
    chosen = best(points) if checkpoint == "best_dev" else points[-1].step
    return Curve(sides[0].conditions, len(columns[0]["accuracy"]), points, checkpoint, chosen)


def best(points: Sequence[Point]) -> int:
    """The kept step with the most right answers, the earliest if there are several; never step 0, the base."""
    return max((point for point in points if point.step), key=lambda point: (point.correct, -point.step)).step
