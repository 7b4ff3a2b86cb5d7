"""What a run's processes printed and did, line by line with UTC times: log.txt in the run directory.

Every stage appends to the same file: what it prints, its progress, warnings, and the error that ended it. It is for a
person to read; no number depends on it.
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
_ERROR = re.compile(r"\S+ [a-z0-9/ ]+ ERROR (.*)")  # not the word ERROR in a message
_INFO = re.compile(r"\S+ [a-z0-9/ ]+ INFO (.*)")
TAIL = 20_000  # bytes of a log in which its last message is looked for
_NAMED_SECRET = re.compile(r"(TOKEN|KEY|SECRET|PASSWORD|PASSWD)$", re.IGNORECASE)
# user:password in an address, and keys by the prefixes that their issuers give them
_LIKE_SECRETS = re.compile(
    r"(?<=://)[^/\s@]+(?=@)|\b(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}"
    r"|github_pat_\w{20,}|glpat-[\w-]{16,}|AKIA[0-9A-Z]{16}|xox[abprs]-[\w-]{10,}|AIza[\w-]{30,}"
    r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]+)"
)
SHORTEST = 8  # characters of a secret; hiding less would hide words


class _Lines(logging.Formatter):
    converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        text = without_secrets(super().format(record))
        return "\n".join(spelled_out(line) for line in text.splitlines() if line.strip())


def without_secrets(text: str) -> str:
    """The text with keys and passwords replaced: warnings and errors of libraries may quote an address or a header."""
    for name, value in os.environ.items():
        if names_secret(name) and len(value) >= SHORTEST:
            text = text.replace(value, "***")
    return _LIKE_SECRETS.sub("***", text)


def names_secret(variable: str) -> bool:
    """Whether an environment variable of this name holds a key or a password."""
    return bool(_NAMED_SECRET.search(variable))


class _File(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore the error: a full disk is reported by the first file that the run needs."""


def keep(folder: Path, stage: str) -> None:
    """From now on append this process's messages, warnings and errors to log.txt in `folder`, and to no other log.

    `stage` names the process in each line. Raises OSError if the file cannot be opened.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for handler in [each for each in LOG.handlers if isinstance(each, _File)]:
        LOG.removeHandler(handler)
        handler.close()
    # One write per line, so that the lines of two processes do not mix.
    handler = _File(folder / FILE, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(_Lines(f"%(asctime)s {stage} %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ"))
    LOG.addHandler(handler)
    warnings.showwarning = _noted


_shown = warnings.showwarning


def _noted(message, category, filename, lineno, file=None, line=None) -> None:
    LOG.warning("%s: %s (%s:%d)", category.__name__, message, filename, lineno)
    _shown(message, category, filename, lineno, file, line)


def size(folder: Path) -> int:
    """The size of a run's log in bytes; 0 if there is none."""
    return (folder / FILE).stat().st_size if (folder / FILE).exists() else 0


def last_error(folder: Path, since: int) -> str | None:
    """The last error in a run's log after its first `since` bytes, one line; None if there is none."""
    if not (folder / FILE).exists():
        return None
    with (folder / FILE).open("rb") as stream:
        stream.seek(since)
        lines = stream.read().decode("utf-8", "replace").splitlines()
    errors = [found[1] for line in lines if (found := _ERROR.match(line))]
    return errors[-1] if errors else None


def last_message(folder: Path) -> str:
    """The last line of a run's log that a process of it wrote, without time and stage; empty if there is none."""
    said = [found[1] for line in last_lines(folder) if (found := _INFO.match(line))]
    return said[-1] if said else ""


def last_lines(folder: Path) -> list[str]:
    """The whole lines among the last TAIL bytes of a run's log; none if it has no log."""
    if not (folder / FILE).exists():
        return []
    start = max(size(folder) - TAIL, 0)
    with (folder / FILE).open("rb") as stream:
        stream.seek(start)
        lines = stream.read().decode("utf-8", "replace").splitlines()
    return lines[1:] if start else lines


# Everything that is printed for the user goes through this logger too; keep() writes it to a file of the run.
LOG = logging.getLogger("harness")
LOG.addHandler(logging.NullHandler())
LOG.setLevel(logging.INFO)
LOG.propagate = False
