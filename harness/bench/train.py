"""`python -m harness.bench train`: seconds of a GRPO step and peak memory, by backend and engine of the rollouts.

Each path is the ordinary training stage in its own process, on the same prompts with the same settings. The first
steps, in which libraries compile, are the warm-up and shown separately; a path reuses what earlier paths compiled.
"""

from __future__ import annotations

import argparse
import os
import statistics
from pathlib import Path
from typing import Any

from harness.bench import common
from harness.config import loading
from harness.runs import directory, training
from harness.util.errors import HarnessError

PATHS = ("trl-hf", "trl-vllm", "unsloth-hf", "unsloth-vllm")


def main(argv: list[str]) -> None:
    """Measure each path in its own process and print the table."""
    parser = common.parser("train", __doc__, PATHS, "its train section is measured")
    parser.add_argument("--steps", type=int, default=6, metavar="N", help="steps of each path, with warm-up")
    parser.add_argument("--warm-up", type=int, default=2, metavar="N", help="first steps, not part of the median")
    args = parser.parse(argv)
    paths = common.chosen(args.paths, PATHS)
    if args.steps <= args.warm_up:
        raise HarnessError(f"--steps: {args.steps} leaves no step after {args.warm_up} steps of warm-up; raise it")
    common.measured("train", paths, lambda path, folder: [_measure(path, args, folder)], _print)


def _measure(path: str, args: argparse.Namespace, results: Path) -> dict[str, Any]:
    """One path's row. All paths share `results`, so that they share compiled code."""
    backend, rollouts = path.split("-")
    steps, warm_up = args.steps, args.warm_up
    chosen = [
        *args.overrides, f"train.backend={backend}", f"train.rollouts={rollouts}", f"train.steps={steps}",
        f"train.resume_every={steps}", f"train.save_steps={steps}",
    ]  # fmt: skip
    config = loading.load(loading.find_experiment(args.experiment), chosen)
    command = ["harness.train", args.experiment, *chosen, "--results", str(results)]
    common.run("train", path, command, os.environ)
    run = directory.existing(results / config.run_name())
    (seed,) = config.train.seeds
    logged = [row.numbers for row in training.read_metrics(training.metrics_log(run.train(seed)))]
    manifest = run.read_manifest()
    (cost,) = manifest.stages.values()
    (trained_by,) = manifest.backends.values()
    if trained_by != backend:
        raise HarnessError(f"bench train: {backend} could not run (its message is above); leave {path} out of --paths")
    seconds = [row["step_time"] for row in logged]
    tokens = [row["completions/mean_length"] * config.completions_per_step for row in logged]
    return {
        "path": path,
        "start": cost.start_seconds,
        "warm_up": seconds[:warm_up],
        "step": statistics.median(seconds[warm_up:]),
        "tokens": sum(tokens[warm_up:]) / sum(seconds[warm_up:]),
        "length": statistics.mean(tokens[warm_up:]) / config.completions_per_step,
        "completions": config.completions_per_step,
        "gpu_mib": cost.peak_gpu_mib,
        "memory_mib": cost.peak_memory_mib,
    }


def _print(rows: list[dict[str, Any]]) -> None:
    common.print_machine("python", "torch", "trl", "unsloth", "vllm", "transformers", "peft")
    print("| path | start, s | warm-up, s | step (median), s | completions x mean tokens | tokens/s | peak, GiB |")
    print("|---|---|---|---|---|---|---|")
    for r in rows:
        peak = f"{r['gpu_mib'] / 1024:.1f} (GPU)" if r["gpu_mib"] else f"{r['memory_mib'] / 1024:.1f}"
        warm_up = " + ".join(f"{seconds:.1f}" for seconds in r["warm_up"]) or "-"
        print(
            f"| {r['path']} | {r['start']:.1f} | {warm_up} | {r['step']:.2f} "
            f"| {r['completions']} x {r['length']:.0f} | {r['tokens']:,.0f} | {peak} |"
        )
