"""Ctrl-C, SIGTERM and a closed terminal: raised once as Stopped, and remembered until the command ends."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator

# The command that the user typed, for the processes that it starts: they print it when they are stopped.
COMMAND = "HARNESS_COMMAND"


class Stopped(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or a closed terminal: all three ask the command to stop."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.since = time.monotonic()
        self.where = ""  # what was interrupted and how far it was
        self.said = False  # whether a stage has already printed that it stopped

    @property
    def exit_code(self) -> int:
        """130 for Ctrl-C, 143 for SIGTERM, 129 for a closed terminal, as a shell has it."""
        return 128 + self.number


asked: list[Stopped] = []  # since the command began
ONCE = 0.5  # seconds in which several signals count as one: a closing terminal and `timeout` send more than one
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOPPED = tuple(128 + number for number in SIGNALS)  # the exit codes of a process that has said where it stopped


def command() -> str:
    """The command that the user typed, quoted for a shell; in a stage, the command that started the run."""
    return os.environ.get(COMMAND) or shlex.join(sys.orig_argv)


def interruption() -> Stopped | None:
    """What asked this command to stop, or None. The command may end by another exception that this one caused."""
    return asked[0] if asked else None


def heed_interruption() -> None:
    """Raise Stopped again if this command was asked to stop: a library may have swallowed the exception."""
    if stopped := interruption():
        raise stopped


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """While heavy libraries are imported, which takes seconds, Ctrl-C ends the process at once.

    An exception would otherwise reach C code in the middle of its initialization.
    """
    ours = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)


def silence(descriptor: int) -> None:
    """Send what is still written to a closed descriptor to /dev/null."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)


def stop(number: int, frame: object) -> None:
    if number == signal.SIGHUP:
        for descriptor in (1, 2):
            with contextlib.suppress(OSError):  # it may be closed
                if stat.S_ISCHR(os.fstat(descriptor).st_mode):  # the terminal: writing to it is an error from now on
                    silence(descriptor)
    if asked and time.monotonic() - asked[0].since < ONCE:
        return
    if COMMAND in os.environ:
        # Ctrl-C in a terminal reaches every process, and the parent process passes it on as well.
        answer_with(signal.SIG_IGN)
    asked.append(Stopped(number))
    raise asked[-1]


def answer_with(handler: signal.Handlers | Callable[[int, object], None]) -> None:
    for number in SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup: the terminal may close
            signal.signal(number, handler)
