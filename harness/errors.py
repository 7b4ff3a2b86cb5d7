"""How a command ends: errors that a user can cause (one line, exit code 2, no traceback), Ctrl-C, and the log of it."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

# The stages of harness.run inherit its lock, and find its file named here.
LOCK_HELD = "HARNESS_LOCK_HELD"
# What a person typed, for the processes that it starts: they name it when they are stopped.
COMMAND = "HARNESS_COMMAND"

# Everything that is said to a person goes through here too; harness.log keeps it in a file of the run.
LOG = logging.getLogger("harness")
LOG.addHandler(logging.NullHandler())
LOG.setLevel(logging.INFO)
LOG.propagate = False

# What the machine refuses, not what we did wrong.
_REFUSED = {
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG
}  # fmt: skip


class HarnessError(Exception):
    """Something the user can put right. The message is one line and names the remedy."""


class Stopped(KeyboardInterrupt):
    """Ctrl-C, or SIGTERM, which asks for the same."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.where = ""  # what it interrupted and how far that was
        self.said = False  # a stage has told the person already

    @property
    def exit_code(self) -> int:
        """130 for Ctrl-C, 143 for SIGTERM, as a shell has it."""
        return 128 + self.number


_asked: list[Stopped] = []  # since the command began
SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOPPED = tuple(128 + number for number in SIGNALS)  # the exit codes of a process that has told where it stopped


class Parser(argparse.ArgumentParser):
    """An argument parser whose refusals are HarnessErrors, and to which options and settings come in any order."""

    def error(self, message: str) -> NoReturn:
        raise HarnessError(f"{message}; see {self.prog} --help")

    def parse(self, argv: list[str] | None) -> argparse.Namespace:
        return self.parse_intermixed_args(argv)


def command() -> str:
    """The command that a person typed, quoted for a shell; in a stage the one that started it all."""
    return os.environ.get(COMMAND) or shlex.join(sys.orig_argv)


def exit_code(main: Callable[[], int | None]) -> int:
    """Run a command's main function and turn what it raises into the exit code that the shell sees.

    0 on success, 2 with one line on stderr for a HarnessError or a full or closed disk, 130 for Ctrl-C and 143 for
    SIGTERM with a line that says how to go on. Anything else is a bug of ours and keeps its traceback.
    """
    _asked.clear()
    _answer_with(_stop)
    try:
        return main() or 0
    except Stopped as stopped:
        return _told(interruption() or stopped)
    except Exception as error:
        if stopped := interruption():  # an engine whose own processes heard Ctrl-C too ends in its own way
            return _told(stopped)
        if (code := _answered(error)) is None:
            LOG.exception(_line(f"{type(error).__name__}: {error}"))
            raise
        return code


def interruption() -> Stopped | None:
    """What asked this command to stop, if anything did; the exception that ends it may be another that came of it."""
    return _asked[0] if _asked else None


def _told(stopped: Stopped) -> int:
    _answer_with(signal.SIG_IGN if COMMAND in os.environ else signal.SIG_DFL)
    if not stopped.said:
        where = f" in the {stopped.where}" if stopped.where else ""
        line = _line(f"Stopped{where}. The same command goes on: {command()}")
        LOG.info(line)
        print(line, file=sys.stderr)
    return stopped.exit_code


def _answered(error: Exception) -> int | None:
    """The exit code for an error that is no bug of ours, once it has been told; None for any other."""
    if isinstance(error, HarnessError):
        return _refused(str(error))
    if isinstance(error, BrokenPipeError):  # the reader (head, less) has gone: nothing to say, and nobody to say it to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if isinstance(error, OSError) and error.errno in _REFUSED:
        return _refused(f"{error.filename or 'a file'}: {error.strerror}; make room or choose another place")
    return None


def _stop(number: int, frame: object) -> None:
    if COMMAND in os.environ:
        # A terminal's Ctrl-C comes to every process, and from the one that started this one once more.
        _answer_with(signal.SIG_IGN)
    _asked.append(Stopped(number))
    raise _asked[-1]


def _answer_with(handler: signal.Handlers | Callable[[int, object], None]) -> None:
    for number in SIGNALS:
        signal.signal(number, handler)


def _refused(message: str) -> int:
    line = _line(message)
    LOG.error(line)
    print(f"error: {line}", file=sys.stderr)
    return 2


def _line(text: str) -> str:
    """One line that does nothing to a terminal: a path or a value in it may hold control characters."""
    return spelled_out(" ".join(text.split()))


def spelled_out(text: str) -> str:
    """A line whose control characters are named instead of acting."""
    return "".join(c if c.isprintable() else f"⟨U+{ord(c):04X}⟩" for c in text)
