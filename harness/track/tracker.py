"""What an experiment tracker is: its name, its requirements, and the run that it shows while the stages write.

To add one: a file with a TrackerKind, and a row in harness.config.plugins.
"""

from __future__ import annotations

from typing import Protocol

from harness.config.plugins import Plugin
from harness.runs.directory import RunDir
from harness.track.reader import Shown


class Tracked(Protocol):
    """One run in a tracker, open until finish()."""

    url: str | None  # where it can be seen; None if that is only on this machine

    def show(self, shown: Shown) -> None:
        """Add what is shown for one step."""

    def finish(self, state: str) -> None:
        """Write, and online send, the rest; state: success, crashed or aborted."""


class TrackerKind(Plugin):
    """A tracker that the experiment file can name. Its module imports the tracker's library only inside functions."""

    title = ""  # its name in messages

    def check(self, mode: str) -> None:
        """Raise HarnessError if this machine or account cannot track in this mode; the message names the remedy."""

    def where(self, run: RunDir, mode: str, identity: str) -> str:
        """Where a run of this identity can be seen, as text for a message; for modes without a url."""
        raise NotImplementedError

    def open(self, run: RunDir, mode: str, identity: str) -> Tracked:
        """Open the run `identity`, or continue it if an earlier process began it. run.path is absolute.

        Raises HarnessError if the tracker refuses or cannot be reached.
        """
        raise NotImplementedError
