"""What a folder of completions was made for: content.json beside shared ones of the base, source.json in a curve.

A digest of the content names the shared folder, and tells whether what was begun may be gone on with.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from harness.runs.results import Generation
from harness.util import files, typed
from harness.util.errors import HarnessError


@dataclass(frozen=True, slots=True, kw_only=True)
class Content(Generation):
    """All that a completion of the base depends on; golds, scorer and tags are left out: they only judge it."""

    problems: tuple[str, ...]  # ids, in the order asked
    weights: str  # SHA-256, in hex, of the checkpoint's
    tokenizer: str  # SHA-256, in hex, of its files
    # What shares a batch, and how many threads add up, decides the last bits, where the engine leaves them open.
    batch_size: int | None  # prompts; None: the engine batches by itself
    gpu_memory_utilization: float | None  # share of the GPU's memory; None where it decides nothing
    threads: int | None  # of torch; None on a GPU
    again: bool | None = field(default=None, metadata=typed.OMITTED)  # True: the noise floor's second evaluation
    adapters: bool | None = field(default=None, metadata=typed.OMITTED)  # True: an engine with room for adapters

    @property
    def digest(self) -> str:
        """The first 16 hex digits of the SHA-256 of the content as JSON."""
        return hashlib.sha256(json.dumps(typed.plain(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Source:
    """Which trained weights completions or a proof belong to, and how they were asked."""

    adapter: str  # SHA-256, in hex, of what was trained
    content: str  # digest of the Content, as of the base

    def began(self, file: Path) -> bool:
        """Whether the completions beside a source.json or proof.json were begun already, and for this.

        Raises HarnessError where they were begun for something else.
        """
        if not file.exists():
            return False
        given = typed.read(Source, file)
        if given.adapter != self.adapter:
            raise HarnessError(f"{file.parent}: holds the answers of another adapter; delete it and run again")
        if given.content != self.content:
            raise HarnessError(
                f"{file.parent}: was begun with another engine or other prompts; delete it and run again"
            )
        return True


def write_content(folder: Path, content: Content) -> None:
    files.write_json(folder / "content.json", typed.plain(content))


def write_source(folder: Path, source: Source) -> None:
    files.write_json(folder / "source.json", typed.plain(source))
