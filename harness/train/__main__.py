"""The training stage: one GRPO training for each seed.

    python -m harness.train experiments/quickstart.yaml
    python -m harness.train results/quickstart-1a2b3c4d --seed 3407

harness.run starts a process for each seed, so that its GPU memory is free before the next. The training itself is in
harness.train.grpo.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from harness.config import arguments
from harness.util.cli import Parser, exit_code
from harness.util.errors import HarnessError

if TYPE_CHECKING:
    from harness.runs.directory import RunDir


def main(argv: list[str] | None = None) -> int:
    parser = Parser("train", __doc__)
    arguments.add_experiment(parser, ", or a run directory")
    parser.add_argument("--seed", type=int, help="one of train.seeds; default: all of them, one after the other")
    arguments.add_results(parser)
    args = parser.parse(argv)
    from harness.runs import directory
    from harness.runs.machine import cannot_train, within_memory
    from harness.train import backend
    from harness.util import files, logs
    from harness.util.console import loading

    run = directory.open_run(args.experiment, args.overrides, args.results)
    if reason := cannot_train(run.config):
        raise HarnessError(reason)
    with files.lock(run.path):
        logs.keep(run.path, "train")
        if wanted := _untrained(run, args.seed):
            trainer = backend.chosen(run.config).ready(run.config, run.path.parent / ".cache")
            with loading("PyTorch, transformers and TRL"):
                from harness.train import grpo

            with within_memory(backend.less_memory(run.config)):
                for seed in wanted:
                    grpo.train(run, seed, trainer)
    return 0


def _untrained(run: RunDir, seed: int | None) -> list[int]:
    """The seeds to train: the given one, or all, without those that are done. Raises HarnessError."""
    from harness.util.console import say

    run.check_seed("--seed", seed)
    untrained = []
    for each in run.config.train.seeds if seed is None else [seed]:
        if run.adapter(each).exists():
            say(f"Training seed {each}: done already.")
        else:
            untrained.append(each)
    if len(untrained) > 1 and run.config.train.rollouts == "vllm":
        raise HarnessError(
            "train.rollouts: vllm keeps the GPU's memory until its process ends; train one --seed at a time, as "
            "harness.run does"
        )
    return untrained


if __name__ == "__main__":
    sys.exit(exit_code(main))
