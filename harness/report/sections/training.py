"""The report's sections about a training: its rewards, its other metrics, its rollouts, and the adapter proof."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from harness.report import charts
from harness.report.charts import Curve
from harness.report.document import Block, Figure, Folded, Loud, Rollouts, Section, Table
from harness.report.page import rollouts as kept_rollouts
from harness.report.summary import REWARD_SHARE, SeedSummary, Summary
from harness.runs.directory import RunDir
from harness.runs.proof import WeightsProof
from harness.runs.training import ROLLOUT, Metrics, metrics_log, read_metrics
from harness.stats.finding import spell_p
from harness.stats.scores import COMPARED, QUANTITIES

LONGEST_TABLE = 60  # steps in the table behind the curves


def training(run: RunDir, numbers: Summary) -> Section:
    blocks: list[Block] = []
    metrics = _metrics(run, numbers)
    if figure := reward(metrics):
        blocks.append(figure)
    if numbers.seeds:
        blocks.append(f"Of seed {numbers.train.seed}, the first; the section on seeds has the rewards of all.")
    return Section("Training", [*blocks, "\n".join(_outcome(run, numbers, metrics)), *_pinned(run, numbers)])


def reward(metrics: list[Metrics]) -> Figure | None:
    """The reward over the steps; None if there is none yet."""
    return _figure(metrics, "reward", "Mean reward ± SD in a group", "reward", spread="reward_std")


def _outcome(run: RunDir, numbers: Summary, metrics: list[Metrics]) -> Iterator[str]:
    trained = numbers.train
    if trained.reward_first is not None:
        yield (
            f"The mean reward went from {trained.reward_first:.2f} to {trained.reward_last:.2f} (first and last "
            f"{REWARD_SHARE:.0%} of {trained.steps} steps, {trained.completions:,} completions). The "
            "reward is what was optimised; the table above is what came of it."
        )
    if trained.rollouts:
        shares = ", ".join(
            f"{QUANTITIES[name].label.lower()} from {each.first:.1%} to {each.last:.1%}"
            for name, each in trained.rollouts.items()
            if name in COMPARED
        )
        yield f"By the evaluation's scorer the completions that it learned from went, over the same steps: {shares}."
    if trained.drift:
        d = trained.drift
        yield (
            f"By step {d.step} the reward had risen from {d.reward[0]:.2f} to {d.reward[1]:.2f} while their accuracy "
            f"had fallen from {d.accuracy[0]:.1%} to {d.accuracy[1]:.1%} (p {spell_p(d.p)})."
        )
    seconds = [row.numbers["step_time"] for row in metrics if row.numbers.get("step_time")]
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
    for stage, backend in run.read_manifest().backends.items():
        if backend != t.backend:
            yield Loud(f"{stage}: by {backend}, because {t.backend} could not run there.")
    yield f"{pinned}\n{used}"


def curves(run: RunDir, numbers: Summary) -> Section | None:
    """The other useful metrics of the steps, with their numbers; only in the page."""
    metrics = _metrics(run, numbers)
    lengths = ("completions/min_length", "completions/max_length")
    logged = metrics[0].numbers if metrics else {}
    rewards = [name for name in logged if name.startswith("rewards/") and name.endswith("/mean")]
    drawn = [_figure(metrics, "length", "Tokens a completion, mean and range", "completions/mean_length", ends=lengths)]
    for number, name in enumerate(rewards):
        title = f"Mean reward by {name.removeprefix('rewards/').removesuffix('/mean')}"
        drawn.append(_figure(metrics, f"reward-{number}", title, name))
    for name in COMPARED:
        label = f"{QUANTITIES[name].label} of the rollouts, by the evaluation's scorer"
        drawn.append(_figure(metrics, f"rollout-{name}", label, f"{ROLLOUT}{name}"))
    for name, title, column in (
        ("clipped", "Share of completions cut at the limit", "completions/clipped_ratio"),
        ("no-signal", "Share of groups whose rewards are all equal", "frac_reward_zero_std"),
        ("kl", "KL divergence from the base", "kl"),
    ):
        if any(row.numbers.get(column) for row in metrics):
            drawn.append(_figure(metrics, name, title, column))
    figures = [figure for figure in drawn if figure]
    if not figures:
        return None
    judged = [f"{ROLLOUT}{name}" for name in COMPARED]
    columns = [n for n in ("reward", "reward_std", "completions/mean_length", *judged, *rewards) if n in logged]
    every = -(-len(metrics) // LONGEST_TABLE)
    rows = [(str(row.step), *(_metric(row.numbers.get(name)) for name in columns)) for row in metrics[::every]]
    thinned = f", every {every} steps; metrics.jsonl has all" if every > 1 else ""
    return Section("Curves", [*figures, Folded(f"The numbers{thinned}", [Table(("step", *columns), rows)])])


def _metric(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _figure(
    metrics: list[Metrics], name: str, title: str, column: str, spread: str = "", ends: tuple[str, ...] = ()
) -> Figure | None:
    """A column of the metrics over the steps; its band is value ± spread, or between the columns of `ends`."""
    steps = [row.step for row in metrics if row.numbers.get(column) is not None]
    rows = [row.numbers for row in metrics if row.numbers.get(column) is not None]
    if not rows:
        return None
    values, band = [row[column] for row in rows], ([], [])
    if spread and all(row.get(spread) is not None for row in rows):
        band = tuple([row[column] + sign * row[spread] for row in rows] for sign in (-1, 1))
    elif ends and all(row.get(end) is not None for row in rows for end in ends):
        band = tuple([row[end] for row in rows] for end in ends)
    return Figure(name, title, charts.curve(name, title, Curve(steps, values, *band)))


def rollouts(run: RunDir, numbers: Summary) -> Section | None:
    """The completions that the trainings kept."""
    kept = kept_rollouts.read(run)
    return Section("Rollouts", [Rollouts(kept)]) if kept.groups else None


def proof(run: RunDir, numbers: Summary) -> Section:
    """Evidence that the tuned answers come from the trained weights."""
    p, each = numbers.proof, numbers.seeds or ()
    if isinstance(p, WeightsProof):
        found = {f"Seed {entry.seed}: ": entry.proof for entry in each} or {"": p}
        return Section(
            "Did the weights change?",
            [
                "\n".join(
                    f"{whose}{proof.tensors_changed} of {proof.tensors} weight tensors and {proof.changed:.2%} of all "
                    "numbers differ from the base's, in the precision that was evaluated."
                    for whose, proof in found.items()
                )
            ],
        )
    blocks: list[Block] = [_proofs(each)] if each else []
    first = f"Of seed {numbers.train.seed}: the" if each else "The"
    blocks.append(
        f"{first} engine loaded {p.modules_loaded} of the adapter's {p.modules} modules. With B scaled by "
        f"{p.scale:g} its log-probs on {p.tokens} probe tokens change in correlation "
        f"{p.correlation_amplified:.4f} with PEFT's own (0.95 is needed); a zeroed copy gives "
        f"{p.correlation_zeroed:.4f} and a wrongly named one {p.correlation_renamed:.4f}. Of the "
        f"{p.completions_changed_by_peft} probe completions that it changes in PEFT, it changes "
        f"{p.completions_changed} in the engine. The adapter itself "
        f"changes a token's log-prob by {p.adapter_change:.3g} nats on average, scoring the base again by "
        f"{p.rerun_change:.3g}."
    )
    return Section("Was the adapter applied?", blocks)


def _proofs(seeds: Sequence[SeedSummary]) -> Table:
    """The adapter proof of every seed."""
    rows = []
    for p, seed in ((entry.proof, entry.seed) for entry in seeds):
        correlations = (p.correlation_amplified, p.correlation_zeroed, p.correlation_renamed)
        changed = f"{p.completions_changed} of {p.completions_changed_by_peft}"
        own = (f"{p.adapter_change:.3g}", f"{p.rerun_change:.3g}")
        modules = f"{p.modules_loaded} of {p.modules}"
        rows.append((f"seed {seed}", modules, *(f"{value:.4f}" for value in correlations), changed, *own))
    columns = ("adapter", "modules", "correlation", "zeroed", "renamed", "probes changed", "own change", "rerun")
    return Table(columns, rows)


def _metrics(run: RunDir, numbers: Summary) -> list[Metrics]:
    return read_metrics(metrics_log(run.train(numbers.train.seed)))
