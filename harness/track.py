"""SwanLab follows an experiment: a process of its own that reads what the stages write, and shows it while they work.

    python -m harness.track results/quickstart-27b891f3                # a run that was not tracked, or again
    python -m harness.track results/quickstart-27b891f3 --mode online  # the same, on swanlab.cn

harness.run starts it (track.mode). It gets files and nothing else, so that it can change no number, and one that
fails, hangs or is killed costs a line. One experiment is one SwanLab run, however often it was stopped: the swanlab/
folder is made anew from the run's files at every start, and online the run is gone on with. No step is there twice.
"""

from __future__ import annotations

import importlib.util
import secrets
import select
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from harness import processes, rundir
from harness.config import Config
from harness.console import hushed, say, working
from harness.document import one_line
from harness.errors import HarnessError, Parser, exit_code
from harness.rundir import RunDir
from harness.track_reader import Reader

POLL_SECONDS = 1.0  # between two looks at the files
START_SECONDS = 20  # that SwanLab's server may take to answer
FINISH_SECONDS = 60  # that SwanLab may take for the rest, once the stages have ended
PATIENCE_SECONDS = 3  # of them that pass before the person who waits is told why
MODES = ("offline", "online", "local")
EXTRA = 'pip install -e ".[track]"'
# The dashboard pins a rich that is older than ours, and works with ours.
DASHBOARD = "pip install --no-deps swanboard==0.1.10b2; pip install fastapi uvicorn ujson 'peewee<4'"


# --- beside harness.run -------------------------------------------------------------------------------------


def check(config: Config) -> None:
    """Raise HarnessError where the experiment asks for a tracking that this machine or account cannot give."""
    _check_mode(config.track.mode)


def _check_mode(mode: str) -> None:
    if mode in ("online", "local") and not _there("swanlab"):
        raise HarnessError(f"track.mode: {mode} needs SwanLab: {EXTRA}")
    if mode == "local" and not _there("swanboard"):
        raise HarnessError(f"track.mode: local needs SwanLab's dashboard: {DASHBOARD}")
    if mode == "online":
        from harness import swanlab_run

        if not swanlab_run.has_key():
            raise HarnessError("track.mode: online needs an account: swanlab login, or set SWANLAB_API_KEY")


def _there(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def following(run: RunDir, held: int | None, work: Callable[[], int]) -> int:
    """Do the work of the run while SwanLab follows it, and return its exit code; nothing of SwanLab's can change it.

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
    """The process that follows, as seen from harness.run."""

    def __init__(self, run: RunDir, held: int | None) -> None:
        self.run = run
        self._said = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "harness.track", str(run.path), "--follow"],
            env=rundir.stage_environment(run),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[held] if held is not None else [],
            preexec_fn=processes.die_with_parent,
            start_new_session=True,  # Ctrl-C is for us; we tell it
            text=True,
        )

    def first_line(self) -> str:
        """What it says once SwanLab's server has answered; nothing if that takes too long."""
        ready, _, _ = select.select([self._process.stdout], [], [], START_SECONDS)
        self._said = self._process.stdout.readline() if ready else ""
        return self._said.strip().removeprefix("error: ")

    def finish(self, state: str) -> None:
        """Tell it how the run ended, and wait until SwanLab has the rest or is given up; Ctrl-C gives it up at once."""
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
            last = one_line((self._said.strip() or "it has not said why").splitlines()[-1]).removeprefix("error: ")
            why = given_up or (f"ended by {signal.Signals(-code).name}" if code < 0 else last)
            say(
                f"SwanLab has not got all of this run ({why}); the experiment has lost nothing. "
                f"python -m harness.track {_quoted(self.run.path)} tracks it again."
            )

    def _rest(self, state: str) -> str:
        """What it says until it has ended. Raises TimeoutExpired where that takes too long."""
        try:
            return self._process.communicate(state + "\n", timeout=PATIENCE_SECONDS)[0]
        except subprocess.TimeoutExpired:
            say(f"SwanLab gets the rest; that may take {FINISH_SECONDS} s, and Ctrl-C does without.")
            return self._process.communicate(timeout=FINISH_SECONDS - PATIENCE_SECONDS)[0]


def _start(run: RunDir, held: int | None) -> Tracker | Untracked:
    mode = run.config.track.mode
    if mode == "disabled":
        return Untracked()
    if not _there("swanlab"):
        say(f"SwanLab is not installed, the run is not tracked: {EXTRA}, or track.mode=disabled.")
        return Untracked()
    identity = _identity(run)
    try:
        tracker = Tracker(run, held)
    except (OSError, subprocess.SubprocessError) as error:
        say(f"SwanLab cannot be started, the run is not tracked: {error}.")
        return Untracked()
    if mode != "online":
        say(_where(run, mode, identity))
        return tracker
    with working("start of SwanLab"):
        answer = tracker.first_line()
    say(answer or "SwanLab: no answer yet.")
    return tracker


def _identity(run: RunDir) -> str:
    """The id of the experiment's one SwanLab run, made once (the caller holds the run's lock)."""
    if "track" not in run.read_manifest():
        run.note("track", {"id": secrets.token_hex(8)})
    return run.read_manifest()["track"]["id"]


def _where(run: RunDir, mode: str, identity: str) -> str:
    if mode == "local":
        return f"SwanLab: swanlab watch {_quoted(run.tracked)}"
    return f"SwanLab: offline; swanlab sync {_quoted(run.tracked / f'run-{identity}')} puts it online."


def _quoted(path: Path) -> str:
    """A path as a shell takes it, on one line."""
    return one_line(shlex.quote(str(path)))


# --- the process that follows -------------------------------------------------------------------------------


def _follow(run: RunDir, mode: str, state: Callable[[], str | None], reader: Reader) -> None:
    """Show what the run has and gets until `state()` names how it ended, and then the rest."""
    identity = _identity(run)
    with hushed():  # it greets, and says from its threads what a person can do nothing about
        from harness import swanlab_run

        tracked = swanlab_run.SwanLabRun(run, mode, identity)
    ended = None
    try:
        say(f"SwanLab: {tracked.url}" if tracked.url else _where(run, mode, identity))
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


def _told() -> str | None:
    """What harness.run says about how the run ended, after a moment's wait; None while it goes on."""
    ready, _, _ = select.select([sys.stdin], [], [], POLL_SECONDS)
    return (sys.stdin.readline().strip() or "crashed") if ready else None


def main(argv: list[str] | None = None) -> int:
    parser = Parser("track", __doc__)
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("--mode", choices=MODES, help="default: the run's own track.mode")
    parser.add_argument("--follow", action="store_true", help="until told on standard input how the run ended")
    args = parser.parse(argv)
    run = rundir.existing(args.run)
    run = RunDir(run.path.resolve(), run.config)
    mode = args.mode or run.config.track.mode
    if mode == "disabled":
        raise HarnessError(f"{args.run}: track.mode is disabled; say --mode offline or --mode online")
    if not _there("swanlab"):
        raise HarnessError(f"SwanLab is not installed: {EXTRA}")
    _check_mode(mode)
    with rundir.lock(run.path):
        complete = "success" if run.report.exists() else "crashed"
        _follow(run, mode, _told if args.follow else lambda: complete, Reader(run, following=args.follow))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
