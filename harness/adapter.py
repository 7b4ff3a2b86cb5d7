"""LoRA adapters: what an experiment trains, and what a saved one holds."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from peft import LoraConfig
from safetensors import SafetensorError
from safetensors.torch import load_file

from harness.config import Config
from harness.errors import HarnessError

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")


def lora_config(config: Config) -> LoraConfig:
    """The adapter that the experiment trains, as PEFT asks for it."""
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
    """Every tensor of a saved adapter. Raises HarnessError where the file is missing or broken."""
    try:
        return load_file(adapter / "adapter_model.safetensors")
    except (OSError, SafetensorError) as error:
        raise HarnessError(f"{adapter}: no readable adapter ({error}); delete the folder and run again") from None


def module_name(key: str) -> str:
    """The module that a LoRA tensor belongs to: base_model.model.model.layers.0.mlp.up_proj, say."""
    return key.partition(".lora_")[0]


def scaling(adapter: Path) -> float:
    """What B is multiplied with: alpha / r, or alpha / sqrt(r) for rank-stabilized LoRA."""
    settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    r = settings["r"]
    return settings["lora_alpha"] / (math.sqrt(r) if settings.get("use_rslora") else r)
