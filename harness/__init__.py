"""An evaluation-first harness for GRPO experiments."""
