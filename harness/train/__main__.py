"""The training stage: one GRPO training for each seed.

    python -m harness.train experiments/quickstart.yaml
    python -m harness.train results/quickstart-1a2b3c4d --seed 3407
    python -m harness.train results/quickstart-1a2b3c4d --control

harness.run starts a process for each seed, so that its GPU memory is free before the next. The training itself is in
harness.train.grpo.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from harness.config import arguments
from harness.util.cli import Parser, exit_code
from harness.util.errors import BUSY, BusyError, HarnessError

if TYPE_CHECKING:
    from harness.runs.directory import RunDir


def main(argv: list[str] | None = None) -> int:
    parser = Parser("train", __doc__)
    arguments.add_experiment(parser, ", or a run directory")
    parser.add_argument("--seed", type=int, help="one of train.seeds; default: all of them, one after the other")
    parser.add_argument("--control", action="store_true", help="the trainings of rewards.control instead")
    arguments.add_results(parser)
    args = parser.parse(argv)
    from harness.runs import directory
    from harness.runs.machine import cannot_train, within_memory
    from harness.train import backend, ranks
    from harness.util import locks, logs
    from harness.util.console import loading

    run = directory.open_run(args.experiment, args.overrides, args.results)
    if reason := cannot_train(run.config):
        raise HarnessError(reason)
    if args.control and (run := run.control or run).arm != "control":
        raise HarnessError(f"--control: {run.path} has none; set rewards.control in its experiment")
    with locks.lock(run.path):
        if args.control:
            run.pin_control()
        logs.keep(run.path, "train")
        if not ranks.is_first():
            logs.LOG.setLevel(logging.WARNING)  # the first says the rest
        wanted = _untrained(run, args.seed)
        if run.config.train.processes > 1 and not ranks.is_one():
            return _in_several_processes(run, wanted)
        if wanted:
            trainer = backend.chosen(run.config).ready(run.config, run.path.parent / ".cache")
            with loading("PyTorch, transformers and TRL"):
                from harness.train import grpo

            with within_memory(backend.less_memory(run.config)):
                for seed in wanted:
                    grpo.train(run, seed, trainer)
    return 0


def _in_several_processes(run: RunDir, seeds: list[int]) -> int:
    from harness.runs.stages import stage_environment
    from harness.train import ranks
    from harness.util import logs
    from harness.util.console import loading

    with loading("PyTorch and transformers"):
        import torch

        from harness.train import resume
    for seed in seeds:
        resume.last_resume_point(run.train(seed), run.config.train.num_iterations)  # removes what they must not find
        command = ["-m", "harness.train", str(run.path), "--seed", str(seed)]
        command += ["--control"] if run.arm == "control" else []
        since = logs.size(run.path)
        failed = ranks.run(command, stage_environment(run), run.config.train.processes, torch.get_num_threads())
        if failed and failed.rank == 0 and failed.code > 0:
            return failed.code  # it has said why
        if failed:
            ended = f"process {failed.rank + 1} of the training ended with exit code {failed.code}; run again"
            kind = BusyError if failed.code == BUSY else HarnessError
            raise kind(logs.last_error(run.path, since) or ended)
    return 0


def _untrained(run: RunDir, seed: int | None) -> list[int]:
    """The seeds to train: the given one, or all, without those that are done. Raises HarnessError."""
    from harness.util.console import say

    run.check_seed("--seed", seed)
    untrained = []
    for each in run.config.train.seeds if seed is None else [seed]:
        if run.adapter(each).exists():
            say(f"Training {run.label(each)}: done already.")
        else:
            untrained.append(each)
    if len(untrained) > 1 and run.config.train.rollouts == "vllm":
        raise HarnessError(
            "train.rollouts: vllm keeps the GPU's memory until its process ends; train one --seed at a time, as "
            "harness.run does"
        )
    return untrained


if __name__ == "__main__":
    code = exit_code(main)
    from harness.train import ranks

    ranks.leave(code)
