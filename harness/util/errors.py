"""Errors that a user can cause: one line, exit code 2, no traceback."""

from __future__ import annotations


class HarnessError(Exception):
    """Something that the user can fix. The message is one line and names the remedy."""


def in_short(error: Exception) -> str:
    """The first two sentences of an error's first line, 200 characters at most; its class if it has no message."""
    said = str(error).strip().partition("\n")[0] or type(error).__name__
    return ". ".join(said.split(". ")[:2])[:200]
