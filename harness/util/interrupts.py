"""Ctrl-C, SIGTERM and a closed terminal: noted once, raised as Stopped, and remembered until the command ends."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator

# What a person typed, for the processes that it starts: they name it when they are stopped.
COMMAND = "HARNESS_COMMAND"


class Stopped(KeyboardInterrupt):
    """Ctrl-C, or SIGTERM and the closing of the terminal, which ask for the same."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.since = time.monotonic()
        self.where = ""  # what it interrupted and how far that was
        self.said = False  # a stage has told the person already

    @property
    def exit_code(self) -> int:
        """130 for Ctrl-C, 143 for SIGTERM, 129 for a closed terminal, as a shell has it."""
        return 128 + self.number


asked: list[Stopped] = []  # since the command began
ONCE = 0.5  # seconds in which several signals ask for one stop: a terminal that closes sends its own, `timeout` two
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOPPED = tuple(128 + number for number in SIGNALS)  # the exit codes of a process that has told where it stopped


def command() -> str:
    """The command that a person typed, quoted for a shell; in a stage the one that started it all."""
    return os.environ.get(COMMAND) or shlex.join(sys.orig_argv)


def interruption() -> Stopped | None:
    """What asked this command to stop, if anything did; the exception that ends it may be another that came of it."""
    return asked[0] if asked else None


def heed_interruption() -> None:
    """Raise again what asked this command to stop, for where a library passed over the exception and went on."""
    if stopped := interruption():
        raise stopped


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """While heavy libraries are imported, which takes seconds, Ctrl-C just ends the process.

    What Python raises instead would be met by C code in the middle of its initialization.
    """
    ours = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)


def silence(descriptor: int) -> None:
    """Drop what is still written to a descriptor that takes no more."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)


def stop(number: int, frame: object) -> None:
    if number == signal.SIGHUP:
        for descriptor in (1, 2):
            with contextlib.suppress(OSError):  # it may have been closed from the start
                if stat.S_ISCHR(os.fstat(descriptor).st_mode):  # the terminal: writing to it is an error from now on
                    silence(descriptor)
    if asked and time.monotonic() - asked[0].since < ONCE:
        return
    if COMMAND in os.environ:
        # A terminal's Ctrl-C comes to every process, and from the one that started this one once more.
        answer_with(signal.SIG_IGN)
    asked.append(Stopped(number))
    raise asked[-1]


def answer_with(handler: signal.Handlers | Callable[[int, object], None]) -> None:
    for number in SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup: the terminal may close
            signal.signal(number, handler)
