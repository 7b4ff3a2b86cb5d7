"""Unsloth in the place of transformers and PEFT: its kernels for the model, its trainer under TRL's names.

Importing unsloth patches trl, transformers and peft, and only what is imported after it: harness.train calls patch()
before it imports harness.grpo.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from harness.config import Config
from harness.errors import HarnessError


def patch(cache: Path) -> None:
    """Import unsloth, its compiled sources under `cache` and not in the working directory. Raises HarnessError."""
    cache.mkdir(parents=True, exist_ok=True)
    os.environ["UNSLOTH_COMPILE_LOCATION"] = str(cache.resolve())
    os.environ.setdefault("UNSLOTH_DISABLE_STATISTICS", "1")
    try:
        import unsloth  # noqa: F401
    except (ImportError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:200]
        raise HarnessError(f"train.backend: unsloth cannot run here ({reason}); use train.backend=trl") from None


def load(config: Config, path: Path) -> Any:
    """The model with the experiment's LoRA adapter on it; with train.rollouts vllm also the engine that shares its
    weights."""
    import torch
    from unsloth import FastModel

    from harness.adapter import lora_config

    model, lora, train = config.model, config.lora, config.train
    checkpointing = "unsloth" if train.gradient_checkpointing else False
    loaded, _ = FastModel.from_pretrained(
        model_name=str(path),
        max_seq_length=model.max_seq_length,
        dtype=torch.bfloat16 if model.precision == "bf16" else torch.float32,
        load_in_4bit=model.load_in_4bit,
        load_in_8bit=model.load_in_8bit,
        load_in_16bit=not (model.load_in_4bit or model.load_in_8bit),
        use_exact_model_name=True,  # otherwise a name may be exchanged for another repository's
        use_gradient_checkpointing=checkpointing,
        random_state=lora.seed,
        fast_inference=train.rollouts == "vllm",
        gpu_memory_utilization=train.gpu_memory_utilization,
        max_lora_rank=lora.r,
    )
    return FastModel.get_peft_model(
        loaded,
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        bias=lora.bias,
        target_modules=lora_config(config).target_modules,  # the same ones as with TRL and PEFT
        finetune_vision_layers=lora.finetune_vision_layers,
        finetune_language_layers=lora.finetune_language_layers,
        finetune_attention_modules=lora.finetune_attention_modules,
        finetune_mlp_modules=lora.finetune_mlp_modules,
        use_gradient_checkpointing=checkpointing,
        random_state=lora.seed,
    )
