"""The report's section about the learning curve: the training as measured on the dev split."""

from __future__ import annotations

from harness.report import charts
from harness.report.document import Block, Figure, Section, Table
from harness.report.summary import Summary
from harness.report.wording import points, rate_text
from harness.runs.curve import Curve
from harness.runs.directory import RunDir
from harness.stats.scores import COMPARED, QUANTITIES

DRAWN = ("accuracy", "format")


def learning_curve(run: RunDir, numbers: Summary) -> Section | None:
    """The rates on dev by step for each training seed, and their use; None without a curve."""
    curves = {int(seed): made for seed, made in (numbers.curve or {}).items()}
    if not curves:
        return None
    several = len(run.config.train.seeds) > 1
    blocks: list[Block] = []
    for seed, made in curves.items():
        whose = f", seed {seed}" if several else ""
        blocks += [_figure(made, name, seed, whose) for name in DRAWN]
    blocks += [_table(seed, made, several) for seed, made in curves.items()]
    blocks.append("\n".join([_watched(curves), *(_chosen(run, seed, made) for seed, made in curves.items())]))
    return Section("Learning curve", blocks)


def _figure(made: Curve, name: str, seed: int, whose: str) -> Figure:
    title = f"Dev {QUANTITIES[name].label.lower()} with 95% intervals{whose}"
    rates = [getattr(point, name) for point in made.points]
    values, low, high = ([getattr(rate, end) for rate in rates] for end in ("value", "low", "high"))
    place = f"dev-{name}-{seed}"
    steps = [point.step for point in made.points]
    return Figure(place, title, charts.curve(place, title, {"": charts.Curve(steps, values, low, high)}, share=True))


def _table(seed: int, made: Curve, several: bool) -> Table:
    rows = []
    for point in made.points:
        step = f"{point.step} (evaluated)" if point.step == made.chosen else str(point.step)
        since = points(point.difference.accuracy) if point.difference else ""
        rates = (rate_text(getattr(point, name)) for name in COMPARED)
        rows.append((step if point.step else "0 (base)", *rates, since))
    first = f"step, seed {seed}" if several else "step"
    labels = (QUANTITIES[name].label.lower() for name in COMPARED)
    return Table((first, *labels, "accuracy minus base, points"), rows)


def _watched(curves: dict[int, Curve]) -> str:
    made = next(iter(curves.values()))
    used = "watching alone"
    if made.checkpoint == "best_dev":
        each = " a seed" if len(curves) > 1 else ""
        kept = " or ".join(map(str, sorted({len(curve.points) - 1 for curve in curves.values()})))
        used = f"watching and for choosing among {kept} kept adapters{each}"
    return (
        f"These are the {made.n:,} problems of the dev split, which no training sees. They were used for {used}; "
        "the test questions were not. All points answer the same questions: the paired last column compares them, the "
        "overlap of their intervals does not."
    )


def _chosen(run: RunDir, seed: int, made: Curve) -> str:
    steps = run.steps(seed)
    whose = f"Seed {seed}: the" if len(run.config.train.seeds) > 1 else "The"
    if made.checkpoint == "last":
        return f"{whose} tuned model is the adapter after the last step, {steps}, whatever the curve says."
    rate = next(point.accuracy for point in made.points if point.step == made.chosen)
    return (
        f"{whose} tuned model is the adapter after step {made.chosen} of {steps}, the best on dev (the earliest of "
        f"equals). Its dev accuracy, {rate_text(rate)}, was chosen for being high and flatters it; its test accuracy "
        "does not."
    )
