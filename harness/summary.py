"""From two evaluations to the numbers of the report: summary.json, which a rerun reproduces byte for byte."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from harness import rundir, stats
from harness.errors import HarnessError
from harness.rundir import RunDir

RULES = ("solution", "phrase", "boxed", "hashes", "last_number")
QUANTITIES = {"accuracy": "correct", "strict": "strict", "format": "exact_format", "tags": "tags_ok"}
# Completions at each end of the training over which the reward is averaged.
REWARD_SHARE = 0.1


def summarize(run: RunDir) -> dict[str, Any]:
    """Pair the two evaluations of a run and compute every number of its report.

    Raises HarnessError where the two are not comparable: other questions, prompts or settings.
    """
    seed, samples = run.config.train.seeds[0], run.config.eval.samples
    base = rundir.read_json(run.base / "result.json")
    tuned = rundir.read_json(run.tuned(seed) / "result.json")
    check_pair(run, base, tuned)
    columns = {"base": _columns(base["scores"]), "tuned": _columns(tuned["scores"])}
    n = len(columns["base"]["accuracy"])
    differences = {
        name: stats.paired_difference(columns["base"][name], columns["tuned"][name])
        for name in ("accuracy", "strict", "format")
    }
    verdict = stats.verdict(differences["accuracy"])
    flags = {
        side: stats.Flags(values["accuracy"], values["strict"], values["format"]) for side, values in columns.items()
    }
    parts = stats.decompose(flags["base"], flags["tuned"])
    return {
        "name": run.config.name,
        "digest": run.config.digest(),
        "n": n,
        "samples": samples,
        "conditions": base["conditions"],
        "problems": base["problems"],
        "selftest": base["selftest"],
        "base": _side(base["scores"], columns["base"], samples),
        "tuned": _side(tuned["scores"], columns["tuned"], samples) | {"adapter": tuned["adapter"]},
        "difference": {name: _difference(d) for name, d in differences.items()},
        "decomposition": {
            "mathematics": _difference(parts.mathematics),
            "format": _difference(parts.format),
            "both_comply": parts.both_comply,
            "where_both_comply": parts.where_both_comply and _difference(parts.where_both_comply),
            "by_rule": _by_rule(base["scores"], tuned["scores"]),
        },
        "verdict": {
            "kind": verdict.kind,
            "direction": verdict.direction,
            "sentence": verdict.sentence("accuracy"),
            "identical": verdict.identical,
            "detectable": verdict.detectable,
            "discordance": verdict.discordance,
            "discordance_high": verdict.discordance_high,
        },
        "train": _training(run, seed),
        "proof": {
            k: v for k, v in rundir.read_json(run.tuned(seed) / "proof.json").items() if k not in ("adapter", "content")
        },
    }


def check_conditions(run: RunDir, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Raise HarnessError, naming the first difference, unless both sides were evaluated under the same conditions."""
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            raise HarnessError(
                f"{run.path}: base and tuned were not evaluated alike ({name}: {_short(before.get(name))} and "
                f"{_short(after.get(name))}); delete base/ and tuned/ and run again"
            )


def check_pair(run: RunDir, base: dict[str, Any], tuned: dict[str, Any]) -> None:
    """Raise HarnessError unless both sides were asked the same prompts under the same conditions."""
    check_conditions(run, base["conditions"], tuned["conditions"])
    asked = [[(s["id"], s["sample"], s["prompt"]) for s in side["scores"]] for side in (base, tuned)]
    if asked[0] != asked[1]:
        raise HarnessError(f"{run.path}: base and tuned answered different questions; delete tuned/ and run again")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _columns(scores: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Per-question scores, shape (n,), for each quantity: means over the samples of a question."""
    questions: dict[str, list[dict[str, Any]]] = {}
    for score in scores:
        questions.setdefault(score["id"], []).append(score)
    return {
        name: np.array([np.mean([score[field] for score in group]) for group in questions.values()])
        for name, field in QUANTITIES.items()
    }


def _side(scores: Sequence[dict[str, Any]], columns: dict[str, np.ndarray], samples: int) -> dict[str, Any]:
    return {name: _rate(values, samples) for name, values in columns.items()} | {
        "completions": len(scores),
        "truncated": sum(score["finish_reason"] == "length" for score in scores),
        "unparsed": sum(score["answer"] is None for score in scores),
        "mean_tokens": sum(score["tokens"] for score in scores) / len(scores),
    }


def _rate(values: np.ndarray, samples: int) -> dict[str, Any]:
    """A rate with its 95% interval: Wilson for one sample a question, else the bootstrap of question means."""
    if samples == 1:
        rate = dataclasses.asdict(stats.proportion(values))
        return rate | {"method": "Wilson"}
    interval = stats.bootstrap_mean(values)
    ends = {"low": interval.low, "high": interval.high}
    return {"value": float(values.mean()), "method": "bootstrap of question means (exact percentile)"} | ends


def _difference(difference: stats.PairedDifference) -> dict[str, Any]:
    values = dataclasses.asdict(difference)
    values["value"] = values.pop("estimate")
    return values | {"detectable": stats.detectable(difference.n, difference.gained, difference.lost)}


def rate_text(rate: dict[str, Any], intervals: str = "wilson") -> str:
    """A rate of a summary in percent with its interval; with one sample a question the bootstrap's on request."""
    prefix = "bootstrap_" if intervals == "bootstrap" and "bootstrap_low" in rate else ""
    return f"{100 * rate['value']:.1f}% [{100 * rate[prefix + 'low']:.1f}, {100 * rate[prefix + 'high']:.1f}]"


def points_text(difference: dict[str, Any]) -> str:
    """A difference of a summary in points with its interval."""
    value, low, high = (100 * difference[name] for name in ("value", "low", "high"))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def _by_rule(base: Sequence[dict[str, Any]], tuned: Sequence[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """How many completions each extraction rule decided, and how many of those were right, a side."""
    table = {}
    for rule in (*RULES, None):
        counts = {}
        for side, scores in (("base", base), ("tuned", tuned)):
            decided = [score for score in scores if score["rule"] == rule]
            counts |= {side: len(decided), f"{side}_correct": sum(score["correct"] for score in decided)}
        if counts["base"] or counts["tuned"]:
            table[rule or "none"] = counts
    return table


def _training(run: RunDir, seed: int) -> dict[str, Any]:
    # Only the steps that began with a rollout have rewards; with num_iterations others learn from it again.
    rollouts = [row for row in rundir.read_lines(run.train(seed) / "metrics.jsonl") if row.get("reward") is not None]
    rewards = [row["reward"] for row in rollouts]
    ends = max(1, round(len(rewards) * REWARD_SHARE))
    dropped = rundir.read_json(run.train(seed) / "dropped_prompts.json")
    disagree = {
        name: float(np.mean([row[f"profiles_disagree/{name}"] for row in rollouts]))
        for name in ("format", "answer")
        if rollouts
    }
    return {
        "seed": seed,
        "steps": run.config.train.steps,
        "completions": len(rollouts) * run.config.completions_per_step,
        "dropped_prompts": len(dropped["dropped"]),
        "reward_first": float(np.mean(rewards[:ends])) if rewards else None,
        "reward_last": float(np.mean(rewards[-ends:])) if rewards else None,
        "profiles_disagree": disagree,
    }
