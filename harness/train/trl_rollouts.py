"""Rollouts by TRL's vLLM: a separate engine in the training's process, which is given the adapted weights.

By default TRL 1.14 merges the adapter into the weights that it trains on, passes all of them to vLLM, and removes the
adapter again before the next step. In bf16 that leaves rounding errors in the base at every step; and a weight whose
name vLLM does not know (of Gemma 3's vision tower) ends the training. Here the base stays unchanged, and only the
weights with an adapter are passed on, as no others ever change.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from peft.tuners.lora import LoraLayer

from harness.config.schema import Config
from harness.models import vllm_engine
from harness.util import processes
from harness.util.console import hushed, say

if TYPE_CHECKING:
    from peft import PeftModel
    from trl import GRPOTrainer


def arguments(config: Config) -> dict[str, Any]:
    """TRL's arguments for the engine, with its share of the free memory expressed as a share of the total."""
    free, total = torch.cuda.mem_get_info()
    return {
        "vllm_gpu_memory_utilization": config.train.gpu_memory_utilization * free / total,
        "vllm_max_model_length": config.model.max_seq_length,
    }


@contextmanager
def starting(config: Config) -> Iterator[None]:
    """The context in which the trainer and its engine are built: vLLM's environment set, output dropped."""
    # TRL takes 29500 if that is free when it looks; another training may have it by the time the engine does.
    os.environ.setdefault("MASTER_PORT", str(processes.free_port()))
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # the weights are accessed in this process
    for name, value in vllm_engine.DEFAULTS.items():
        os.environ.setdefault(name, value)
    say("Starting vLLM for the rollouts (compiled, with CUDA graphs: minutes the first time).")
    share = config.train.gpu_memory_utilization
    with (
        vllm_engine.memory_told("train.gpu_memory_utilization", share, "model.max_seq_length"),
        hushed(os.environ["VLLM_LOGGING_LEVEL"] == vllm_engine.QUIET),
    ):
        yield


def follow(trainer: GRPOTrainer) -> None:
    """Let the trainer's engine sample from the adapted weights; the trained model stays unchanged."""
    trainer.vllm_generation._iter_named_params = partial(adapted_weights, trainer.model)


def follows(rollout: Any) -> bool:
    """Whether `follow` was called for this engine."""
    return getattr(getattr(rollout, "_iter_named_params", None), "func", None) is adapted_weights


@torch.no_grad()
def adapted_weights(model: PeftModel) -> Iterator[tuple[str, torch.Tensor]]:
    """Each weight that has an adapter, by its name in the checkpoint, with the adapter added in float32."""
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            base = module.get_base_layer().weight
            weight = base.float() + module.get_delta_weight("default").float()
            yield f"{name.removeprefix('base_model.model.')}.weight", weight.to(base.dtype)
