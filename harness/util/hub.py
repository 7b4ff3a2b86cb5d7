"""Whether the hub can be reached, found out in seconds: its library tries for half a minute."""

from __future__ import annotations

import os
import socket
import sys
from functools import cache
from urllib.parse import urlsplit
from urllib.request import getproxies

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
PATIENCE = 5.0  # seconds for its server to accept a connection


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
