"""The report's sections about a training: its rewards, its other metrics, its rollouts, and the adapter proof."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from harness.report import charts
from harness.report.charts import Curve
from harness.report.document import Block, Figure, Folded, Loud, Rollouts, Section, Table
from harness.report.page import rollouts as kept_rollouts
from harness.report.summary import REWARD_SHARE, SeedSummary, Summary
from harness.runs.directory import RunDir
from harness.runs.proof import WeightsProof
from harness.runs.training import EQUAL_GROUPS, ROLLOUT, UNREWARDED, Metrics, metrics_log, read_metrics
from harness.stats.finding import spell, spell_p
from harness.stats.scores import COMPARED, QUANTITIES
from harness.util.text import plural

LONGEST_TABLE = 60  # steps in the table behind the curves
SMALLEST_SHARE = 0.001  # that is written as a number


class Drawn(NamedTuple):
    """A metric that is drawn."""

    name: str
    title: str
    column: str
    band: str = ""  # what lies between the ends of its band, in words
    spread: str = ""  # the column whose value is the band's half width
    ends: tuple[str, ...] = ()  # the columns between which the band lies
    share: bool = False  # between 0 and 1: drawn in percent


REWARD = Drawn("reward", "Mean reward", "reward", band="± SD in a step", spread="reward_std")
ACCURACY = Drawn("rollout-accuracy", "Accuracy of the rollouts", f"{ROLLOUT}accuracy", share=True)
LENGTHS = ("completions/min_length", "completions/max_length")
CURVES = (
    Drawn("rollout-strict", "Strict accuracy of the rollouts", f"{ROLLOUT}strict", share=True),
    Drawn("rollout-format", "Exact format of the rollouts", f"{ROLLOUT}format", share=True),
    Drawn("length", "Mean tokens of a completion", "completions/mean_length", band="and range", ends=LENGTHS),
    Drawn("clipped", "Completions cut at the limit", "completions/clipped_ratio", share=True),
    Drawn("no-signal", "Groups of equal rewards", EQUAL_GROUPS, share=True),
    Drawn("unrewarded", "Completions without a reward", UNREWARDED, share=True),
    Drawn("kl", "KL divergence from the base, nats", "kl"),
    Drawn("entropy", "Entropy of a token, nats", "entropy"),
    Drawn("gradient", "Gradient norm", "grad_norm"),
    Drawn("clip-ratio", "Tokens whose ratio is clipped", "clip_ratio/region_mean", share=True),
)


def training(run: RunDir, numbers: Summary) -> Section:
    metrics = _metrics(run)
    blocks: list[Block] = [*watched(metrics)]
    if numbers.seeds:
        blocks.append(
            f"The sentences below are about seed {numbers.train.seed}, the first; the section on seeds has the "
            "rewards of all."
        )
    told = "\n".join(_outcome(run, numbers, metrics[run.label(numbers.train.seed)]))
    return Section("Training", [*blocks, told, *_pinned(run, numbers)])


def watched(metrics: dict[str, list[Metrics]]) -> list[Figure]:
    """Reward and accuracy over the steps of the trainings, by name, as far as they have been logged."""
    return [_figure(drawn, lines) for drawn in (REWARD, ACCURACY) if (lines := _lines(metrics, drawn))]


def _outcome(run: RunDir, numbers: Summary, metrics: list[Metrics]) -> Iterator[str]:
    trained = numbers.train
    if trained.reward_first is not None:
        most = run.config.rewards.most()
        of = "" if most is None else f" of at most {most:g}"
        moved = f"{_moved(spell(trained.reward_first), spell(trained.reward_last))}{of} (first and last "
        moved += f"{REWARD_SHARE:.0%} of {trained.steps} steps, {trained.completions:,} completions)"
        if trained.steps == 1:
            moved = f"of the only step was {spell(trained.reward_last)}{of} ({trained.completions:,} completions)"
        yield (
            f"The mean reward {moved}. The reward is what was optimised; accuracy on the questions is what came of it."
        )
    if trained.rollouts:
        shares = ", ".join(
            f"{QUANTITIES[name].label.lower()} {_moved(f'{each.first:.1%}', f'{each.last:.1%}')}"
            for name, each in trained.rollouts.items()
            if name in COMPARED
        )
        yield f"Of the completions that it learned from, by the evaluation's scorer and over the same steps: {shares}."
    if trained.drift:
        d = trained.drift
        yield (
            f"By step {d.step} the reward had risen from {spell(d.reward[0])} to {spell(d.reward[1])} while their "
            f"accuracy had fallen from {d.accuracy[0]:.1%} to {d.accuracy[1]:.1%} (p {spell_p(d.p)})."
        )
    seconds = [row.numbers["step_time"] for row in metrics if row.numbers.get("step_time")]
    if len(seconds) > 1:
        yield f"A step took {statistics.median(seconds[1:]):.2f} s (median), the first one {seconds[0]:.2f} s."
    if trained.dropped_prompts:
        limit = run.config.train.max_prompt_tokens
        yield f"Left out, because longer than {limit} tokens: {plural(trained.dropped_prompts, 'training prompt')}."
    for name, share in trained.profiles_disagree.items():
        yield (
            f"In {_part(share)} of the completions the tutorial's reward for the {name} and the robust one, which "
            "follows our scorer's rules, differ."
        )


def _moved(first: str, last: str) -> str:
    return f"stayed at {last}" if first == last else f"went from {first} to {last}"


def _part(share: float) -> str:
    if 0 < share < SMALLEST_SHARE:
        return f"less than {SMALLEST_SHARE:.1%}"
    return {0: "none", 1: "all"}.get(share, f"{share:.1%}")


def _pinned(run: RunDir, numbers: Summary) -> Iterator[Block]:
    t, trained, lora = run.config.train, numbers.train, run.config.lora
    pinned = "Pinned, because library defaults have moved: " + ", ".join(
        f"{name} {str(getattr(t, name)).lower()}"  # true and false as in an experiment file
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
    metrics = _metrics(run)
    first = metrics[run.label(numbers.train.seed)]
    logged = first[0].numbers if first else {}
    rewards = [name for name in logged if name.startswith("rewards/") and name.endswith("/mean")]
    parts = [
        Drawn(f"reward-{number}", f"Mean reward by {name.removeprefix('rewards/').removesuffix('/mean')}", name)
        for number, name in enumerate(rewards)
    ]
    lines = {drawn: found for drawn in (*CURVES, *parts) if (found := _lines(metrics, drawn))}
    moving = [drawn for drawn, found in lines.items() if any(any(line.values) for line in found.values())]
    blocks: list[Block] = [_figure(drawn, lines[drawn]) for drawn in moving]
    if flat := ", ".join(drawn.title for drawn in lines if drawn not in moving):
        blocks.append(f"0 at every step: {flat}.")
    if not blocks:
        return None
    columns = [drawn.column for drawn in (REWARD, ACCURACY, *CURVES, *parts) if drawn.column in logged]
    every = -(-len(first) // LONGEST_TABLE)
    rows = [(str(row.step), *(_metric(row.numbers.get(name)) for name in columns)) for row in first[::every]]
    whose = f" of seed {numbers.train.seed}" if numbers.seeds else ""
    thinned = f", every {every} steps; metrics.jsonl has all" if every > 1 else ""
    return Section("Curves", [*blocks, Folded(f"The numbers{whose}{thinned}", [Table(("step", *columns), rows)])])


def _metric(value: float | None) -> str:
    return "" if value is None else spell(value, 3)


def _lines(metrics: dict[str, list[Metrics]], drawn: Drawn) -> dict[str, Curve]:
    """A metric over the steps of each training that logged it, by its name if there are several."""
    found = {name: line for name, rows in metrics.items() if (line := _line(rows, drawn))}
    return {name if len(metrics) > 1 else "": line for name, line in found.items()}


def _figure(drawn: Drawn, lines: dict[str, Curve]) -> Figure:
    banded = len(lines) == 1 and all(line.low for line in lines.values())
    title = f"{drawn.title} {drawn.band}" if banded else drawn.title
    return Figure(drawn.name, title, charts.curve(drawn.name, title, lines, share=drawn.share))


def _line(metrics: list[Metrics], drawn: Drawn) -> Curve | None:
    found = [row for row in metrics if row.numbers.get(drawn.column) is not None]
    if not found:
        return None
    rows = [row.numbers for row in found]
    values, band = [row[drawn.column] for row in rows], ([], [])
    if drawn.spread and all(row.get(drawn.spread) is not None for row in rows):
        band = tuple([row[drawn.column] + sign * row[drawn.spread] for row in rows] for sign in (-1, 1))
    elif drawn.ends and all(row.get(end) is not None for row in rows for end in drawn.ends):
        band = tuple([row[end] for row in rows] for end in drawn.ends)
    return Curve([row.step for row in found], values, *band)


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
        f"{p.scale:g} its log-probs on {p.tokens:,} probe tokens change in correlation "
        f"{spell(p.correlation_amplified, 4)} with PEFT's own (0.95 is needed); a zeroed copy gives "
        f"{spell(p.correlation_zeroed, 4)} and a wrongly named one {spell(p.correlation_renamed, 4)}. Of the "
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
        rows.append((f"seed {seed}", modules, *(spell(value, 4) for value in correlations), changed, *own))
    columns = ("adapter", "modules", "correlation", "zeroed", "renamed", "probes changed", "own change", "rerun")
    return Table(columns, rows)


def _metrics(run: RunDir) -> dict[str, list[Metrics]]:
    """By the name of the training."""
    return {run.label(seed): read_metrics(metrics_log(run.train(seed))) for seed in run.config.train.seeds}
