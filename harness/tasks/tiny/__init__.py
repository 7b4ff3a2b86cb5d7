"""The embedded tiny model: a Gemma-3-architecture checkpoint of a few MB and its own word problems.

With it the whole loop (evaluate, GRPO, evaluate) runs offline on a CPU in minutes, and really learns. Its
numbers say nothing about Gemma. README.md in this folder says how make.py made it from problems.py.
"""

from __future__ import annotations

from pathlib import Path

CHECKPOINT: Path = Path(__file__).parent / "checkpoint"
