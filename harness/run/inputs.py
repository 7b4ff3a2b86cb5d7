"""What an experiment names and can be checked without a model: data, reward functions, the machine, the tracker."""

from __future__ import annotations

import contextlib
from pathlib import Path

from harness.config import plugins
from harness.config.schema import Config
from harness.cost import memory
from harness.models import checkpoint
from harness.runs import machine
from harness.tasks.benchmarks import gsm8k
from harness.tasks.dataset import Data
from harness.tasks.registry import TASKS, TRAINING
from harness.track import follow
from harness.train import rewards
from harness.util.errors import HarnessError


def check_inputs(config: Config) -> Data:
    """Find the model, and load data and reward functions; returns the evaluation's data.

    Raises HarnessError before anything is written, also for a run that cannot fit on this machine.
    """
    if reason := machine.cannot_run(config):
        raise HarnessError(reason)
    if reason := memory.cannot_fit(config, machine.gpus()):
        raise HarnessError(reason)
    follow.check(config)
    checkpoint.resolve(config.model, weights=False)  # the first stage would only find out after seconds of imports
    return load_data(config)[0]


def asked(config: Config, data: Data) -> str:
    """Which questions the evaluations ask, in words."""
    split, n = config.eval.split, len(data.asked(config.eval.split, config.eval.limit))
    whole = len(data.split(split))
    return f"all {n:,} {split} questions" if n == whole else f"the first {n:,} of {whole:,} {split} questions"


def load_data(config: Config) -> tuple[Data, Data]:
    """The data of the evaluation and of the training, after a call of every reward. Raises HarnessError."""
    rewards.of(config)
    task = plugins.task(config)
    data = task.load(config.data.source())
    training = data if task.name == TRAINING else gsm8k.load(config.data.source())
    for each in further_data(config).values():
        each.asked("test", config.eval.limit)
    if len(data.asked(config.eval.split, config.eval.limit)) < 2 and config.train.seeds[1:]:
        raise HarnessError("eval.limit: several training seeds need at least 2 questions to compare; raise it")
    rewards.try_out(config, training.train[0])
    return data, training


def further_data(config: Config) -> dict[str, Data]:
    """The questions of the further tasks, by name. Raises HarnessError."""
    return {name: TASKS.get(name).load(config.data.source()) for name in config.eval.tasks[1:]}


def local_inputs(config: Config) -> dict[str, str]:
    """Content hashes, for RunDir.pin, of the local files that the experiment names, if they can still be read."""
    found = rewards.inputs(config)
    with contextlib.suppress(HarnessError, OSError):
        if Path(config.data.path).exists():
            found["data"] = gsm8k.load(config.data.source()).content_hash()
    if config.data.benchmarks is not None:
        with contextlib.suppress(HarnessError, OSError):
            found |= {f"questions of {name}": data.content_hash() for name, data in further_data(config).items()}
    with contextlib.suppress(HarnessError, OSError):
        found |= checkpoint.local_inputs(config.model)
    return found
