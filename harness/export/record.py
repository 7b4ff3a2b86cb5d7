"""export.json: what an export was made from, how its weights are stored, and the result of its check."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness.util import files, typed

NAME = "export.json"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What identifies an export."""

    to: str  # "merged" or "gguf"
    trained: str  # SHA-256, in hex, of the trained weights
    base: str  # SHA-256, in hex, of the base's weights
    stored: str  # dtype of a checkpoint, kind of a GGUF


@dataclass(frozen=True, slots=True)
class Change:
    """How many of an exported checkpoint's numbers, read from the disk, differ from the base's in its dtype."""

    tensors: int
    targets: int  # matrices that an adapter changes
    untouched: int  # targets without any changed number
    changed: float  # share of all numbers
    changed_in_targets: float  # share of the targets' numbers


@dataclass(frozen=True, slots=True)
class Check:
    """The log-prob changes of an export on probe prompts, compared with those of the training; in nats."""

    probes: int
    tokens: int
    correlation: float  # of the export's changes with the training's
    size: float  # of the export's changes as a multiple of the training's, by least squares through 0
    trained_change: float  # mean absolute change a token
    exported_change: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Export(Wanted):
    """One export."""

    run: str  # name of the run's directory
    seed: int  # of the training
    step: int  # of the training, after which the weights were saved
    full: bool  # all weights were trained, so that nothing was merged
    vision: bool  # the base is multimodal
    change: Change | None  # None for a GGUF
    check: Check | None  # None if the export cannot be loaded here
    file: str | None = field(default=None, metadata=typed.OMITTED)  # name of a GGUF
    files: tuple[str, ...] = ()  # names of all files except export.json, sorted


def read(folder: Path) -> Export:
    """The export.json of a folder. Raises HarnessError as typed.read."""
    return typed.read(Export, folder / NAME)


def write(folder: Path, export: Export) -> None:
    files.write_json(folder / NAME, typed.plain(export))
