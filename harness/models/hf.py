"""The engine `transformers`: batches of prompts of similar length, on a CPU or a GPU, for small models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.config.schema import EvalSection
from harness.models.checkpoint import Checkpoint
from harness.models.engine import Batching, Engine, EngineKind, Request, Work

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Transformers(EngineKind):
    def version(self, section: EvalSection, work: Work) -> str:
        from harness.models import hf_engine

        return hf_engine.describe()

    def start(
        self, section: EvalSection, checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase, work: Work
    ) -> Engine:
        from harness.models.hf_engine import TransformersEngine

        return TransformersEngine(checkpoint, tokenizer, section.precision, section.batch_size)

    def batching(self, section: EvalSection) -> Batching:
        return Batching(batch_size=section.batch_size)

    def inseparable(self, section: EvalSection, requests: Sequence[Request], ids: Sequence[str]) -> list[list[Request]]:
        """As EngineKind.inseparable: the batches, because the rest of its batch changes a completion's last bits."""
        from harness.models import hf_engine

        return hf_engine.batches(requests, section.batch_size)

    def less_memory(self, section: EvalSection) -> str:
        return f", or lower eval.batch_size (now {section.batch_size})"


ENGINE = Transformers()
