"""Errors that a user or a machine can cause: one line, exit code 2, no traceback."""

from __future__ import annotations


class HarnessError(Exception):
    """Something that the user can fix. The message is one line and names the remedy."""


class BusyError(HarnessError):
    """Another program is in the way for now, so that the same may succeed a moment later."""


BUSY = 75  # the exit code by which a stage tells its command of one: EX_TEMPFAIL of sysexits.h


def in_short(error: Exception) -> str:
    """The first two sentences of an error's first line, 200 characters at most; its class if it has no message."""
    said = str(error).strip().partition("\n")[0] or type(error).__name__
    return ". ".join(said.split(". ")[:2])[:200]
