"""Token ids → completions. An engine holds one base checkpoint and scores it with or without an adapter.

`transformers` batches prompts of like length: for a CPU and for small models. `vllm` (harness.models.vllm) is for a
GPU. Every engine hands completions over as they finish, gives each its own seed, and says why each one ended.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.tasks.records import Completion


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


def completion_seed(seed: int, problem_id: str, sample: int) -> int:
    """A seed for one completion, from the evaluation's seed and the problem: no batch or order changes it."""
    return int.from_bytes(hashlib.sha256(f"{seed} {problem_id} {sample}".encode()).digest()[:7])
