"""What an experiment tracker is: how it is named, what it needs, and the run that it shows while the stages write.

To add one: a file with a TrackerKind, and a row in harness.config.plugins.
"""

from __future__ import annotations

from typing import Protocol

from harness.config.plugins import Plugin
from harness.runs.directory import RunDir
from harness.track.reader import Shown


class Tracked(Protocol):
    """One run in a tracker, open until finish()."""

    url: str | None  # where a person sees it; None where that is on this machine alone

    def show(self, shown: Shown) -> None:
        """Add what is shown of one step."""

    def finish(self, state: str) -> None:
        """Write, and online send, what is left; state: success, crashed or aborted."""


class TrackerKind(Plugin):
    """A tracker as the experiment file names it. Its module imports the tracker's library in functions alone."""

    title = ""  # as its makers write it

    def check(self, mode: str) -> None:
        """Raise HarnessError where this machine or account cannot track in this mode; the message names the remedy."""

    def where(self, run: RunDir, mode: str, identity: str) -> str:
        """Where a run of this identity is seen, for the line that says so; of a mode without a url."""
        raise NotImplementedError

    def open(self, run: RunDir, mode: str, identity: str) -> Tracked:
        """Open the run `identity`, and what an earlier process left of it. run.path is absolute.

        Raises HarnessError where the tracker refuses or cannot be reached.
        """
        raise NotImplementedError
