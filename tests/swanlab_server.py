"""A stand-in for SwanLab's server, as far as its client needs it: it stores what it is sent, and recognises its runs.

What is answered follows swanlab 0.10.3's own client (swanlab/sdk/internal/core_python/api).
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "a-key-that-must-be-stored-nowhere"


class Server(ThreadingHTTPServer):
    """Serves on a free port of this machine from the start until closed."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.runs: dict[str, list[str]] = {}  # by id: the states that it ended in
        self.scalars: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)  # step and value, by key
        self.media: defaultdict[str, list[int]] = defaultdict(list)  # steps, by key
        self.files: dict[str, bytes] = {}
        self.profile: dict = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Ends its thread first, which would otherwise poll a closed socket without a pause."""
        self.shutdown()
        self.server_close()

    def environment(self) -> dict[str, str]:
        return {"SWANLAB_API_KEY": KEY, "SWANLAB_API_HOST": self.url, "SWANLAB_WEB_HOST": self.url}

    def handle_error(self, request, client_address):
        """A client that was killed resets its connection: nothing to say."""

    def summary(self) -> dict:
        return {
            "scalar": [{"key": key, "step": max(rows)[0]} for key, rows in self.scalars.items()],
            "media": [{"key": key, "step": max(steps)} for key, steps in self.media.items()],
        }


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if "/summaries/" in self.path:
            self._answer(self.server.summary())
        else:  # a project
            path = self.path.removeprefix("/api/project")
            owner = {"username": "me"}
            self._answer(
                {"cuid": "p", "name": path.split("/")[2], "path": path, "group": owner, "_count": {"experiments": 0}}
            )

    def do_POST(self):
        body = self._body()
        if self.path.endswith("/login/api_key"):
            known = self.headers["authorization"] == KEY
            expires = "2099-01-01T00:00:00.000Z"
            self._answer({"sid": "s", "expiredAt": expires, "userInfo": {"username": "me"}}, 200 if known else 401)
        elif self.path.endswith("/experiment"):
            sent = json.loads(body)
            status = 200 if sent["cuid"] in self.server.runs else 201
            self.server.runs.setdefault(sent["cuid"], [])
            self._answer({"cuid": sent["cuid"], "name": sent["name"], "createdAt": "2026-01-01T00:00:00.000Z"}, status)
        elif self.path.endswith("/house/metrics"):
            sent = json.loads(body)
            for row in sent["metrics"]:
                if sent["type"] == "scalar":
                    self.server.scalars[row["key"]].append((row["index"], row["data"]))
                elif sent["type"] == "media":
                    self.server.media[row["key"]].append(row["index"])
            self._answer({})
        elif self.path.endswith("/presigned/put"):
            self._answer({"urls": [f"{self.server.url}/files/{path}" for path in json.loads(body)["paths"]]})
        else:
            self._answer({})

    def do_PUT(self):
        body = self._body()
        if self.path.endswith("/profile"):
            self.server.profile |= json.loads(body)
        elif self.path.endswith("/state"):
            self.server.runs[self.path.split("/")[-2]].append(json.loads(body)["state"])
        else:
            self.server.files[self.path] = body
        self._answer({})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, content: dict, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass
