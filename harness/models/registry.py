"""The engine that an experiment names: its declarations, its version, and how it is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.config.plugins import ENGINES
from harness.config.schema import EvalSection
from harness.models.checkpoint import Checkpoint
from harness.models.engine import Engine, EngineKind, Work

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def kind(section: EvalSection) -> EngineKind:
    return ENGINES.get(section.engine)


def version(section: EvalSection, work: Work) -> str:
    """As EngineKind.version, for the engine that the section names."""
    return kind(section).version(section, work)


def load(section: EvalSection, checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase, work: Work) -> Engine:
    """As EngineKind.start, for the engine that the section names."""
    return kind(section).start(section, checkpoint, tokenizer, work)
