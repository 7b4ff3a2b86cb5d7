"""Stored completions scored again."""
