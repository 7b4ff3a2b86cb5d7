"""LoRA adapters: the one that an experiment trains, and the contents of a saved one."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import torch
from peft import LoraConfig
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from harness.config.schema import Config
from harness.util.errors import HarnessError

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")


def lora_config(config: Config) -> LoraConfig:
    """The adapter that the experiment trains, as a PEFT configuration."""
    section = config.lora
    kinds = ATTENTION * section.finetune_attention_modules + MLP * section.finetune_mlp_modules
    vision = r"(?=.*vision)" if not section.finetune_language_layers else ""
    if not section.finetune_vision_layers:
        vision = r"(?!.*vision)"
    return LoraConfig(
        r=section.r,
        lora_alpha=section.alpha,
        lora_dropout=section.dropout,
        bias=section.bias,
        target_modules=rf"{vision}.*\.({'|'.join(kinds)})",
        task_type="CAUSAL_LM",
    )


def adapter_weights(adapter: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a saved adapter. Raises HarnessError if the file is missing or broken."""
    try:
        return load_file(adapter / "adapter_model.safetensors")
    except (OSError, SafetensorError) as error:
        raise HarnessError(f"{adapter}: cannot read the adapter ({error}); delete the folder and run again") from None


def with_b_scaled(weights: dict[str, torch.Tensor], factor: float) -> dict[str, torch.Tensor]:
    """The adapter's tensors with every B multiplied; factor 0 is an adapter that changes nothing."""
    return {key: weight * factor if ".lora_B." in key else weight for key, weight in weights.items()}


def save_copy(adapter: Path, weights: dict[str, torch.Tensor], folder: Path) -> Path:
    """Write an adapter with the settings of this one and other tensors into a folder; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(adapter / "adapter_config.json", folder)
    save_file({key: weight.contiguous() for key, weight in weights.items()}, folder / "adapter_model.safetensors")
    return folder


def module_name(key: str) -> str:
    """The module that a LoRA tensor belongs to, such as base_model.model.model.layers.0.mlp.up_proj."""
    return key.partition(".lora_")[0]


def modules(adapter: Path) -> set[str]:
    """The modules that an adapter's tensors belong to."""
    return {module_name(key) for key in adapter_weights(adapter)}


def scaling(adapter: Path) -> float:
    """The factor of B: alpha / r, or alpha / sqrt(r) for rank-stabilized LoRA."""
    settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    r = settings["r"]
    return settings["lora_alpha"] / (math.sqrt(r) if settings.get("use_rslora") else r)


def check_weights(adapter: Path) -> None:
    """Raise HarnessError for an adapter that cannot come from a training: every B zero, no B at all, or NaN."""
    weights = adapter_weights(adapter)
    if not all(torch.isfinite(weight).all() for weight in weights.values()):
        raise HarnessError(
            f"{adapter}: holds infinities or NaN: the training diverged; run again with a lower train.learning_rate"
        )
    b_matrices = [weight for key, weight in weights.items() if ".lora_B." in key]
    if not b_matrices:
        raise HarnessError(f"{adapter}: has no LoRA B matrices; delete train/ of this run and train again")
    if not any(torch.count_nonzero(weight) for weight in b_matrices):
        raise HarnessError(
            f"{adapter}: every B matrix is zero, so that the training had no effect: a learning rate of 0, or no group "
            "in which one completion earned more than another (groups/equal_rewards is 1 in metrics.jsonl); the same "
            "training would end the same, so take easier questions, more generations or other rewards"
        )
