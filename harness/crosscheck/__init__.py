"""The outside check: lm-evaluation-harness on the same models."""
