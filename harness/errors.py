"""Errors that a user can cause: one line that says what to do, exit code 2, never a traceback."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

# The stages of harness.run inherit its lock, and find its file named here.
LOCK_HELD = "HARNESS_LOCK_HELD"

# What the machine refuses, not what we did wrong.
_REFUSED = {
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG
}  # fmt: skip


class HarnessError(Exception):
    """Something the user can put right. The message is one line and names the remedy."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose refusals are HarnessErrors, and to which options and settings come in any order."""

    def error(self, message: str) -> NoReturn:
        raise HarnessError(f"{message}; see {self.prog} --help")

    def parse(self, argv: list[str] | None) -> argparse.Namespace:
        return self.parse_intermixed_args(argv)


def exit_code(main: Callable[[], int | None]) -> int:
    """Run a command's main function and turn what it raises into the exit code that the shell sees.

    0 on success, 2 with one line on stderr for a HarnessError or a full or closed disk, 130 for Ctrl-C. Anything
    else is a bug of ours and keeps its traceback.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return main() or 0
    except HarnessError as error:
        print(f"error: {_line(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if LOCK_HELD not in os.environ:  # a stage leaves the last word to the command that started it
            print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader (head, less) has gone: nothing to say, and nobody to say it to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        print(
            f"error: {error.filename or 'a file'}: {error.strerror}; make room or choose another place", file=sys.stderr
        )
        return 2


def _line(text: str) -> str:
    """One line that does nothing to a terminal: a path or a value in it may hold control characters."""
    return "".join(c if c.isprintable() else f"⟨U+{ord(c):04X}⟩" for c in " ".join(text.split()))
