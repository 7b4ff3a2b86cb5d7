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
        if config.model.full_finetuning and len(config.train.seeds) > 1:
            yield "train.seeds: vllm loads one model a process, and full finetuning leaves one a seed; give one seed"
        if section.precision == "fp32":
            yield "eval.precision: vllm scores in bf16; set bf16, or eval.engine to transformers"
        low, high = VLLM_TEMPERATURES
        if section.temperature and not low <= section.temperature <= high:
            yield f"eval.temperature: vllm samples at {low:g} to {high:g}, or greedily at 0"
        if config.lora.r > (most := VLLM_RANKS[-1]):
            yield f"lora.r: vllm takes adapters up to rank {most}; lower it, or set eval.engine to transformers"
        if config.lora.finetune_vision_layers:
            yield "lora.finetune_vision_layers: vllm evaluates the text model alone; set eval.engine to transformers"

    def idle(self, config: Config) -> tuple[str, ...]:
        # How many completions share a batch follows from the memory, and matters where batches do.
        return ("eval.gpu_memory_utilization",) if config.eval.batch_invariant else ()

    def unavailable(self, config: Config) -> str | None:
        found = machine.gpus()
        if not found:
            return f"eval.engine: vllm needs an NVIDIA GPU, and this machine shows none; {INSTEAD}"
        if reason := machine.unfit(found[0]):
            return f"eval.engine: vllm cannot run here ({reason}); {INSTEAD}"
        if not machine.installed("vllm"):
            return f'eval.engine: vllm is not installed; pip install -e ".[gpu]", or {INSTEAD}'
        return None

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

    def memory_share(self, section: EvalSection) -> float:
        return section.gpu_memory_utilization

    def memory_note(self, section: EvalSection) -> str:
        share = section.gpu_memory_utilization
        return f"vLLM fills its share of the GPU (at most {share:g} of it) with KV cache, whatever it needs."


ENGINE = Vllm()
