"""The backend `trl`: TRL's trainer with plain transformers and PEFT, on a CPU or a GPU."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from harness.config.schema import Config
from harness.models.checkpoint import Checkpoint
from harness.train.backend import TrainerBackend
from harness.util.errors import HarnessError

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedTokenizerBase
    from trl import GRPOTrainer


class Trl(TrainerBackend):
    name = "trl"

    def refusals(self, config: Config) -> Iterator[str]:
        if config.model.load_in_4bit or config.model.load_in_8bit:
            yield "train.backend: trl trains only on unquantized weights; use unsloth for quantized ones"
        if config.train.rollouts == "vllm" and config.model.precision == "fp32":
            yield "model.precision: vllm samples rollouts in bf16; set bf16, or train.rollouts to hf"

    def load(
        self, config: Config, checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase
    ) -> tuple[Any, LoraConfig | None]:
        import torch
        from transformers import GenerationConfig

        from harness.models.hf_engine import load_base
        from harness.models.lora import lora_config

        model = load_base(checkpoint, config.model.precision)
        model.generation_config = GenerationConfig()  # else generate takes from it what the trainer leaves unset
        if config.model.full_finetuning:
            return model, None
        adapter = lora_config(config)
        if not any(re.fullmatch(adapter.target_modules, name) for name, _ in model.named_modules()):
            raise HarnessError(
                f"lora: {checkpoint.id} has none of the modules to train; turn on other layers or modules"
            )
        torch.manual_seed(config.lora.seed)  # the trainer's first random draw is the adapter's A
        return model, adapter

    def arguments(self, config: Config) -> dict[str, Any]:
        if config.train.rollouts != "vllm":
            return {}
        from harness.train import trl_rollouts

        return trl_rollouts.arguments(config)

    @contextmanager
    def building(self, config: Config) -> Iterator[None]:
        if config.train.rollouts != "vllm":
            yield
            return
        from harness.train import trl_rollouts

        with trl_rollouts.starting(config):
            yield

    def built(self, trainer: GRPOTrainer) -> None:
        if trainer.use_vllm:
            from harness.train import trl_rollouts

            trl_rollouts.follow(trainer)

    def tidy(self) -> None:
        import torch

        if torch.distributed.is_initialized():  # by vLLM, which does not destroy it and so causes a warning at exit
            torch.distributed.destroy_process_group()

    def less_memory(self, config: Config) -> list[str]:
        together = config.train.micro_batch or config.completions_per_step
        return [f"set train.micro_batch below {together}"] if together > 1 else []


BACKEND = Trl()
