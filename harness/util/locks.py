"""Who works on a folder: locks that processes on this machine, or on others over a shared file system, hold.

A command holds the lock of its folder alone; a process that it starts on this machine inherits the lock, which so lasts
as long as the longer-lived of the two. Processes that it starts elsewhere cannot inherit it: the command then shares
the lock with those that know its token, and each of these holds the lock of its own part of the work alone. No other
command gets the lock before the last of them has ended, and none of them begins after their command has ended and
another has taken over.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from harness.util.console import say
from harness.util.errors import HarnessError

HELD = "HARNESS_LOCK_HELD"  # the file of the lock that the command which started this process holds
TOKEN = "HARNESS_LOCK_TOKEN"  # what that file holds, if the lock is shared and not inherited
PART = "HARNESS_LOCK_PART"  # the name of this process's part of the work, then
NAME = ".lock"
PARTS = ".parts"  # the folder of the locks of parts of the work
COMMAND = "command"  # the part of the command that shares its lock
DYING = 0.5  # seconds: a killed command's stage dies a moment after it
DYING_ELSEWHERE = 60  # seconds, for a worker on another machine to notice and to take its stage along
UNABLE = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}  # how a file system says it


@contextlib.contextmanager
def lock(folder: Path, *, wait: bool = False) -> Iterator[int | None]:
    """Hold the folder's lock alone. If another process holds it: HarnessError, or with wait=True wait for it.

    Yields the lock's file descriptor, for a process to inherit; None in one that inherited it. In one that was started
    elsewhere under a shared lock, this shares the lock and holds that of its part of the work alone, waiting for an
    earlier attempt at it to end.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:  # as under /proc
        raise HarnessError(f"{folder}: cannot be made ({error.strerror}); choose another place") from None
    file = (folder / NAME).resolve()
    if os.environ.get(HELD) != str(file):
        with _held(file, folder, wait) as descriptor:
            yield descriptor
    elif TOKEN not in os.environ:
        yield None
    else:
        with _joined(file, os.environ[TOKEN]) as shared, _held(part_file(folder, os.environ[PART]), folder, True):
            yield shared


@contextlib.contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Hold the folder's lock alone, after whoever holds it, and only as long as this lasts, whatever it started."""
    with lock(folder, wait=True) as descriptor:
        try:
            yield
        finally:
            if descriptor is not None:
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # also where a forked process still has the file open


@contextlib.contextmanager
def shared(folder: Path, descriptor: int) -> Iterator[str]:
    """Share the folder's lock, held alone by this descriptor, with processes that know the token, which is yielded."""
    with _held(part_file(folder, COMMAND), folder, wait=True):
        # Not one step: another command may take the lock in between, and then this one has lost it.
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HarnessError(f"{folder}: another command has begun to work on it; wait for it or stop it") from None
        os.fsync(descriptor)  # other machines read the token while the file is open
        yield os.pread(descriptor, 1000, 0).decode()


@contextlib.contextmanager
def together(folder: Path) -> Iterator[None]:
    """Hold the folder's lock together with others that do so, waiting for one who holds it alone."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / NAME).open("a+") as stream:
        _flock(stream, fcntl.LOCK_SH, folder)
        yield


@contextlib.contextmanager
def at_once(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock alone if nobody else holds it; yields whether it is held."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / NAME).open("a+") as stream:
        yield _flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB, folder)


def is_locked(folder: Path) -> bool:
    """Whether a process holds the folder's lock now, alone or with others."""
    try:
        with (folder / NAME).open() as stream:
            alone = not _flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB, folder)
        return alone or holder(part_file(folder, COMMAND)) is not None or bool(parts(folder))
    except (OSError, HarnessError):  # never locked, or not for us to read
        return False


@contextlib.contextmanager
def briefly(folder: Path) -> Iterator[None]:
    """Hold a second lock of the folder alone, for the moment in which a file in it is read and replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".brief.lock").open("a+") as stream:
        _flock(stream, fcntl.LOCK_EX, folder)
        yield


def part_file(folder: Path, part: str) -> Path:
    """The lock file of a part of the work on a folder."""
    return folder / PARTS / f"{part.replace('/', ' of ')}.lock"


def holder(file: Path) -> str | None:
    """Who holds this lock alone, such as "pid 7 on node-2, GPU 1"; None if nobody does."""
    try:
        with file.open("r") as stream:
            if _flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB, file):
                return None
            return _named(stream.read())
    except FileNotFoundError:
        return None


def parts(folder: Path) -> dict[str, str]:
    """The parts of the work on a folder that are being done elsewhere, by name, each with who does it."""
    files = [file for file in sorted((folder / PARTS).glob("*.lock")) if file.stem != COMMAND]
    return {file.stem: who for file in files if (who := holder(file)) is not None}


@contextlib.contextmanager
def _held(file: Path, folder: Path, wait: bool) -> Iterator[int]:
    file.parent.mkdir(exist_ok=True)
    with file.open("a+") as stream:
        _acquire(stream, folder, wait)
        stream.truncate(0)
        stream.write(f"{_self()} {secrets.token_hex(8)}")
        stream.flush()
        yield stream.fileno()


@contextlib.contextmanager
def _joined(file: Path, token: str) -> Iterator[int]:
    """Share the lock of the command that gave the token. Raises HarnessError if it no longer has it."""
    with file.open("a+") as stream:
        there = _flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB, file.parent)
        stream.seek(0)
        if not there or stream.read() != token:
            raise HarnessError(f"{file.parent}: the command that started this stage is no longer working on it")
        yield stream.fileno()


def _acquire(stream: IO[str], folder: Path, wait: bool) -> None:
    if _within(DYING, stream, folder):
        return
    stream.seek(0)
    other = f"another process ({_named(stream.read()) or 'pid unknown'})"
    if wait:
        say(f"Waiting for {other}, which is working on {folder}.")
        _flock(stream, fcntl.LOCK_EX, folder)
        return
    if parts(folder) and holder(part_file(folder, COMMAND)) is None:
        say(f"Waiting for the stages of {other}, which has ended, to end too.")
        if _within(DYING_ELSEWHERE, stream, folder):
            return
    raise HarnessError(f"{folder}: {other} is working on this run; wait for it or stop it")


def _within(seconds: float, stream: IO[str], folder: Path) -> bool:
    """Lock alone as soon as that is possible; False if it is not within so many seconds."""
    deadline = time.monotonic() + seconds
    while not (there := _flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB, folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return there


def _flock(stream: IO[str], how: int, folder: Path) -> bool:
    """Lock; whether that was possible. Raises HarnessError where the file system has no locks."""
    try:
        fcntl.flock(stream, how)
        return True
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in UNABLE:
            raise
        raise HarnessError(
            f"{folder}: its file system cannot lock files ({error.strerror}), so that two processes could write there "
            f"at once; choose another place with --results"
        ) from None


def _self() -> str:
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES") if TOKEN in os.environ else None  # which of the node's
    return f"pid {os.getpid()} on {socket.gethostname()}" + f", GPU {gpu}" * bool(gpu)


def _named(content: str) -> str:
    return content.strip().rpartition(" ")[0]
