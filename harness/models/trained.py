"""Which trained model a command about a finished training means, and the checkpoint that it was trained from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.models import checkpoint
from harness.models.checkpoint import Checkpoint, file_hash
from harness.runs.directory import RunDir
from harness.runs.stages import stages
from harness.util.errors import HarnessError


@dataclass(frozen=True)
class Trained:
    """What one training of a run left, and what it began with."""

    run: RunDir
    seed: int  # of the training
    base: Checkpoint
    path: Path  # the adapter that was evaluated, or the model where all weights were trained

    @property
    def full(self) -> bool:
        """Whether all weights were trained, so that there is a model and no adapter."""
        return self.run.config.model.full_finetuning

    @property
    def model(self) -> Checkpoint:
        """The trained model, where all weights were trained."""
        return Checkpoint(self.base.id, self.path)

    @property
    def step(self) -> int:
        """The step of the training after which it was what it is."""
        return self.run.evaluated_step(self.seed)

    @property
    def hash(self) -> str:
        """The content of the weights, as the tuned evaluation notes it."""
        return self.model.weights_hash if self.full else file_hash(self.path / "adapter_model.safetensors")


def find(run: RunDir, seed: int | None) -> Trained:
    """What the training with this seed left, without one that of the first of train.seeds.

    Raises HarnessError for another seed, where a stage up to the training (or to the curve that chooses among its
    adapters) or a file of what it left is missing, and where the base's weights are not those that the run began with.
    """
    seeds = run.config.train.seeds
    if seed is not None and seed not in seeds:
        raise HarnessError(f"--train-seed: {seed} is none of this run's train.seeds ({', '.join(map(str, seeds))})")
    chosen = seeds[0] if seed is None else seed
    needed = [run.adapter(chosen)]
    if run.config.train.checkpoint == "best_dev":
        needed.append(run.curve(chosen) / "curve.json")
    for stage in stages(run):
        if any(outcome in needed and not outcome.exists() for outcome in stage.outcomes):
            raise HarnessError(
                f"{run.path}: its {stage.name} is not finished, so there is no tuned model; finish it first: "
                f"python -m harness.run {run.path}"
            )
    path, full = run.evaluated(chosen), run.config.model.full_finetuning
    for name in ("*.safetensors", "config.json") if full else ("adapter_model.safetensors", "adapter_config.json"):
        if not any(path.glob(name)):
            raise HarnessError(f"{path}: has no {name}; put it back, or delete the folder and run again")
    base = checkpoint.resolve(run.config.model)
    run.pin({"base weights": base.weights_hash})
    return Trained(run, chosen, base, path)
