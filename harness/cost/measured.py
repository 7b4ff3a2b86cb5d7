"""How long runs like this one took on this machine: from the manifests of finished runs in the results folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil

from harness.config import loading
from harness.config.schema import Config
from harness.cost.estimate import Pace
from harness.runs import manifest
from harness.runs.machine import Gpu
from harness.runs.manifest import Manifest
from harness.util.errors import HarnessError

# What decides how long a step or a completion takes; the model and its loading as a whole.
TRAINING = (
    "backend", "rollouts", "prompts_per_step", "generations", "processes", "max_completion_tokens", "num_iterations",
    "micro_batch", "gradient_checkpointing",
)  # fmt: skip
EVALUATION = ("engine", "precision", "max_new_tokens", "batch_size", "tasks")


def pace(config: Config, found: list[Gpu], results: Path) -> Pace | None:
    """By the finished run of this kind in the results folder that ended last; None if there is none."""
    of = list(_runs(config, found, results))
    return max(of, key=lambda each: each[0])[1] if of else None


def _runs(config: Config, found: list[Gpu], results: Path) -> Iterator[tuple[str, Pace]]:
    """When each ended, and its pace."""
    here = (found[0].name if found else None, psutil.cpu_count())
    for file in results.glob("*/manifest.json"):
        with contextlib.suppress(HarnessError, OSError):
            made, settings = manifest.read(file), loading.load(file.with_name("config.yaml"), own=True)
            machine = made.machine and (made.machine.gpu, made.machine.cores)
            if machine == here and _alike(settings, config) and (pieces := _pieces(made, settings, config)):
                yield max(cost.finished or "" for cost in made.stages.values()), pieces


def _alike(one: Config, other: Config) -> bool:
    same = (
        (getattr(one, section), getattr(other, section), names)
        for section, names in (("train", TRAINING), ("eval", EVALUATION))
    )
    return (one.model, one.lora.r) == (other.model, other.lora.r) and all(
        getattr(a, name) == getattr(b, name) for a, b, names in same for name in names
    )


def _pieces(made: Manifest, settings: Config, config: Config) -> Pace | None:
    """The pieces of a run, with the imports and starts that its stages' wall times hold beside their work."""
    seeds = settings.train.seeds
    trained = made.stages.get(f"training (seed {seeds[0]})")
    whole = made.wall_seconds.get("training" if len(seeds) == 1 else f"training (seed {seeds[0]})")
    based = [cost for name, cost in made.stages.items() if name.partition(", ")[0] == "base"]  # of every task
    completions, evaluation = sum(cost.completions or 0 for cost in based), made.wall_seconds.get("base evaluation")
    if not (trained and trained.steps and whole and completions and evaluation):
        return None
    answering = sum(cost.seconds for cost in based)
    beside = max(whole - trained.seconds, trained.start_seconds)
    if trained.steps < settings.train.steps:  # resumed: the wall time has the steps of earlier attempts, too
        beside = trained.start_seconds
    return Pace(
        training=beside + config.train.steps * trained.seconds / trained.steps,
        start=max(evaluation - answering, based[0].start_seconds),
        completion=answering / completions,
        source=f"{settings.run_name()} in the results folder",
    )
