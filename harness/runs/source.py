"""What a folder of completions was made for: content.json for shared completions of the base, source.json in a curve.

A digest of the content names the shared folder, and decides whether unfinished work can be resumed.
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
    """Everything that a completion of the base depends on; golds, scorer and tags only affect its score."""

    problems: tuple[str, ...]  # ids, in the order asked
    weights: str  # SHA-256, in hex, of the checkpoint's weights
    tokenizer: str  # SHA-256, in hex, of its files
    # The batch and the number of threads affect the last bits, unless the engine rules that out.
    batch_size: int | None  # prompts; None: the engine batches by itself
    gpu_memory_utilization: float | None  # share of the GPU's memory; None if it has no effect
    threads: int | None  # of torch; None on a GPU
    again: bool | None = field(default=None, metadata=typed.OMITTED)  # True: the noise floor's second evaluation
    adapters: bool | None = field(default=None, metadata=typed.OMITTED)  # True: an engine with room for adapters

    @property
    def digest(self) -> str:
        """The first 16 hex digits of the SHA-256 of the content as JSON."""
        return hashlib.sha256(json.dumps(typed.plain(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Source:
    """Which trained weights the completions or the proof belong to, and how they were made."""

    adapter: str  # SHA-256, in hex, of what was trained
    content: str  # digest of the Content, as for the base

    def began(self, file: Path) -> bool:
        """Whether the work in the folder of a source.json or proof.json was already begun, for this source.

        Raises HarnessError if it was begun for something else.
        """
        if not file.exists():
            return False
        given = typed.read(Source, file)
        if given.adapter != self.adapter:
            raise HarnessError(f"{file.parent}: holds completions of another adapter; delete it and run again")
        if given.content != self.content:
            raise HarnessError(
                f"{file.parent}: was begun with another engine or with other prompts; delete it and run again"
            )
        return True


def write_content(folder: Path, content: Content) -> None:
    files.write_json(folder / "content.json", typed.plain(content))


def write_source(folder: Path, source: Source) -> None:
    files.write_json(folder / "source.json", typed.plain(source))


@dataclass(frozen=True, slots=True)
class Whole:
    """Completions that are all there."""

    sha256: str  # of the log, in hex


def write_whole(log: Path, file: Path) -> None:
    files.write_json(file, typed.plain(Whole(files.file_hash(log))))


def is_whole(log: Path, file: Path) -> bool:
    """Whether a log is as it was when it was complete. Raises HarnessError as typed.read."""
    return log.is_file() and files.file_hash(log) == typed.read(Whole, file).sha256
