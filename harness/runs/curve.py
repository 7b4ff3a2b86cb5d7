"""curve.json: the learning curve of one training on the dev split, and the step that it chose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.runs.results import Conditions
from harness.stats.records import Compared, PairedRecord, Rate
from harness.util import files, typed

NAME = "curve.json"


@dataclass(frozen=True, slots=True)
class Point:
    """One evaluation of the curve."""

    step: int  # of the training, after which the adapter was saved; 0 is the base
    adapter: str | None  # SHA-256, in hex; None for the base
    accuracy: Rate
    strict: Rate
    format: Rate
    completions: int
    correct: int  # of those
    truncated: int  # of those, cut at the token limit
    difference: Compared[PairedRecord] | None  # from the base, on the same questions; None for the base


@dataclass(frozen=True, slots=True)
class Curve:
    """The learning curve of one training."""

    conditions: Conditions
    n: int  # questions
    points: tuple[Point, ...]  # by step, the base first
    checkpoint: str  # train.checkpoint: "last" or "best_dev"
    chosen: int  # the step whose adapter the tuned evaluation uses


def read(folder: Path) -> Curve:
    """The curve in a folder. Raises HarnessError as typed.read."""
    return typed.read(Curve, folder / NAME)


def text(curve: Curve) -> str:
    """The content of its file."""
    return files.as_json(typed.plain(curve))
