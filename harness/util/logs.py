"""What a run's processes said and did, line by line with UTC times: log.txt in the run directory.

Every stage appends to the same file: what it prints, how far long work has come, warnings, and what it died of. It is
for a person to read; no number depends on it.
"""

from __future__ import annotations

import logging
import os
import re
import time
import warnings
from pathlib import Path

from harness.util.text import spelled_out

FILE = "log.txt"
_ERROR = re.compile(r"\S+ [a-z ]+ ERROR (.*)")  # what was said may hold the word too
_NAMED_SECRET = re.compile(r"(TOKEN|KEY|SECRET|PASSWORD|PASSWD)$", re.IGNORECASE)
_IN_URL = re.compile(r"(?<=://)[^/\s@]+(?=@)")  # user:password
SHORTEST = 8  # characters of a secret; hiding less would hide words


class _Lines(logging.Formatter):
    converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        text = _without_secrets(super().format(record))
        return "\n".join(spelled_out(line) for line in text.splitlines() if line.strip())


def _without_secrets(text: str) -> str:
    """What libraries warn of and fail with may quote an address or a header: without keys and passwords."""
    for name, value in os.environ.items():
        if _NAMED_SECRET.search(name) and len(value) >= SHORTEST:
            text = text.replace(value, "***")
    return _IN_URL.sub("***", text)


class _File(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """Say nothing: a full disk is told, in a line, by the first file that the run cannot do without."""


def keep(folder: Path, stage: str) -> None:
    """From now on add what this process says, warns and dies of to log.txt in `folder`, and to no other log.

    `stage` names the process in each line. Raises OSError where the file cannot be opened.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for handler in [each for each in LOG.handlers if isinstance(each, _File)]:
        LOG.removeHandler(handler)
        handler.close()
    # Lines are appended one write each: those of two processes do not mix.
    handler = _File(folder / FILE, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(_Lines(f"%(asctime)s {stage} %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ"))
    LOG.addHandler(handler)
    warnings.showwarning = _noted


_shown = warnings.showwarning


def _noted(message, category, filename, lineno, file=None, line=None) -> None:
    LOG.warning("%s: %s (%s:%d)", category.__name__, message, filename, lineno)
    _shown(message, category, filename, lineno, file, line)


def size(folder: Path) -> int:
    """How long a run's log is, in bytes; 0 where there is none."""
    return (folder / FILE).stat().st_size if (folder / FILE).exists() else 0


def last_error(folder: Path, since: int) -> str | None:
    """The last error that a run's log has after its first `since` bytes, one line; None where there is none."""
    if not (folder / FILE).exists():
        return None
    with (folder / FILE).open("rb") as stream:
        stream.seek(since)
        lines = stream.read().decode("utf-8", "replace").splitlines()
    errors = [found[1] for line in lines if (found := _ERROR.match(line))]
    return errors[-1] if errors else None


# Everything that is said to a person goes through here too; logs.keep() keeps it in a file of the run.
LOG = logging.getLogger("harness")
LOG.addHandler(logging.NullHandler())
LOG.setLevel(logging.INFO)
LOG.propagate = False
