"""Run directories made by hand, with outcomes chosen question by question, for reports and comparisons."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from harness.report import write
from harness.runs import directory
from harness.tasks import dataset, scoring
from harness.tasks.records import Problem, Tags
from harness.util import files

GOLD = "18"
TEXTS = {  # what a completion may look like: (text, correct, strict, exact format)
    "right": "<start_working_out>6 * 3 = 18<end_working_out><SOLUTION>18</SOLUTION>",
    "right, no format": "6 * 3 = 18. The answer is 18.",
    "wrong": "<start_working_out>6 + 3 = 9<end_working_out><SOLUTION>9</SOLUTION>",
    "wrong, no format": "The answer is 9.",
    "nothing": "I do not know.",
    "right, unmarked": "So there are 18 pens.",
    "wrong, unmarked": "So there are 9 pens.",
    "ambiguous": "<start_working_out>6 * 3<end_working_out><SOLUTION>packs 6 boxes and has 18 pens</SOLUTION>",
    # Right only by the solution block, and right only by the last number: scorers that read one or the other disagree
    # about a run that turns the second into the first.
    "right in the block": "<start_working_out>6 * 3 = 18<end_working_out><SOLUTION>18</SOLUTION>\nDone in 2 steps.",
    "right at the end": "<start_working_out>6 * 3<end_working_out><SOLUTION>9 or 18</SOLUTION>\nThat is 18 in all.",
}
PROOF = {
    "modules": 28, "modules_loaded": 28, "probes": 16, "tokens": 600, "scale": 8.0, "amplified_change": 0.6,
    "adapter_change": 0.03, "rerun_change": 1e-7, "correlation_amplified": 0.999, "correlation_zeroed": 0.0,
    "correlation_renamed": 0.0, "completions_changed_by_peft": 8, "completions_changed": 8,
    "adapter": "a" * 64, "content": "c" * 16,
}  # fmt: skip
WEIGHTS_PROOF = {"tensors": 30, "tensors_changed": 28, "changed": 0.9, "adapter": "a" * 64, "content": "c" * 16}


Outcomes = list[str] | list[tuple[str, ...]]  # one for each question; with several samples a tuple


def result(outcomes: Outcomes, **conditions: Any) -> dict[str, Any]:
    """A result.json for these outcomes, scored by the real scorer."""
    scores = []
    for number, outcome in enumerate(_samples(outcomes)):
        for sample, one in enumerate(outcome):
            reason = "length" if one.endswith("cut") else "stop"
            score = scoring.score(_text(one), GOLD, finish_reason=reason)
            entry = {
                "id": f"{number:016x}",
                "sample": sample,
                "gold": GOLD,
                "prompt": "p",
                "finish_reason": reason,
                "tokens": 20,
            }
            scores.append(entry | dataclasses.asdict(score))
    ids = list(dict.fromkeys(score["id"] for score in scores))
    shared = {
        "data": dataset.content_hash(Problem(each, "", GOLD) for each in ids),
        "split": "test", "questions": len(outcomes), "prompts": "e" * 64, "scorer": scoring.VERSION,
        "tags": dataclasses.asdict(Tags()), "max_new_tokens": 72, "samples": len(scores) // len(ids),
        "sampling": {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0}, "seed": None, "stop_ids": [1, 5],
        "engine": "transformers", "precision": "fp32",
    }  # fmt: skip
    return {
        "conditions": shared | conditions,
        "adapter": None,
        "problems": {"train": 10, "dev": 2, "test": len(outcomes), "repeated": 1},
        "selftest": {"golds": 1, "spellings": 12, "adversarial": 90},
        "questions": {each: f"Question {number}: how much is 6 * 3?" for number, each in enumerate(ids)},
        "scores": scores,
    }


def _samples(outcomes: Outcomes) -> list[tuple[str, ...]]:
    return [(outcome,) if isinstance(outcome, str) else outcome for outcome in outcomes]


def _text(outcome: str) -> str:
    return TEXTS[outcome.removesuffix(", cut")]


def evaluated(folder: Path, outcomes: Outcomes, **conditions: Any) -> None:
    """An evaluation with these outcomes: result.json and samples.jsonl."""
    made = result(outcomes, **conditions)
    files.write_json(folder / "result.json", made)
    texts = [_text(one) for outcome in _samples(outcomes) for one in outcome]
    rows = [
        {name: s[name] for name in ("id", "sample", "prompt", "finish_reason", "tokens")} | {"text": text}
        for s, text in zip(made["scores"], texts, strict=True)
    ]
    files.append_lines(folder / "samples.jsonl", rows)


def make_run(
    results: Path, base: Outcomes, tuned: Outcomes | dict[int, Outcomes], *overrides: str, **conditions: Any
) -> directory.RunDir:
    """A run with these outcomes, complete except for its report; several training seeds are given by seed."""
    if isinstance(tuned, dict):
        overrides = (*overrides, f"train.seeds={list(tuned)}")
    run = directory.open_run("quickstart", list(overrides), results)
    files.write_json(run.manifest, {})
    seeds = tuned if isinstance(tuned, dict) else {run.config.train.seeds[0]: tuned}
    evaluated(run.base, base, **conditions)
    for seed, outcomes in seeds.items():
        evaluated(run.tuned(seed), outcomes, **conditions)
        proof = WEIGHTS_PROOF if run.config.model.full_finetuning else PROOF
        files.write_json(run.tuned(seed) / "proof.json", proof)
        files.write_json(run.train(seed) / "dropped_prompts.json", {"limit": 256, "of": 10, "dropped": []})
        files.append_lines(
            run.train(seed) / "metrics.jsonl",
            [
                {"step": step, "reward": step / 2, "reward_std": 0.5}
                | {"profiles_disagree/format": 0.25, "profiles_disagree/answer": 0.0}
                for step in range(1, 11)
            ],
        )
    return run


def unsealed(run: directory.RunDir) -> None:
    """Make a run one of a version that kept no seals, whose files may be edited here."""
    noted = files.read_json(run.manifest)
    del noted["seals"]
    files.write_json(run.manifest, noted)


def reported(
    results: Path, base: Outcomes, tuned: Outcomes | dict[int, Outcomes], *overrides: str, **conditions: Any
) -> directory.RunDir:
    run = make_run(results, base, tuned, *overrides, **conditions)
    write.write(run)
    return run
