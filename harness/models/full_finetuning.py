"""Training of all weights instead of an adapter: what is trained, what is saved, and the proof that it changed.

Without an adapter, the tuned evaluation loads the trained weights themselves, so the proof is that they differ from the
base's. The vision tower of a multimodal checkpoint is frozen, as with an adapter on the language layers.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from harness.models import prompts
from harness.models.checkpoint import FILES, Checkpoint
from harness.models.hf_engine import load_base
from harness.runs.proof import WeightsProof
from harness.util import files
from harness.util.errors import HarnessError

VISION = ("vision_tower", "multi_modal_projector")


def freeze_vision(model: torch.nn.Module) -> None:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not is_vision(name))


def is_vision(name: str) -> bool:
    """Whether a parameter belongs to the vision tower or to its projector into the language model."""
    return any(part in name.split(".") for part in VISION)


def save(model: Any, checkpoint: Checkpoint, folder: Path) -> None:
    """Write the weights as a checkpoint with all other files copied from the base, so that only the weights differ.

    But the experiment's chat template is in it, and a turn ends where it did in the training.
    """
    model.save_pretrained(folder, max_shard_size="5GB")
    for pattern in (pattern for pattern in FILES if "safetensors" not in pattern):
        for file in checkpoint.path.glob(pattern):
            if not file.name.endswith(".index.json"):
                shutil.copy(file, folder)
    if checkpoint.chat_template is not None:
        files.write_text(folder / "chat_template.jinja", checkpoint.chat_template)
    prompts.write_stop_ids(checkpoint, folder)


def change(base: Checkpoint, trained: Checkpoint, precision: str) -> WeightsProof:
    """How many of the base's weights a training changed, both read in the precision of the evaluation.

    Raises HarnessError if they hold infinities or NaN, or if none changed.
    """
    before, after = (load_base(each, precision).state_dict() for each in (base, trained))
    tensors = numbers = changed_tensors = changed = 0
    for name, old in before.items():
        new = after[name]
        if not torch.isfinite(new).all():
            raise HarnessError(
                f"{trained.path}: holds infinities or NaN: the training diverged; run again with a lower "
                f"train.learning_rate"
            )
        differs = int((old != new).sum())
        tensors, numbers = tensors + 1, numbers + old.numel()
        changed_tensors, changed = changed_tensors + bool(differs), changed + differs
    if not changed:
        raise HarnessError(
            f"{trained.path}: no weight differs from the base's in {precision}, so the tuned scores would be the "
            f"base's; raise train.learning_rate, or set model.precision and eval.precision to fp32"
        )
    return WeightsProof(tensors, changed_tensors, changed / numbers)
