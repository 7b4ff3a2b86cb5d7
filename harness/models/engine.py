"""Token ids → completions. An engine holds one base checkpoint and runs it with or without an adapter.

Every engine yields completions as they finish, gives each its own seed, and says why each one ended. To add one:
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
    """A request for one completion."""

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

    completions: int  # of the whole evaluation, also if it is resumed
    longest: int  # tokens of the longest prompt and its completion together
    lora_rank: int  # the largest rank of the adapters to be loaded; 0: none


class Engine(Protocol):
    """What an evaluation and the adapter proof need from an engine."""

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, adapter: Path | None, done: Collection[tuple[int, int]]
    ) -> Iterator[list[Completion]]:
        """Yield completions as they finish, leaving out the (index, sample) pairs in `done`."""

    def log_probs(self, sequences: Sequence[Sequence[int]], adapter: Path | None) -> list[list[float]]:
        """Log-probability (nats) of each token after the first, given those before it."""

    def adapter_modules(self, adapter: Path) -> set[str]:
        """Names of the modules that hold the adapter's weights after loading it."""


@dataclass(frozen=True, slots=True)
class Batching:
    """What decides which completions share a batch; None: it has no effect."""

    batch_size: int | None = None  # prompts
    gpu_memory_utilization: float | None = None  # share of the GPU's free memory


class EngineKind(Plugin):
    """An engine that the experiment file can name: its requirements, its version, and how it is started."""

    lm_eval_backend = "hf"  # the backend of lm-evaluation-harness that runs the same library

    def version(self, section: EvalSection, work: Work) -> str:
        """The engine with everything that its completions depend on; equal in comparable evaluations."""
        raise NotImplementedError

    def start(
        self, section: EvalSection, checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase, work: Work
    ) -> Engine:
        """Start it. Raises HarnessError if it cannot run."""
        raise NotImplementedError

    def batching(self, section: EvalSection) -> Batching:
        """The settings that decide which completions share a batch, if a completion's last bits depend on that."""
        return Batching()

    def divides(self, section: EvalSection) -> bool:
        """Whether several engines, each with some of the requests, make the completions that one makes of all."""
        return True

    def inseparable(self, section: EvalSection, requests: Sequence[Request], ids: Sequence[str]) -> list[list[Request]]:
        """The requests in groups that one engine has to make, in the order in which they are dealt out.

        `ids` are the ids of the problems, by index. By default each problem is a group, and the ids give the order.
        """
        groups: dict[str, list[Request]] = {}
        for request in requests:
            groups.setdefault(ids[request.index], []).append(request)
        return [groups[each] for each in sorted(groups)]

    def memory_share(self, section: EvalSection) -> float:
        """The share of a GPU's memory that it may fill."""
        return 1.0

    def memory_note(self, section: EvalSection) -> str:
        """What a reader has to know about its peak memory, as a sentence; empty if nothing."""
        return ""

    def less_memory(self, section: EvalSection) -> str:
        """What to set if there is not enough memory, as the end of a sentence; empty if nothing helps."""
        return ""


def completion_seed(seed: int, problem_id: str, sample: int) -> int:
    """A seed for one completion, from the evaluation's seed and the problem; independent of batches and order."""
    return int.from_bytes(hashlib.sha256(f"{seed} {problem_id} {sample}".encode()).digest()[:7])
