"""Token ids → completions. An engine holds one base checkpoint and scores it with or without an adapter.

Every engine hands completions over as they finish, gives each its own seed, and says why each one ended. To add one:
a file with an EngineKind that starts it, and a row in harness.config.plugins.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from harness.config.plugins import Plugin
from harness.config.schema import EvalSection
from harness.models.checkpoint import Checkpoint
from harness.tasks.records import Completion

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Request:
    """One completion that is wanted."""

    index: int  # of the prompt in the evaluation
    sample: int  # from 0
    ids: tuple[int, ...]
    seed: int  # for sampling; greedy decoding draws nothing


@dataclass(frozen=True, slots=True)
class Sampling:
    max_new_tokens: int
    temperature: float  # 0 is greedy
    top_p: float  # 1.0 disables
    top_k: int  # 0 disables
    min_p: float  # 0.0 disables
    stop_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """What an engine is started for."""

    completions: int  # of the whole evaluation, whatever is left of it
    longest: int  # tokens of the longest prompt and its completion together
    lora_rank: int  # the largest rank of the adapters to come; 0: none


class Engine(Protocol):
    """What an evaluation and the adapter proof ask of an engine."""

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, adapter: Path | None, done: Collection[tuple[int, int]]
    ) -> Iterator[list[Completion]]:
        """Yield completions as they finish, leaving out the (index, sample) pairs in `done`."""

    def log_probs(self, sequences: Sequence[Sequence[int]], adapter: Path | None) -> list[list[float]]:
        """Log-probability (nats) of each token after the first, given those before it."""

    def adapter_modules(self, adapter: Path) -> set[str]:
        """Names of the modules that carry the adapter's weights after loading it."""


@dataclass(frozen=True, slots=True)
class Batching:
    """What decides which completions share a batch; None: not that."""

    batch_size: int | None = None  # prompts
    gpu_memory_utilization: float | None = None  # share of the GPU's free memory


class EngineKind(Plugin):
    """An engine as the experiment file names it: what it needs, what its completions depend on, how it is started."""

    lm_eval_backend = "hf"  # the backend of lm-evaluation-harness that runs the same library

    def version(self, section: EvalSection, work: Work) -> str:
        """The engine with all that its completions depend on: what comparable evaluations share."""
        raise NotImplementedError

    def start(
        self, section: EvalSection, checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase, work: Work
    ) -> Engine:
        """Start it. Raises HarnessError where it cannot run."""
        raise NotImplementedError

    def batching(self, section: EvalSection) -> Batching:
        """The settings that decide what shares a batch, where a completion's last bits depend on that."""
        return Batching()

    def memory_share(self, section: EvalSection) -> float:
        """The share of a GPU's memory that it may fill."""
        return 1.0

    def memory_note(self, section: EvalSection) -> str:
        """What a reader of its peak memory has to know, as a sentence; empty where there is nothing."""
        return ""

    def less_memory(self, section: EvalSection) -> str:
        """What to set where memory does not suffice, as the end of a sentence; empty where nothing helps."""
        return ""


def completion_seed(seed: int, problem_id: str, sample: int) -> int:
    """A seed for one completion, from the evaluation's seed and the problem: no batch or order changes it."""
    return int.from_bytes(hashlib.sha256(f"{seed} {problem_id} {sample}".encode()).digest()[:7])
