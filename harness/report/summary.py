"""From the evaluations to the numbers of the report: summary.json, which a rerun reproduces byte for byte.

With several training seeds `tuned`, `difference`, `decomposition` and `verdict` are those of the mean over the seeds,
with intervals that hold the variation between trainings (harness.stats.seeds); such a difference has no counts of
gained and lost questions and one p instead of mid-p and exact p. `seeds` then has the same for each seed by itself.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.report import scorer_panel
from harness.runs import curve, proof, training
from harness.runs.comparable import check_pair
from harness.runs.directory import RunDir
from harness.runs.results import Evaluation, ScoredCompletion, read_evaluation
from harness.stats import paired, pass_at_k, seeds, sensitivity, verdict
from harness.stats.scores import COMPARED, QUANTITIES, Columns, Scores, means, per_question, rate
from harness.util import typed
from harness.util.errors import HarnessError

RULES = ("solution", "phrase", "boxed", "hashes", "last_number")
# Completions at each end of the training over which the reward is averaged.
REWARD_SHARE = 0.1


def summarize(run: RunDir) -> dict[str, Any]:
    """Pair the evaluations of a run and compute every number of its report.

    Raises HarnessError where they are not comparable: other questions, prompts or settings.
    """
    trained, count = run.config.train.seeds, run.config.eval.samples
    base = read_evaluation(run.base)
    tuned = [read_evaluation(run.tuned(seed)) for seed in trained]
    for result in tuned:
        check_pair(run, base, result)
    before = per_question(base.scores)
    if len(tuned) > 1 and len(before["accuracy"]) < 2:
        raise HarnessError(f"{run.path}: several training seeds need at least 2 questions to compare; see eval.limit")
    each = [per_question(result.scores) for result in tuned]
    after = each[0] if len(each) == 1 else {name: np.stack([side[name] for side in each]) for name in QUANTITIES}
    differences = {name: seeds.difference(before[name], after[name]) for name in COMPARED}
    sides = [result.scores for result in tuned]
    adapters = [result.adapter for result in tuned]
    return {
        "name": run.config.name,
        "digest": run.config.digest(),
        "n": len(before["accuracy"]),
        "samples": count,
        "conditions": typed.plain(base.conditions),
        "base_weights": run.read_manifest().inputs.get("base weights"),
        "problems": typed.plain(base.problems),
        "selftest": typed.plain(base.selftest),
        "base": _side([base.scores], before, count),
        "tuned": _side(sides, after, count) | {"adapter": adapters if adapters[1:] else adapters[0]},
        "difference": {name: verdict.record(d) for name, d in differences.items()},
        "decomposition": _decomposition(before, after) | {"by_rule": _by_rule(base.scores, sides)},
        "verdict": _verdict(differences, base.scores, sides),
        "truncation": _truncation(base.scores, before, sides, after),
        "panel": _panel(run, base.scores, sides[0]),
        "train": _training(run, trained[0]),
        "proof": _proof(run, trained[0]),
    } | _where_there(run, base, before, each, sides)


def _where_there(run: RunDir, base: Evaluation, before: Columns, each: list[Columns], sides: list[Scores]) -> dict:
    """What only some runs have: a second evaluation of the base, a learning curve, several samples, several seeds."""
    found, count = {}, run.config.eval.samples
    if (run.again / "result.json").exists():
        found["noise_floor"] = _noise_floor(run, base, before)
    curves = {seed: run.curve(seed) for seed in run.config.train.seeds}
    if any((folder / curve.NAME).exists() for folder in curves.values()):
        found["curve"] = {str(seed): typed.plain(curve.read(folder)) for seed, folder in curves.items()}
    if count > 1:
        found["of_samples"] = _of_samples(base.scores, sides, count)
    if len(sides) > 1:
        found["seeds"] = [
            {
                "seed": seed,
                "tuned": {name: rate(own[name], count) for name in QUANTITIES},
                "difference": {name: verdict.record(seeds.difference(before[name], own[name])) for name in COMPARED},
                "decomposition": _decomposition(before, own),
                "train": _training(run, seed),
                "proof": _proof(run, seed),
            }
            for seed, own in zip(run.config.train.seeds, each, strict=True)
        ]
    return found


def _side(sides: list[Scores], columns: Columns, count: int) -> dict[str, Any]:
    """Rates, and what became of the completions: those of all seeds where there are several."""
    scores = [score for side in sides for score in side]
    return {name: rate(values, count) for name, values in columns.items()} | {
        "completions": len(scores),
        "truncated": sum(score.finish_reason == "length" for score in scores),
        "unparsed": sum(score.answer is None for score in scores),
        "mean_tokens": sum(score.tokens for score in scores) / len(scores),
    }


def _verdict(differences: dict[str, Any], base: Scores, sides: list[Scores]) -> dict[str, Any]:
    found = {name: verdict.of(difference) for name, difference in differences.items()}
    fields = [QUANTITIES[name] for name in COMPARED]
    identical = all(
        getattr(old, field) == getattr(new, field)
        for side in sides
        for old, new in zip(base, side, strict=True)
        for field in fields
    )
    accuracy = found["accuracy"]
    names = ("kind", "direction", "detectable", "one_way", "discordance", "discordance_high")
    return {name: getattr(accuracy, name) for name in names} | {
        "sentence": verdict.opening(accuracy, found["format"], identical),
        "identical": identical,
    }


def _decomposition(before: Columns, after: Columns) -> dict[str, Any]:
    """The change of strict accuracy as mathematics + format, exactly; where both comply only for a single seed."""
    costs = [side["strict"] - side["accuracy"] for side in (before, after)]
    both_comply = where_both_comply = None
    if after["accuracy"].ndim == 1:
        flags = [paired.Flags(side["accuracy"], side["strict"], side["format"]) for side in (before, after)]
        parts = paired.decompose(*flags)
        strict, mathematics, form = parts.strict, parts.mathematics, parts.format
        both_comply = parts.both_comply
        where_both_comply = parts.where_both_comply and verdict.record(parts.where_both_comply)
    else:
        strict, mathematics = (seeds.difference(before[name], after[name]) for name in ("strict", "accuracy"))
        form = seeds.difference(*costs)
    # Half of format minus mathematics, question by question: in [-1, 1], and 0 where the two are alike.
    halves = [(cost - side["accuracy"]) / 2 for cost, side in zip(costs, (before, after), strict=True)]
    larger = verdict.larger_part(mathematics, form, seeds.difference(*halves))
    return {
        "mathematics": verdict.record(mathematics),
        "format": verdict.record(form),
        "both_comply": both_comply,
        "where_both_comply": where_both_comply,
        "larger": larger,
        "sentence": verdict.parts(strict, mathematics, form, larger),
    }


def _cut(scores: Scores) -> NDArray[np.float64]:
    return means(scores, [score.finish_reason == "length" for score in scores])


def _truncation(base: Scores, before: Columns, sides: list[Scores], after: Columns) -> dict[str, Any]:
    cut = np.stack([_cut(side) for side in sides])
    found = sensitivity.truncation_bounds(
        before["accuracy"], _cut(base), after["accuracy"], cut if len(sides) > 1 else cut[0]
    )
    shares = {"base_cut": found.base_cut, "tuned_cut": found.tuned_cut, "sign_holds": found.sign_holds}
    return shares | {"lowest": verdict.record(found.lowest), "highest": verdict.record(found.highest)}


def _panel(run: RunDir, base: Scores, tuned: Scores) -> dict[str, Any]:
    """The scorer panel's view of the base and of the first seed's model."""
    folders = {run.base: base, run.tuned(run.config.train.seeds[0]): tuned}
    completed = [scorer_panel.completed(scores, folder / "samples.jsonl") for folder, scores in folders.items()]
    return scorer_panel.compare(*completed, run.config.prompt.tags.record())


def _noise_floor(run: RunDir, base: Evaluation, before: Columns) -> dict[str, Any]:
    """The base against itself, evaluated again; what the second evaluation changed is `changed`."""
    again = read_evaluation(run.again)
    check_pair(run, base, again, "again")
    after = per_question(again.scores)
    found: dict[str, Any] = {"changed": typed.plain(again.changed)}
    for name in COMPARED:
        floor = sensitivity.noise_floor(before[name], after[name])
        found[name] = dataclasses.asdict(floor) | {
            "difference": verdict.record(floor.difference),
            "sentence": floor.sentence(),
        }
    return found


def _of_samples(base: Scores, sides: list[Scores], count: int) -> list[dict[str, Any]]:
    """pass@k for k = 1, 2, 4, … and K, pass^K and maj@K of K samples a question, and their paired differences."""
    sizes = sorted({1 << i for i in range(count.bit_length()) if 1 << i < count} | {count})
    grouped = [_by_question(side) for side in (base, *sides)]
    scores: dict[str, list[NDArray[np.float64]]] = {}
    for answers, right in grouped:
        counts = np.array([sum(group) for group in right])
        for k in sizes:
            scores.setdefault(f"pass@{k}", []).append(pass_at_k.pass_at_k(counts, count, k))
        scores.setdefault(f"pass^{count}", []).append(pass_at_k.pass_hat_k(counts, count, count))
        scores.setdefault(f"maj@{count}", []).append(pass_at_k.majority(answers, right))
    found = []
    for name, (before, *each) in scores.items():
        after = each[0] if len(each) == 1 else np.stack(each)
        rates = {"base": rate(before, count), "tuned": rate(after, count)}
        found.append({"name": name, "difference": verdict.record(seeds.difference(before, after))} | rates)
    return found


def _by_question(scores: Scores) -> tuple[list[list[str | None]], list[list[bool]]]:
    """The answers to each question and whether they are right; None for what was cut, which is wrong whatever it is."""
    questions: dict[str, list[ScoredCompletion]] = {}
    for score in scores:
        questions.setdefault(score.id, []).append(score)
    groups = questions.values()
    answers = [[None if s.finish_reason == "length" else s.answer for s in group] for group in groups]
    return answers, [[s.correct for s in group] for group in groups]


def _by_rule(base: Scores, sides: list[Scores]) -> dict[str, dict[str, float]]:
    """How many completions each extraction rule decided, and how many of those were right; of seeds, the mean."""
    table = {}
    for rule in (*RULES, None):
        counts: dict[str, float] = {}
        for side, each in (("base", [base]), ("tuned", sides)):
            decided = [score for scores in each for score in scores if score.rule == rule]
            counts[side] = len(decided) / len(each)
            counts[f"{side}_correct"] = sum(score.correct for score in decided) / len(each)
        if counts["base"] or counts["tuned"]:
            table[rule or "none"] = {name: int(c) if c == int(c) else c for name, c in counts.items()}
    return table


def _training(run: RunDir, seed: int) -> dict[str, Any]:
    # Only the steps that began with a rollout have rewards; with num_iterations others learn from it again.
    logged = [row.numbers for row in training.read_metrics(training.metrics_log(run.train(seed)))]
    rollouts = [row for row in logged if row.get("reward") is not None]
    rewards = [row["reward"] for row in rollouts]
    ends = max(1, round(len(rewards) * REWARD_SHARE))
    dropped = training.read_dropped(run.train(seed)).dropped
    disagree = {
        name: float(np.mean([row[f"profiles_disagree/{name}"] for row in rollouts]))
        for name in ("format", "answer")
        if rollouts
    }
    return {
        "seed": seed,
        "steps": run.config.train.steps,
        "completions": len(rollouts) * run.config.completions_per_step,
        "dropped_prompts": len(dropped),
        "reward_first": float(np.mean(rewards[:ends])) if rewards else None,
        "reward_last": float(np.mean(rewards[-ends:])) if rewards else None,
        "profiles_disagree": disagree,
    }


def _proof(run: RunDir, seed: int) -> dict[str, Any]:
    return typed.plain(proof.read(run.tuned(seed), full=run.config.model.full_finetuning))
