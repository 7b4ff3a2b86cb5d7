"""An evaluation-first harness for GRPO experiments."""

__version__ = "0.1.0"
