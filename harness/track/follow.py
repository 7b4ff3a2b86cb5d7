"""The process that tracks an experiment: it reads what the stages write, and shows it while they work.

harness.run starts it (track.mode). It only reads files, so it cannot change a number, and if it fails, hangs or is
killed, only a line says so. One experiment is one run of the tracker, however often it was stopped: the tracker's
folder is rebuilt from the run's files at every start, and online the run is continued. No step is there twice.
"""

from __future__ import annotations

import secrets
import select
import signal
import subprocess
import sys
from collections.abc import Callable

from harness.config.plugins import TRACKERS
from harness.config.schema import Config
from harness.runs import stages as run_stages
from harness.runs.directory import RunDir
from harness.runs.manifest import Track
from harness.track.reader import Reader
from harness.track.tracker import TrackerKind
from harness.util import processes
from harness.util.console import hushed, say, working
from harness.util.text import one_line, quoted

POLL_SECONDS = 1.0  # between two reads of the files
START_SECONDS = 20  # for the tracker's server to answer
FINISH_SECONDS = 60  # for the tracker to finish after the stages have ended
PATIENCE_SECONDS = 3  # of those that pass before a line says what the command is waiting for


# --- in harness.run -----------------------------------------------------------------------------------------


def check(config: Config) -> None:
    """Raise HarnessError if this machine or account cannot track the experiment as it asks for."""
    if config.track.mode != "disabled":
        kind(config).check(config.track.mode)


def kind(config: Config) -> TrackerKind:
    return TRACKERS.get(config.track.tracker)


def following(run: RunDir, held: int | None, work: Callable[[], int]) -> int:
    """Do the work of the run while its tracker follows, and return the work's exit code, whatever the tracker does.

    `held` is the descriptor of the run's lock.
    """
    tracker, state = _start(run, held), "crashed"
    try:
        code = work()
        state = "crashed" if code else "success"
        return code
    except KeyboardInterrupt:
        state = "aborted"
        raise
    finally:
        tracker.finish(state)


class Untracked:
    """The tracker of an experiment that has none."""

    def finish(self, state: str) -> None:
        pass


class Tracker:
    """The tracker's process, as seen from harness.run."""

    def __init__(self, run: RunDir, held: int | None) -> None:
        self.run, self.title = run, kind(run.config).title
        self._said = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "harness.track", str(run.path), "--follow"],
            env=run_stages.stage_environment(run),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[held] if held is not None else [],
            preexec_fn=processes.die_with_parent,
            start_new_session=True,  # Ctrl-C reaches only us, and we pass the end on
            text=True,
        )

    def first_line(self) -> str:
        """Its first line, once the tracker's server has answered; empty if that takes too long."""
        ready, _, _ = select.select([self._process.stdout], [], [], START_SECONDS)
        self._said = self._process.stdout.readline() if ready else ""
        return self._said.strip().removeprefix("error: ")

    def finish(self, state: str) -> None:
        """Tell it how the run ended, and wait until it has shown the rest. After a time limit or Ctrl-C, kill it."""
        given_up = ""
        try:
            self._said += self._rest(state)
        except subprocess.TimeoutExpired:
            given_up = f"not done after {FINISH_SECONDS} s"
        except KeyboardInterrupt:
            given_up = "stopped"
        if given_up:
            self._process.kill()
            self._process.communicate()
        if code := self._process.returncode:
            last = one_line((self._said.strip() or "no reason given").splitlines()[-1]).removeprefix("error: ")
            why = given_up or (f"ended by {signal.Signals(-code).name}" if code < 0 else last)
            say(
                f"{self.title} has not tracked all of this run ({why}); the experiment has lost nothing. "
                f"python -m harness.track {quoted(self.run.path)} tracks it again."
            )

    def _rest(self, state: str) -> str:
        """Its output until it has ended. Raises TimeoutExpired if that takes too long."""
        try:
            return self._process.communicate(state + "\n", timeout=PATIENCE_SECONDS)[0]
        except subprocess.TimeoutExpired:
            say(f"{self.title} is finishing; that may take {FINISH_SECONDS} s, and Ctrl-C skips it.")
            return self._process.communicate(timeout=FINISH_SECONDS - PATIENCE_SECONDS)[0]


def _start(run: RunDir, held: int | None) -> Tracker | Untracked:
    mode = run.config.track.mode
    if mode == "disabled":
        return Untracked()
    title, identity = kind(run.config).title, _identity(run)
    try:
        tracker = Tracker(run, held)
    except (OSError, subprocess.SubprocessError) as error:
        say(f"{title} cannot be started, so the run is not tracked: {error}.")
        return Untracked()
    if mode != "online":
        say(f"{title}: {kind(run.config).where(run, mode, identity)}")
        return tracker
    with working(f"start of {title}"):
        answer = tracker.first_line()
    say(answer or f"{title}: no answer yet.")
    return tracker


def _identity(run: RunDir) -> str:
    """The id of the experiment's run in its tracker, made once (the caller holds the run's lock)."""
    if (noted := run.read_manifest().track) is None:
        noted = Track(secrets.token_hex(8))
        run.note("track", noted)
    return noted.id


# --- in the tracker's process -------------------------------------------------------------------------------


def follow(run: RunDir, mode: str, state: Callable[[], str | None], reader: Reader) -> None:
    """Show what the run has and writes until `state()` says how it ended, and then the rest."""
    tracker, identity = kind(run.config), _identity(run)
    with hushed():  # it prints a greeting, and from its threads messages that do not help the user
        tracked = tracker.open(run, mode, identity)
    ended = None
    try:
        say(f"{tracker.title}: {tracked.url or tracker.where(run, mode, identity)}")
        with hushed():
            while ended is None:
                ended = state()  # asked for first, so that nothing written before the end is missed
                for shown in reader.new():
                    tracked.show(shown)
            for shown in reader.closing() if ended == "success" else ():
                tracked.show(shown)
    except BaseException:
        ended = "crashed"
        raise
    finally:
        with hushed():
            tracked.finish(ended)


def how_it_ended() -> str | None:
    """How the run ended, as harness.run says after at most POLL_SECONDS; None while it is running."""
    ready, _, _ = select.select([sys.stdin], [], [], POLL_SECONDS)
    return (sys.stdin.readline().strip() or "crashed") if ready else None
