"""Processes that must not outlive their parent: a stage must not outlive its run, nor its own processes the stage.

GPU memory stays allocated as long as a process that holds it lives. Linux only; elsewhere these functions do nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence

import psutil

from harness.util import startup
from harness.util.console import say, show_cursor
from harness.util.errors import BUSY
from harness.util.interrupts import COMMAND, STOPPED, Stopped, command

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # from <linux/prctl.h>
GRACE = 3  # seconds for processes that end by themselves, such as torch's compile workers
TRIES = 3  # of a process in whose way another program is
PAUSE = (1.0, 5.0)  # seconds between two of them, drawn at random
SECONDS = 10  # to wait for a killed process to end, and for one that was asked to end before it is killed


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, so that a killed run leaves no stage behind."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def tie() -> None:
    """Do the same if the process that started this one asked for it; end at once if that has died already.

    For a parent with threads, which must run no Python code in the child before its program.
    """
    if parent := os.environ.pop(startup.TIED_TO, None):
        die_with_parent()
        if os.getppid() != int(parent):
            os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of all descendants whose own parent dies, so that they can be found."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def run(arguments: Sequence[str], environment: Mapping[str, str], pass_fds: Sequence[int] = ()) -> int:
    """Run `python ARGUMENTS` as a process that does not outlive this one, and return its exit code (-n: by signal n).

    One that ends because another program is in its way for now is run again, TRIES times in all. If this process is
    asked to stop, it passes the signal on, waits until the other has ended (a second Ctrl-C kills it) and raises
    Stopped.
    """
    for number in range(1, TRIES + 1):
        if number > 1:
            time.sleep(random.uniform(*PAUSE))  # two that are in each other's way must not stay in step
            say(f"Once more, attempt {number} of {TRIES}.")
        if (code := _once(arguments, environment, pass_fds)) != BUSY:
            return code
    return 2


def _once(arguments: Sequence[str], environment: Mapping[str, str], pass_fds: Sequence[int]) -> int:
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env=dict(environment) | {COMMAND: command()},
        pass_fds=pass_fds,
        preexec_fn=die_with_parent,
    )
    try:
        return process.wait()
    except Stopped as stopped:
        _end(process, stopped.number)
        stopped.said = process.returncode in STOPPED
        raise


def run_whole(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """As run, for a command with processes of its own: those that it leaves are ended, and the cursor is shown."""
    adopt_orphans()
    try:
        return run(arguments, environment)
    finally:
        show_cursor()
        end_descendants()


def _end(process: subprocess.Popen, number: int) -> None:
    try:
        process.send_signal(number)
        process.wait(timeout=SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.wait()


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def descendants() -> set[psutil.Process]:
    """The processes that this one started, and those that they started."""
    return set(psutil.Process().children(recursive=True))


def end_descendants(spared: Collection[psutil.Process] = ()) -> list[str]:
    """Kill the descendants of this process that do not end by themselves, wait for them, and return their names."""
    _, left = psutil.wait_procs(descendants().difference(spared), timeout=GRACE)
    names = []
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            names.append(process.name())
            process.kill()
    psutil.wait_procs(left, timeout=SECONDS)
    return names


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value)
