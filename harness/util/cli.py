"""How a command begins and ends: its arguments, and one line with exit code 2 for what a user can put right."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import select
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from harness.util import interrupts, startup
from harness.util.errors import HarnessError, in_short
from harness.util.interrupts import COMMAND, Stopped
from harness.util.logs import LOG
from harness.util.text import spelled_out

# Set by a command that keeps nothing of what it was stopped in: it and what it starts promise no going on.
ANEW = "HARNESS_ANEW"

# What the machine refuses, not what we did wrong.
_REFUSED = {
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG
}  # fmt: skip


# How safetensors and torch say that the disk is full.
_NO_ROOM = ("No space left on device", "os error 28", "unexpected pos ")


class Parser(argparse.ArgumentParser):
    """The arguments of `python -m harness.NAME`: refusals are HarnessErrors, options and settings come in any order.

    Its help is the module's docstring, whose examples teach the command.
    """

    def __init__(self, name: str, doc: str, prog: str | None = None) -> None:
        first, _, rest = doc.partition("\n\n")
        super().__init__(
            prog=prog or f"python -m harness.{name}",
            description=first,
            epilog=f"examples:\n{rest}" if rest.startswith("    ") else rest,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        raise HarnessError(f"{message}; see {self.prog} --help")

    def parse(self, argv: list[str] | None) -> argparse.Namespace:
        return self.parse_intermixed_args(argv)


def exit_code(main: Callable[[], int | None]) -> int:
    """Run a command's main function and turn what it raises into the exit code that the shell sees.

    0 on success, 2 with one line on stderr for a HarnessError or a full or closed disk, 130 for Ctrl-C, 143 for
    SIGTERM and 129 for a closed terminal with a line that says how to go on. Anything else is a bug of ours and keeps
    its traceback.
    """
    startup.prepare()
    interrupts.asked.clear()
    interrupts.answer_with(interrupts.stop)
    try:
        return main() or 0
    except Stopped as stopped:
        return _told(interrupts.interruption() or stopped)
    except Exception as error:
        if stopped := interrupts.interruption():  # an engine whose own processes heard Ctrl-C too ends in its own way
            return _told(stopped)
        if (code := _answered(error)) is None:
            LOG.exception(_line(f"{type(error).__name__}: {error}"))
            raise
        return code


def _told(stopped: Stopped) -> int:
    interrupts.answer_with(signal.SIG_IGN if COMMAND in os.environ else signal.SIG_DFL)
    if not stopped.said:
        where = f" in the {stopped.where}" if stopped.where else ""
        line = _line(f"Stopped{where}. {_again()}")
        LOG.info(line)
        _tell(line)
    return stopped.exit_code


def _again() -> str:
    return f"The same command {'begins anew' if ANEW in os.environ else 'goes on'}: {interrupts.command()}"


def _answered(error: Exception) -> int | None:
    """The exit code for an error that is no bug of ours, once it has been told; None for any other."""
    if isinstance(error, HarnessError):
        return _refused(str(error))
    if isinstance(error, BrokenPipeError) and _nobody_reads():  # head and less end before us: told to the log alone
        LOG.error(_line(f"Stopped: nobody reads the output any more. {_again()}"))
        interrupts.silence(1)
        return 1
    if isinstance(error, OSError) and error.errno in _REFUSED:
        return _refused(f"{error.filename or 'a file'}: {error.strerror}; make room or choose another place")
    # safetensors and torch have errors of their own for a full disk, which do not name the file.
    is_theirs = isinstance(error, RuntimeError) or type(error).__name__ == "SafetensorError"
    if is_theirs and any(words in str(error) for words in _NO_ROOM):
        LOG.exception(_line(f"{type(error).__name__}: {error}"))
        return _refused(f"the disk is full ({in_short(error)}); make room or choose another place")
    return None


def _nobody_reads() -> bool:
    """Whether standard output is the pipe that broke; another one may have, of an engine's own processes."""
    output = select.poll()
    output.register(1, 0)
    return any(found & select.POLLERR for _, found in output.poll(0))


def _refused(message: str) -> int:
    line = _line(message)
    LOG.error(line)
    _tell(f"error: {line}")
    return 2


def _tell(line: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads it
        print(line, file=sys.stderr, flush=True)


def _line(text: str) -> str:
    """One line that does nothing to a terminal: a path or a value in it may hold control characters."""
    return spelled_out(" ".join(text.split()))
