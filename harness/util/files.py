"""Complete files (written to a temporary file, then renamed), and logs that survive a kill."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.util.errors import HarnessError

SYNC_SECONDS = 1.0  # between two fsyncs while a log is appended to


# --- complete files ---------------------------------------------------------------------------------------


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file atomically: after a kill at any moment it has the old content or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with _named(path), part.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    put(part, path)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file in an OSError of a write, which Python leaves without a name."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def put(part: Path, path: Path) -> None:
    """Give a file or a folder that is on the disk its name, so that the name is on the disk too."""
    part.replace(path)
    _sync(path.parent)


def sync(path: Path) -> None:
    """Return when a file, or a folder with all that is in it, is on the disk."""
    for inside in [*path.rglob("*"), path] if path.is_dir() else [path]:
        _sync(inside)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, content: str) -> None:
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys: equal values are equal bytes. ValueError for NaN, which is not JSON."""
    write_text(path, as_json(value))


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise HarnessError(f"{path}: missing; run the experiment again to make it") from None
    except OSError as error:
        raise HarnessError(f"{path}: cannot be read ({error.strerror}); move it away and run again") from None
    except ValueError as error:
        raise HarnessError(f"{path}: not JSON ({error}); delete it and run again") from None


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """Replace a log by these rows, atomically."""
    write_text(path, _as_lines(rows))


@contextmanager
def appending(path: Path) -> Iterator[Callable[[list[dict[str, Any]]], None]]:
    """Open a log for appending, after removing a torn last line; yields append(rows), one JSON line per row.

    What append() was given survives the death of this process at once. It is synced to the disk (and survives a power
    cut) at the end and by the first call after SYNC_SECONDS: a sync at every call would slow a GPU down.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _drop_torn_line(path)
    stream = path.open("a", encoding="utf-8")
    synced = time.monotonic()

    def append(rows: list[dict[str, Any]]) -> None:
        nonlocal synced
        with _named(path):
            stream.write(_as_lines(rows))
            stream.flush()
            if time.monotonic() - synced > SYNC_SECONDS:
                os.fsync(stream.fileno())
                synced = time.monotonic()

    try:
        yield append
    finally:
        with _named(path), stream:
            os.fsync(stream.fileno())


def append_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """Append one JSON line per row and return when they are on the disk."""
    with appending(path) as append:
        append(rows)


def _drop_torn_line(path: Path) -> None:
    """Cut a log after its last newline: what follows is an unfinished line."""
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("rb+") as stream:
        stream.seek(-1, os.SEEK_END)
        if stream.read() != b"\n":
            stream.seek(0)
            stream.truncate(stream.read().rfind(b"\n") + 1)


def _as_lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


def whole_lines(path: Path, after: int = 0) -> list[bytes]:
    """The lines of an append-only log without its first `after`; a torn last line is skipped."""
    return path.read_bytes().split(b"\n")[after:-1] if path.exists() else []


def read_lines(path: Path, after: int = 0) -> list[dict[str, Any]]:
    """The JSON objects in the lines that whole_lines returns. Raises HarnessError for a line that is not JSON."""
    rows = []
    for number, line in enumerate(whole_lines(path, after), after + 1):
        try:
            rows.append(json.loads(line))
        except ValueError:
            raise HarnessError(f"{path} line {number}: not JSON; delete the file and run again") from None
    return rows


def file_hash(file: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    # The hub's cache links each large file to a blob named by its SHA-256, so the file need not be read.
    target = file.resolve()
    if target.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", target.name):
        return target.name
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def text_hash(text: str) -> str:
    """SHA-256, in hex, of a text as UTF-8: that of a file that holds it."""
    return hashlib.sha256(text.encode()).hexdigest()
