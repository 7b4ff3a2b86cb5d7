"""The engine `vllm`: all prompts in one continuous batch, on an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.config.compatibility import VLLM_RANKS, VLLM_TEMPERATURES
from harness.config.schema import Config, EvalSection
from harness.models.checkpoint import Checkpoint
from harness.models.engine import Batching, Engine, EngineKind, Work
from harness.runs import machine

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

INSTEAD = "use eval.engine=transformers (on a CPU, with eval.precision=fp32)"


class Vllm(EngineKind):
    own_settings = ("eval.batch_invariant", "eval.enforce_eager", "eval.gpu_memory_utilization")
    lm_eval_backend = "vllm"

    def refusals(self, config: Config) -> Iterator[str]:
        section = config.eval
        if config.model.full_finetuning and config.trainings > 1:
            control = " and no rewards.control" if config.rewards.control else ""
            yield (
                "train.seeds: vllm loads one model per process, and full finetuning makes one per training; give one "
                f"seed{control}"
            )
        if section.precision == "fp32":
            yield "eval.precision: vllm scores in bf16; set bf16, or eval.engine to transformers"
        if section.enforce_eager and section.batch_invariant:
            yield "eval.enforce_eager: vllm is batch-invariant only if it compiles; drop it, or unset batch_invariant"
        low, high = VLLM_TEMPERATURES
        if section.temperature and not low <= section.temperature <= high:
            yield f"eval.temperature: vllm samples only at {low:g} to {high:g}; change it, or set 0 for greedy decoding"
        if config.lora.r > (most := VLLM_RANKS[-1]):
            yield f"lora.r: vllm supports adapters up to rank {most}; lower it, or set eval.engine to transformers"
        if config.lora.finetune_vision_layers:
            yield "lora.finetune_vision_layers: vllm evaluates only the text model; set eval.engine to transformers"

    def idle(self, config: Config) -> tuple[str, ...]:
        # The memory decides how many completions share a batch, which matters unless batches are invariant.
        return ("eval.gpu_memory_utilization",) if config.eval.batch_invariant else ()

    def unavailable(self, config: Config) -> str | None:
        reason = machine.lacks("vllm")
        return reason and f"eval.engine: vllm {reason}; {INSTEAD}"

    def version(self, section: EvalSection, work: Work) -> str:
        from harness.models import vllm_engine

        return vllm_engine.describe(section, work)

    def start(
        self, section: EvalSection, checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase, work: Work
    ) -> Engine:
        from harness.models.vllm_engine import VllmEngine

        return VllmEngine(section, checkpoint, tokenizer, work)

    def batching(self, section: EvalSection) -> Batching:
        return Batching(gpu_memory_utilization=None if section.batch_invariant else section.gpu_memory_utilization)

    def divides(self, section: EvalSection) -> bool:
        return section.batch_invariant

    def memory_share(self, section: EvalSection) -> float:
        return section.gpu_memory_utilization

    def memory_note(self, section: EvalSection) -> str:
        share = section.gpu_memory_utilization
        return f"vLLM fills its share of the GPU (at most {share:g} of it) with KV cache, whatever it needs."


ENGINE = Vllm()
