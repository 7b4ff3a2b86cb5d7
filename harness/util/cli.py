"""How a command begins and ends: its arguments, and one line with exit code 2 for errors that a user can fix."""

from __future__ import annotations

import argparse
import contextlib
import errno
import itertools
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from harness.util import interrupts, startup
from harness.util.errors import BUSY, BusyError, HarnessError, in_short
from harness.util.interrupts import COMMAND, Stopped
from harness.util.logs import LOG
from harness.util.text import did_you_mean, spelled_out

# Set by a command that keeps no partial work: when it or a process it started is stopped, the message does not say
# that the command resumes.
STARTS_OVER = "HARNESS_STARTS_OVER"

# Set by the shell that asks for completions: which word of its line is the program.
COMPLETING = "_ARGCOMPLETE"

# Errors of the machine, not bugs of ours, and what to do.
_REFUSED = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room or choose another place"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it writable, or choose or copy to another place"),
    **dict.fromkeys(
        (errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENOTEMPTY, errno.EEXIST, errno.ENAMETOOLONG),
        "choose another place",
    ),
}


# Words by which safetensors and torch report a full disk.
_NO_ROOM = ("No space left on device", "os error 28", "unexpected pos ", "iostream error")


class Parser(argparse.ArgumentParser):
    """The arguments of `python -m harness.NAME`: errors are HarnessErrors, options and settings come in any order.

    Its help is the module's docstring with its examples.
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
        if COMPLETING in os.environ:
            import argcomplete

            argcomplete.autocomplete(self)  # answers the shell, and ends the process
        given = sys.argv[1:] if argv is None else argv
        self._check_options(given)
        return self.parse_intermixed_args(given)

    def _check_options(self, given: Sequence[str]) -> None:
        """Raise HarnessError for an unknown option: argparse would first miss an argument, and names no near one."""
        known = list(self._option_string_actions)
        for word in itertools.takewhile(lambda word: word != "--", given):
            name = word.partition("=")[0]
            # A question may begin with a dash; options may be shortened.
            if not name.startswith("--") or " " in name or any(option.startswith(name) for option in known):
                continue
            hint = did_you_mean(name, known) or f"see {self.prog} --help"
            if "." in name and any(action.dest == "overrides" for action in self._actions):
                hint = f"a setting is given as {name[2:]}=VALUE"
            raise HarnessError(f"{name}: no such option; {hint}")


def exit_code(main: Callable[[], int | None]) -> int:
    """Run a command's main function and turn what it raises into the exit code that the shell sees.

    0 on success, 2 with one line on stderr for a HarnessError, a disk that is full or not writable, or a package that
    is not installed. 130 for Ctrl-C, 143 for SIGTERM and 129 for a closed terminal, with a line that says how to
    resume. Anything else is a bug of ours and keeps its traceback.
    """
    if startup.TIED_TO in os.environ:
        from harness.util import processes  # not at the top: it takes a tenth of a second

        processes.tie()
    startup.prepare()
    startup.one_command = True
    interrupts.asked.clear()
    interrupts.answer_with(interrupts.stop)
    try:
        return _told(main() or 0)
    except KeyboardInterrupt as error:  # a library may raise its own in place of ours
        if stopped := interrupts.interruption() or (error if isinstance(error, Stopped) else None):
            return _report_stop(stopped)
        raise
    except Exception as error:
        if stopped := interrupts.interruption():  # Ctrl-C also reaches an engine's processes, which then fail
            return _report_stop(stopped)
        if (code := _report_error(error)) is None:
            LOG.exception(_line(f"{type(error).__name__}: {error}"))
            raise
        return _told(code)
    finally:
        startup.one_command = False


def _told(code: int) -> int:
    """BUSY is for a command that has started this one, and runs it again."""
    return 2 if code == BUSY and COMMAND not in os.environ else code


def _report_stop(stopped: Stopped) -> int:
    interrupts.answer_with(signal.SIG_IGN if COMMAND in os.environ else signal.SIG_DFL)
    if not stopped.said:
        where = f" in the {stopped.where}" if stopped.where else ""
        line = _line(f"Stopped{where}. {_how_to_resume()}")
        LOG.info(line)
        _print_to_stderr(line)
    return stopped.exit_code


def _how_to_resume() -> str:
    return f"The same command {'starts over' if STARTS_OVER in os.environ else 'resumes'}: {interrupts.command()}"


def _report_error(error: Exception) -> int | None:
    """Report an error that is not a bug of ours and return its exit code; None, and no report, for any other."""
    if isinstance(error, HarnessError):
        code = _print_error(str(error))
        return BUSY if isinstance(error, BusyError) else code
    if isinstance(error, BrokenPipeError) and _output_is_closed():  # head and less end before us: only the log says so
        LOG.error(_line(f"Stopped: the output is no longer read. {_how_to_resume()}"))
        interrupts.silence(1)
        return 1
    if isinstance(error, OSError) and error.errno in _REFUSED:
        file = error.filename2 or error.filename or "a file"  # of two, the one that was to be written
        return _print_error(f"{file}: {error.strerror}; {_REFUSED[error.errno]}")
    if isinstance(error, ModuleNotFoundError) and (package := _package(error)):
        LOG.exception(_line(f"{type(error).__name__}: {error}"))
        return _print_error(
            f"the Python package {package} is not installed for {sys.executable}; activate the environment with "
            f"source .venv/bin/activate, or make it with make install"
        )
    # safetensors and torch have errors of their own for a full disk, which do not name the file.
    is_theirs = isinstance(error, RuntimeError) or type(error).__name__ == "SafetensorError"
    if is_theirs and any(words in str(error) for words in _NO_ROOM):
        LOG.exception(_line(f"{type(error).__name__}: {error}"))
        return _print_error(f"the disk is full ({in_short(error)}); make room or choose another place")
    return None


def _package(error: ModuleNotFoundError) -> str:
    """The package of others that was not found; empty if a module of ours was, which is a bug of ours."""
    package = (error.name or "").partition(".")[0]
    return "" if package == "harness" else package


def _output_is_closed() -> bool:
    """Whether standard output is the pipe that broke, and not a pipe to one of an engine's processes."""
    output = select.poll()
    output.register(1, 0)
    return any(found & select.POLLERR for _, found in output.poll(0))


def _print_error(message: str) -> int:
    line = _line(message)
    LOG.error(line)
    _print_to_stderr(f"error: {line}")
    return 2


def _print_to_stderr(line: str) -> None:
    with contextlib.suppress(OSError):  # stderr is closed
        print(line, file=sys.stderr, flush=True)


def _line(text: str) -> str:
    """The text on one line, control characters spelled out: a path or a value in it may hold some."""
    return spelled_out(" ".join(text.split()))
