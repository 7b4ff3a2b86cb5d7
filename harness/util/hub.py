"""Whether a name is one of the hub's, and whether the hub can be reached: in seconds, where its library takes 30."""

from __future__ import annotations

import os
import socket
import sys
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
PATIENCE = 5.0  # seconds for its server to accept a connection


def meant_as_path(name: str) -> str | None:
    """For a name that is not a file or folder here: why it was meant as one, and not as a hub id; None if it was not.

    The reason says what to do, as the end of a sentence.
    """
    folder = Path(name).parent
    if name.startswith("~"):
        return "~ is not expanded in a setting: write the whole path"
    if name.startswith((".", "/")) or name.count("/") > 1 or name.endswith("/"):
        return f"a path is relative to the working directory, {Path.cwd()}"
    if folder != Path() and folder.is_dir():
        return f"it is not looked for on the hub, because there is a folder {folder} in {Path.cwd()}"
    return None


@cache
def unreachable() -> str | None:
    """Why the hub cannot be asked, as part of a sentence; None if it can be, or if only its library can tell (a proxy).

    If it cannot be, its library is told to look only into its cache, here and in the processes that this one starts.
    """
    if switched_off := [name for name in OFFLINE if os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE")]:
        return f"{switched_off[0]} is set"
    server = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    if getproxies():
        return None
    try:
        socket.create_connection(
            (server.hostname, server.port or (80 if server.scheme == "http" else 443)), PATIENCE
        ).close()
    except OSError as error:
        os.environ[OFFLINE[0]] = "1"
        if loaded := sys.modules.get("huggingface_hub.constants"):  # it has read the variable already
            loaded.HF_HUB_OFFLINE = True
        return f"{server.hostname} cannot be reached: {error.strerror or error}"
    return None
