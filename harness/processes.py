"""Processes that must not outlive what started them: a stage its run, and what a stage started the stage.

A GPU's memory stays taken as long as any process lives that holds it. Linux only; elsewhere these do nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys

import psutil

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # of <linux/prctl.h>
GRACE = 3  # seconds for those that end by themselves, as torch's compile workers do
SECONDS = 10  # that a killed process may take to go


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, so that a killed run leaves no stage behind."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of all descendants whose own parent dies, so that they can be found."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_descendants() -> list[str]:
    """Kill the descendants of this process that do not end by themselves, wait for them, and return their names."""
    _, left = psutil.wait_procs(psutil.Process().children(recursive=True), timeout=GRACE)
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
