"""A run's page on this machine's loopback: the report, or until it is there, how far the run is."""

from __future__ import annotations

import contextlib
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit

from harness.report import html
from harness.report.sections import training
from harness.report.summary import Identity
from harness.report.wording import trained_parts
from harness.runs.directory import RunDir
from harness.util import logs
from harness.util.errors import HarnessError
from harness.util.text import one_line, quoted
from harness.watch import progress

ADDRESS = "127.0.0.1"
LINES = 8  # of the log that are shown
REFRESH = 5  # seconds after which a browser asks again for the page of a run that is not complete
PAGE = "text/html; charset=utf-8"
# What is served beside the page: nothing else in the directory, and nothing outside it.
FILES = {
    "/report.md": "text/markdown; charset=utf-8", "/summary.json": "application/json",
    "/config.yaml": "text/plain; charset=utf-8", "/log.txt": "text/plain; charset=utf-8",
}  # fmt: skip


class Server(ThreadingHTTPServer):
    """Serves one run. Raises HarnessError if the port cannot be used."""

    daemon_threads = True

    def __init__(self, run: RunDir, port: int) -> None:
        """port: 0 for any that is free."""
        self.run = run
        try:
            super().__init__((ADDRESS, port), _Handler)
        except (OSError, OverflowError) as error:
            raise HarnessError(f"--port: {port} cannot be used ({error}); give another, or none") from None

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: Server
    # Only a page that was opened under these names may read: another site's could have its own name point here.
    NAMES: ClassVar = (ADDRESS, "localhost")

    def do_GET(self) -> None:
        if self.headers.get("Host", "").partition(":")[0] not in self.NAMES:
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        path = urlsplit(self.path).path
        run = self.server.run
        if path in ("/", "/report.html"):
            stands = _now(run)
            done = not isinstance(stands, str) and stands.state == "complete" and run.page.is_file()
            self._send(run.page.read_bytes() if done else _page(run, stands).encode(), PAGE, refresh=not done)
        elif path in FILES and (file := run.path / path[1:]).is_file() and not file.is_symlink():
            self._send(file.read_bytes(), FILES[path])
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _send(self, content: bytes, kind: str, *, refresh: bool = False) -> None:
        self.send_response(HTTPStatus.OK)
        headers = {
            "Content-Type": kind, "Content-Length": str(len(content)), "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }  # fmt: skip
        for name, value in (headers | ({"Refresh": str(REFRESH)} if refresh else {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: the terminal has the address, and no line for each request."""


def _now(run: RunDir) -> progress.Progress | str:
    """Where the run stands, or what is wrong with its files."""
    try:
        return progress.of(run)
    except HarnessError as error:
        return one_line(str(error))


def _claim(stands: progress.Progress | str) -> str:
    if isinstance(stands, str):
        return stands
    return "Complete, without a page" if stands.state == "complete" else f"{stands.state.capitalize()}: {stands.stage}"


def _trained(run: RunDir) -> str:
    """What the run trains; empty if its files do not tell."""
    with contextlib.suppress(HarnessError):
        return "; ".join(trained_parts(Identity.of(run))) + "."
    return ""


def _page(run: RunDir, stands: progress.Progress | str) -> str:
    broken = isinstance(stands, str)
    return html.page(
        "progress.html",
        ("page.js",),
        title=one_line(run.path.resolve().name),
        claim=_claim(stands),
        stands=None if broken else stands,
        trained=_trained(run),
        refresh=REFRESH,
        log="\n".join(logs.last_lines(run.path)[-LINES:]),
        figures=[] if broken else training.watched(stands.rewards),
        resumes=f"python -m harness.run {quoted(run.path)}",
        files=[path[1:] for path in FILES if (run.path / path[1:]).is_file()],
    )
