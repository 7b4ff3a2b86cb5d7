"""manifest.json: what a run was made with and what it cost. RunDir.note writes it, section by section."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness.util import typed


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the last evaluation ran."""

    system: str
    cores: int | None
    threads: int  # of torch
    gpu: str | None = field(default=None, metadata=typed.OMITTED)  # name of the first; None: there is none
    gpu_gib: float | None = field(default=None, metadata=typed.OMITTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The cost of a stage, of its last attempt if it was resumed."""

    start_seconds: float  # wall time until the work began
    seconds: float  # wall time of the work
    tokens: int  # generated
    completions: int | None = field(default=None, metadata=typed.OMITTED)  # of an evaluation: generated
    steps: int | None = field(default=None, metadata=typed.OMITTED)  # of a training
    peak_memory_mib: int  # of the process
    peak_gpu_mib: int | None = field(default=None, metadata=typed.OMITTED)  # that torch reserved; None without a GPU
    finished: str | None = field(default=None, metadata=typed.OMITTED)  # UTC, ISO 8601; None in older runs


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeWith:
    """The harness and the packages that a stage ran with; None if the harness is not in a git checkout."""

    commit: str | None
    dirty: bool | None  # changed since the commit
    diff_sha256: str | None  # of the changes; None without any
    diff: str | None = field(default=None, metadata=typed.OMITTED)  # the changes, the first 100,000 characters
    versions: dict[str, str]  # by package, Python among them


@dataclass(frozen=True, slots=True)
class Seeds:
    """Every seed of the experiment."""

    train: tuple[int, ...]
    lora: int
    eval: int


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Which adapter of a training the tuned evaluation uses."""

    evaluated: int  # the step after which it was saved
    by: str  # train.checkpoint: "last" or "best_dev"


@dataclass(frozen=True, slots=True)
class Seal:
    """One file as its stage left it."""

    sha256: str  # of its content, in hex
    outcome: str  # the file or folder in the run directory that the stage writes last
    made_from: dict[str, str]  # SHA-256, in hex, of what it was made from, by path in the run directory
    replaced: str | None = field(default=None, metadata=typed.OMITTED)  # the SHA-256 sealed before


@dataclass(frozen=True, slots=True)
class Base:
    """What the base checkpoint is; its content is among the inputs."""

    revision: str | None  # the commit of a hub repository; None: a folder
    architecture: str | None = field(default=None, metadata=typed.OMITTED)  # None in older runs
    parameters: int | None = field(default=None, metadata=typed.OMITTED)


@dataclass(frozen=True, slots=True)
class Track:
    id: str  # under which the tracker knows the run


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest; sections are by stage unless stated otherwise, and empty or None until something is noted."""

    inputs: dict[str, str] = field(default_factory=dict)  # content hashes, by what is hashed
    base: Base | None = None
    machine: Machine | None = None
    stages: dict[str, Cost] = field(default_factory=dict)
    wall_seconds: dict[str, float] = field(default_factory=dict)  # imports and all attempts that ended included
    backends: dict[str, str] = field(default_factory=dict)  # "unsloth" or "trl", by training
    seeds: Seeds | None = None
    made_with: dict[str, MadeWith] = field(default_factory=dict)
    seals: dict[str, Seal] = field(default_factory=dict)  # by path in the run directory
    checkpoints: dict[str, Evaluated] = field(default_factory=dict)  # by seed, if there is a learning curve
    track: Track | None = None


def read(file: Path) -> Manifest:
    """The manifest; empty if nothing was noted yet. Raises HarnessError as typed.read."""
    remedy = f"restore it, or move {file.parent} away and run again"
    return typed.read(Manifest, file, remedy) if file.exists() else Manifest()
