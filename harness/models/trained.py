"""The trained model that a command about a finished training uses, and the checkpoint that it was trained from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness.models import checkpoint
from harness.models.checkpoint import Checkpoint
from harness.runs import curve, seals
from harness.runs.directory import RunDir
from harness.runs.stages import stages
from harness.util.errors import HarnessError
from harness.util.files import file_hash
from harness.util.text import quoted


@dataclass(frozen=True)
class Trained:
    """The result of one training of a run, and the checkpoint that it began with."""

    run: RunDir
    seed: int  # of the training
    base: Checkpoint
    path: Path  # the adapter that was evaluated, or the model if all weights were trained

    @property
    def full(self) -> bool:
        """Whether all weights were trained, so that there is a model and no adapter."""
        return self.run.config.model.full_finetuning

    @property
    def model(self) -> Checkpoint:
        """The trained model, if all weights were trained."""
        return Checkpoint(self.base.id, self.path)

    @property
    def step(self) -> int:
        """The step of the training after which it was saved."""
        return self.run.evaluated_step(self.seed)

    @cached_property
    def hash(self) -> str:
        """The content hash of the weights, as the tuned evaluation records it."""
        return self.model.weights_hash if self.full else file_hash(self.path / "adapter_model.safetensors")


def find(run: RunDir, seed: int | None) -> Trained:
    """The result of the training with this seed, or with None of the first of train.seeds.

    Raises HarnessError for another seed, if a stage up to the training (or to the curve that chooses its checkpoint) is
    not finished, if a file of its result is missing or has changed, and if the base's weights, tokenizer or chat
    template have changed since the run began.
    """
    run.check_seed("--train-seed", seed)
    chosen = run.config.train.seeds[0] if seed is None else seed
    needed = [run.adapter(chosen)]
    if run.config.train.checkpoint == "best_dev":
        needed.append(run.curve(chosen) / curve.NAME)
    for stage in stages(run):
        if any(outcome in needed and not outcome.exists() for outcome in stage.outcomes):
            raise HarnessError(
                f"{run.path}: its {stage.name} is not finished, so there is no tuned model; finish it first: "
                f"python -m harness.run {quoted(run.path)}"
            )
    path, full = run.evaluated(chosen), run.config.model.full_finetuning
    for name in ("*.safetensors", "config.json") if full else ("adapter_model.safetensors", "adapter_config.json"):
        if not any(path.glob(name)):
            raise HarnessError(f"{path}: {name} is missing; restore it, or delete the folder and run again")
    seals.check_files(run, path)
    base = checkpoint.resolve(run.config.model)
    run.check_pinned(base.inputs)
    return Trained(run, chosen, base, path)
