"""Run directories made by hand, with outcomes chosen question by question, for reports and comparisons."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from harness import gsm8k, report, rundir, scoring
from harness.schema import Problem

GOLD = "18"
TEXTS = {  # what a completion may look like: (text, correct, strict, exact format)
    "right": "<start_working_out>6 * 3 = 18<end_working_out><SOLUTION>18</SOLUTION>",
    "right, no format": "6 * 3 = 18. The answer is 18.",
    "wrong": "<start_working_out>6 + 3 = 9<end_working_out><SOLUTION>9</SOLUTION>",
    "wrong, no format": "The answer is 9.",
    "nothing": "I do not know.",
    # Right by the solution block alone, and right by the last number alone: scorers that read the one or the other
    # disagree about a run that turns the second into the first.
    "right in the block": "<start_working_out>6 * 3 = 18<end_working_out><SOLUTION>18</SOLUTION>\nDone in 2 steps.",
    "right at the end": "<start_working_out>6 * 3<end_working_out><SOLUTION>9 or 18</SOLUTION>\nThat is 18 in all.",
}
PROOF = {
    "modules": 28, "modules_loaded": 28, "probes": 16, "tokens": 600, "scale": 8.0, "amplified_change": 0.6,
    "adapter_change": 0.03, "rerun_change": 1e-7, "correlation_amplified": 0.999, "correlation_zeroed": 0.0,
    "correlation_renamed": 0.0, "completions_changed_by_peft": 8, "completions_changed": 8, "adapter": "a" * 64,
}  # fmt: skip


def result(outcomes: list[str], **conditions: Any) -> dict[str, Any]:
    """A result.json for these outcomes, scored by the real scorer."""
    scores = []
    for number, outcome in enumerate(outcomes):
        reason = "length" if outcome.endswith("cut") else "stop"
        score = scoring.score(TEXTS[outcome.removesuffix(", cut")], GOLD, finish_reason=reason)
        entry = {
            "id": f"{number:016x}",
            "sample": 0,
            "gold": GOLD,
            "prompt": "p",
            "finish_reason": reason,
            "tokens": 20,
        }
        scores.append(entry | dataclasses.asdict(score))
    shared = {
        "data": gsm8k.content_hash(Problem(s["id"], "", GOLD) for s in scores),
        "split": "test", "questions": len(outcomes), "prompts": "e" * 64, "scorer": scoring.VERSION,
        "max_new_tokens": 72, "sampling": {"temperature": 0.0}, "samples": 1, "engine": "transformers",
        "precision": "fp32",
    }  # fmt: skip
    return {
        "conditions": shared | conditions,
        "adapter": None,
        "problems": {"train": 10, "dev": 2, "test": len(outcomes), "repeated": 1},
        "selftest": {"golds": 1, "spellings": 12, "adversarial": 90},
        "questions": {score["id"]: f"Question {number}: how much is 6 * 3?" for number, score in enumerate(scores)},
        "scores": scores,
    }


def make_run(results: Path, base: list[str], tuned: list[str], *overrides: str, **conditions: Any) -> rundir.RunDir:
    """A run with these outcomes, complete but for its report."""
    run = rundir.open_run("quickstart", list(overrides), results)
    seed = run.config.train.seeds[0]
    for folder, outcomes in ((run.base, base), (run.tuned(seed), tuned)):
        made = result(outcomes, **conditions)
        rundir.write_json(folder / "result.json", made)
        rows = [
            {name: s[name] for name in ("id", "sample", "prompt", "finish_reason", "tokens")}
            | {"text": TEXTS[o.removesuffix(", cut")]}
            for s, o in zip(made["scores"], outcomes, strict=True)
        ]
        rundir.append_lines(folder / "samples.jsonl", rows)
    rundir.write_json(run.tuned(seed) / "proof.json", PROOF)
    rundir.write_json(run.train(seed) / "dropped_prompts.json", {"limit": 256, "of": 10, "dropped": []})
    rundir.append_lines(
        run.train(seed) / "metrics.jsonl",
        [
            {"step": step, "reward": step / 2, "reward_std": 0.5}
            | {"profiles_disagree/format": 0.25, "profiles_disagree/answer": 0.0}
            for step in range(1, 11)
        ],
    )
    return run


def reported(results: Path, base: list[str], tuned: list[str], *overrides: str, **conditions: Any) -> rundir.RunDir:
    run = make_run(results, base, tuned, *overrides, **conditions)
    report.write(run)
    return run
