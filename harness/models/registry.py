"""The engines by name: how one is started, and what version a comparable evaluation must share."""

from __future__ import annotations

import peft
import torch
import transformers
from transformers import PreTrainedTokenizerBase

from harness.config.schema import EvalSection
from harness.models.checkpoint import Checkpoint
from harness.models.engine import Engine, Work
from harness.models.hf import VERSION, TransformersEngine


def version(section: EvalSection, work: Work) -> str:
    """The engine with all that its completions depend on: what comparable evaluations share."""
    if section.engine == "vllm":
        from harness.models import vllm as vllm_engine

        return vllm_engine.describe(section, work)
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
    libraries = f"transformers {transformers.__version__}, peft {peft.__version__}, torch {torch.__version__}"
    return f"{section.engine} engine {VERSION}, {libraries}, {device}"


def load(section: EvalSection, checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase, work: Work) -> Engine:
    """Start the engine that the experiment names. Raises HarnessError where it cannot run."""
    if section.engine == "vllm":
        from harness.models.vllm import VllmEngine

        return VllmEngine(section, checkpoint, tokenizer, work)
    return TransformersEngine(checkpoint, tokenizer, section.precision, section.batch_size)
