"""The report's section about the learning curve: what the dev split saw of a training."""

from __future__ import annotations

from typing import Any

from harness import charts
from harness.charts import Curve
from harness.curve import NAMES
from harness.document import Block, Figure, Section, Table
from harness.rundir import RunDir
from harness.summary import points_text, rate_text

DRAWN = {"accuracy": "Dev accuracy, %", "format": "Dev format, %"}


def learning_curve(run: RunDir, numbers: dict[str, Any]) -> Section | None:
    """The rates on dev by step, for each training seed, and what they were used for; None without a curve."""
    curves = {int(seed): made for seed, made in numbers.get("curve", {}).items()}
    if not curves:
        return None
    several = len(run.config.train.seeds) > 1
    blocks: list[Block] = []
    for seed, made in curves.items():
        whose = f", seed {seed}" if several else ""
        blocks += [_figure(made, name, f"{title}, with 95% intervals{whose}", seed) for name, title in DRAWN.items()]
    blocks += [_table(seed, made, several) for seed, made in curves.items()]
    blocks.append("\n".join([_watched(run, curves), *(_chosen(run, seed, made) for seed, made in curves.items())]))
    return Section("Learning curve", blocks)


def _figure(made: dict[str, Any], name: str, title: str, seed: int) -> Figure:
    points = made["points"]
    values, low, high = ([100 * point[name][end] for point in points] for end in ("value", "low", "high"))
    drawn = charts.curve(f"dev-{name}-{seed}", title, Curve([point["step"] for point in points], values, low, high))
    return Figure(f"dev-{name}-{seed}", title, drawn)


def _table(seed: int, made: dict[str, Any], several: bool) -> Table:
    rows = []
    for point in made["points"]:
        since = points_text(point["difference"]["accuracy"]).replace("-", "−") if point["step"] else ""
        step = str(point["step"]) + (" (evaluated)" if point["step"] == made["chosen"] else "")
        rows.append((step if point["step"] else "0 (base)", *(rate_text(point[name]) for name in NAMES), since))
    first = f"step, seed {seed}" if several else "step"
    return Table((first, "accuracy", "strict accuracy", "format", "accuracy minus base, points"), rows)


def _watched(run: RunDir, curves: dict[int, Any]) -> str:
    made = next(iter(curves.values()))
    kept = len(made["points"]) - 1
    used = "watching alone"
    if run.config.train.checkpoint == "best_dev":
        used = f"watching and for choosing among {kept} kept adapters{' a seed' * (len(curves) > 1)}"
    return (
        f"These are the {made['n']:,} problems of the dev split, which no training sees. They were used for {used}; "
        "the test questions were not. All points answer the same questions: the paired last column compares them, the "
        "overlap of their intervals does not."
    )


def _chosen(run: RunDir, seed: int, made: dict[str, Any]) -> str:
    steps, chosen = run.config.train.steps, made["chosen"]
    whose = f"Seed {seed}: the" if len(run.config.train.seeds) > 1 else "The"
    if made["checkpoint"] == "last":
        return f"{whose} tuned model is the adapter after the last step, {steps}, whatever the curve says."
    rate = next(point["accuracy"] for point in made["points"] if point["step"] == chosen)
    return (
        f"{whose} tuned model is the adapter after step {chosen} of {steps}, the best on dev (the earliest of equals). "
        f"Its dev accuracy, {rate_text(rate)}, was chosen for being high and flatters it; its test accuracy does not."
    )
