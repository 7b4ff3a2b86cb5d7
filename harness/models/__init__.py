"""Checkpoints, prompts as token ids, adapters and engines."""
