"""The backend `trl`: TRL's trainer on transformers and PEFT as they are, on a CPU or a GPU."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness.config.schema import Config
from harness.models.checkpoint import Checkpoint
from harness.train.backend import TrainerBackend
from harness.util.errors import HarnessError

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedTokenizerBase


class Trl(TrainerBackend):
    name = "trl"

    def refusals(self, config: Config) -> Iterator[str]:
        if config.model.load_in_4bit or config.model.load_in_8bit:
            yield "train.backend: trl trains on unquantized weights only; use unsloth for the rest"
        if config.train.rollouts == "vllm":
            yield "train.rollouts: trl's colocated vLLM cannot follow Gemma 3's weights; use hf, or backend unsloth"

    def load(
        self, config: Config, checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase
    ) -> tuple[Any, LoraConfig | None]:
        import torch

        from harness.models.hf_engine import load_base
        from harness.models.lora import lora_config

        model = load_base(checkpoint, config.model.precision)
        if config.model.full_finetuning:
            return model, None
        adapter = lora_config(config)
        if not any(re.fullmatch(adapter.target_modules, name) for name, _ in model.named_modules()):
            raise HarnessError(
                f"lora: {checkpoint.id} has none of the modules to train; turn other layers or modules on"
            )
        torch.manual_seed(config.lora.seed)  # the trainer makes the adapter first of all, and A is random
        return model, adapter

    def less_memory(self, config: Config) -> list[str]:
        together = config.train.micro_batch or config.completions_per_step
        return [f"set train.micro_batch below {together}"] if together > 1 else []


BACKEND = Trl()
