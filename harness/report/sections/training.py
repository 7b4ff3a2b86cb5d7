"""The report's section about the learning curve: what the dev split saw of a training."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from harness.report import charts
from harness.report.charts import Curve
from harness.report.document import Block, Figure, Folded, Loud, Section, Table, Verbatim
from harness.report.sections.robustness import proofs
from harness.report.summary import REWARD_SHARE, Summary
from harness.report.wording import points, rate_text
from harness.runs.directory import RunDir
from harness.stats.records import Estimate
from harness.stats.scores import COMPARED
from harness.util import files
from harness.util.errors import HarnessError


def _record(of: dict[str, Any]) -> Estimate:
    return Estimate(**{end: of[end] for end in ("value", "low", "high")})


DRAWN = {"accuracy": "Dev accuracy, %", "format": "Dev format, %"}


def learning_curve(run: RunDir, numbers: Summary) -> Section | None:
    """The rates on dev by step, for each training seed, and what they were used for; None without a curve."""
    curves = {int(seed): made for seed, made in (numbers.curve or {}).items()}
    if not curves:
        return None
    several = len(run.config.train.seeds) > 1
    blocks: list[Block] = []
    for seed, made in curves.items():
        whose = f", seed {seed}" if several else ""
        blocks += [
            _dev_figure(made, name, f"{title}, with 95% intervals{whose}", seed) for name, title in DRAWN.items()
        ]
    blocks += [_table(seed, made, several) for seed, made in curves.items()]
    blocks.append("\n".join([_watched(run, curves), *(_chosen(run, seed, made) for seed, made in curves.items())]))
    return Section("Learning curve", blocks)


def _dev_figure(made: dict[str, Any], name: str, title: str, seed: int) -> Figure:
    points = made["points"]
    values, low, high = ([100 * point[name][end] for point in points] for end in ("value", "low", "high"))
    drawn = charts.curve(f"dev-{name}-{seed}", title, Curve([point["step"] for point in points], values, low, high))
    return Figure(f"dev-{name}-{seed}", title, drawn)


def _table(seed: int, made: dict[str, Any], several: bool) -> Table:
    rows = []
    for point in made["points"]:
        since = points(_record(point["difference"]["accuracy"])) if point["step"] else ""
        step = str(point["step"]) + (" (evaluated)" if point["step"] == made["chosen"] else "")
        rows.append(
            (step if point["step"] else "0 (base)", *(rate_text(_record(point[name])) for name in COMPARED), since)
        )
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
        f"Its dev accuracy, {rate_text(_record(rate))}, was chosen for being high and flatters it; its test accuracy does not."
    )


LONGEST_TABLE = 60  # steps in the table behind the curves


def training(run: RunDir, numbers: Summary) -> Section:
    blocks: list[Block] = []
    metrics = _metrics(run, numbers)
    if figure := _figure(metrics, "reward", "Mean reward ± SD in a group", "reward", spread="reward_std"):
        blocks.append(figure)
    if numbers.seeds:
        blocks.append(f"Of seed {numbers.train.seed}, the first; the section on seeds has the rewards of all.")
    return Section("Training", [*blocks, "\n".join(_outcome(run, numbers, metrics)), *_pinned(run, numbers)])


def _outcome(run: RunDir, numbers: Summary, metrics: list[dict[str, Any]]) -> Iterator[str]:
    trained = numbers.train
    if trained.reward_first is not None:
        yield (
            f"The mean reward went from {trained.reward_first:.2f} to {trained.reward_last:.2f} (first and last "
            f"{REWARD_SHARE:.0%} of {trained.steps} steps, {trained.completions:,} completions). The "
            "reward is what was optimised; the table above is what came of it."
        )
    seconds = [row["step_time"] for row in metrics if row.get("step_time")]
    if len(seconds) > 1:
        yield f"A step took {statistics.median(seconds[1:]):.2f} s (median), the first one {seconds[0]:.2f} s."
    if trained.dropped_prompts:
        limit = run.config.train.max_prompt_tokens
        yield f"{trained.dropped_prompts} training prompts were over {limit} tokens and left out."
    for name, share in trained.profiles_disagree.items():
        yield f"The tutorial's and the robust rewards disagreed on {name} in {share:.1%} of the completions."


def _pinned(run: RunDir, numbers: Summary) -> Iterator[Block]:
    t, trained, lora = run.config.train, numbers.train, run.config.lora
    pinned = "Pinned, because library defaults have moved: " + ", ".join(
        f"{name} {getattr(t, name)}"
        for name in (
            "loss_type", "beta", "kl_importance_weighted", "scale_rewards", "importance_sampling", "epsilon",
            "num_iterations", "mask_truncated_completions", "temperature", "top_p", "top_k", "min_p", "optimizer",
        )
    ) + f", seed {trained.seed}."  # fmt: skip
    what = "All weights trained" if run.config.model.full_finetuning else f"LoRA r {lora.r}, alpha {lora.alpha}"
    used = (
        f"{what}; learning rate {t.learning_rate:g}, {t.prompts_per_step} prompts x "
        f"{t.generations} completions a step; rewards: {run.config.rewards.profile} profile, "
        + ", ".join(f"{f.name} x {f.weight:g}" for f in run.config.rewards.functions)
        + ". What the trainer really used: train/*/effective_settings.json."
    )
    for stage, backend in run.read_manifest().get("backends", {}).items():
        if backend != t.backend:
            yield Loud(f"{stage}: by {backend}, because {t.backend} could not run there.")
    yield f"{pinned}\n{used}"


def curves(run: RunDir, numbers: Summary) -> Section | None:
    """Everything else that a step reports and a reader can use, with the numbers behind it; for the page."""
    metrics = _metrics(run, numbers)
    lengths = ("completions/min_length", "completions/max_length")
    rewards = [name for row in metrics[:1] for name in row if name.startswith("rewards/") and name.endswith("/mean")]
    drawn = [_figure(metrics, "length", "Tokens a completion, mean and range", "completions/mean_length", ends=lengths)]
    for number, name in enumerate(rewards):
        title = f"Mean reward by {name.removeprefix('rewards/').removesuffix('/mean')}"
        drawn.append(_figure(metrics, f"reward-{number}", title, name))
    for name, title, column in (
        ("clipped", "Share of completions cut at the limit", "completions/clipped_ratio"),
        ("no-signal", "Share of groups whose rewards are all equal", "frac_reward_zero_std"),
        ("kl", "KL divergence from the base", "kl"),
    ):
        if any(row.get(column) for row in metrics):
            drawn.append(_figure(metrics, name, title, column))
    figures = [figure for figure in drawn if figure]
    if not figures:
        return None
    columns = [n for n in ("reward", "reward_std", "completions/mean_length", *rewards) if n in metrics[0]]
    every = -(-len(metrics) // LONGEST_TABLE)
    rows = [(str(r["step"]), *(_metric(r.get(name)) for name in columns)) for r in metrics[::every]]
    thinned = f", every {every} steps; metrics.jsonl has all" if every > 1 else ""
    return Section("Curves", [*figures, Folded(f"The numbers{thinned}", [Table(("step", *columns), rows)])])


def _metric(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _figure(
    metrics: list[dict[str, Any]], name: str, title: str, column: str, spread: str = "", ends: tuple[str, ...] = ()
) -> Figure | None:
    """A column of the metrics over the steps; its band is value ± spread, or lies between the columns of `ends`."""
    rows = [row for row in metrics if row.get(column) is not None]
    if not rows:
        return None
    values, band = [row[column] for row in rows], ([], [])
    if spread and all(row.get(spread) is not None for row in rows):
        band = tuple([row[column] + sign * row[spread] for row in rows] for sign in (-1, 1))
    elif ends and all(row.get(end) is not None for row in rows for end in ends):
        band = tuple([row[end] for row in rows] for end in ends)
    return Figure(name, title, charts.curve(name, title, Curve([row["step"] for row in rows], values, *band)))


def rollouts(run: RunDir, numbers: Summary) -> Section | None:
    """The best and the worst of the completions kept from the first and from the last step."""
    import pyarrow.parquet

    file = run.train(numbers.train.seed) / "completions.parquet"
    try:
        rows = pyarrow.parquet.read_table(file).to_pylist() if file.exists() else []
    except (OSError, ValueError):
        raise HarnessError(f"{file}: cannot be read; delete it and run harness.report again") from None
    steps = sorted({row["step"] for row in rows})
    shown: list[Block] = ["Of the completions kept from the first and the last step, the best and the worst:"]
    for step in dict.fromkeys([*steps[:1], *steps[-1:]]):
        ranked = sorted((row for row in rows if row["step"] == step), key=lambda row: row["reward"])
        for row in (ranked[-1], ranked[0]):
            title = f"Step {step}, reward {row['reward']:g}, gold {row['gold']}:"
            shown.append(Verbatim(title, row["completion"], run.config.prompt.tags.record()))
    return Section("Rollouts", shown) if rows else None


def proof(run: RunDir, numbers: Summary) -> Section:
    p = numbers.proof
    if run.config.model.full_finetuning:
        found = [(f"Seed {entry.seed}: ", entry.proof) for entry in numbers.seeds or ()] or [("", p)]
        said = [
            f"{whose}{p['tensors_changed']} of {p['tensors']} weight tensors and {p['changed']:.2%} of all numbers "
            "differ from the base's, in the precision that was evaluated."
            for whose, p in found
        ]
        return Section("Did the weights change?", ["\n".join(said)])
    each: list[Block] = [proofs(numbers)] if numbers.seeds else []
    first = f"Of seed {numbers.train.seed}: the" if each else "The"
    return Section(
        "Was the adapter applied?",
        [
            *each,
            f"{first} engine loaded {p['modules_loaded']} of the adapter's {p['modules']} modules. With B scaled by "
            f"{p['scale']:g} its log-probs on {p['tokens']} probe tokens change in correlation "
            f"{p['correlation_amplified']:.4f} with PEFT's own (0.95 is needed); a zeroed copy gives "
            f"{p['correlation_zeroed']:.4f} and a wrongly named one {p['correlation_renamed']:.4f}. Of the "
            f"{p['completions_changed_by_peft']} probe completions that it changes in PEFT, it changes "
            f"{p['completions_changed']} in the engine. The adapter itself "
            f"changes a token's log-prob by {p['adapter_change']:.3g} nats on average, scoring the base again by "
            f"{p['rerun_change']:.3g}.",
        ],
    )


def _metrics(run: RunDir, numbers: Summary) -> list[dict[str, Any]]:
    return files.read_lines(run.train(numbers.train.seed) / "metrics.jsonl")
