"""Checkpoints, prompts as token ids, adapters, and the engines."""
