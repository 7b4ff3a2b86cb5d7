"""Headless Chromium, for what only a browser can show about a page; without it tests are skipped by name."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium (chromium, chromium-browser, google-chrome)"
)

# Statements after which the page `d` looks as if it were printed.
AS_PRINTED = (
    "for (const rule of [...d.styleSheets].flatMap((sheet) => [...sheet.cssRules]))"
    " if (rule.media?.mediaText === 'print') rule.media.mediaText = 'all';"
)


def dom(address: str, profile: Path, *options: str) -> str:
    """The document at a file:// address as markup, after its scripts have run."""
    return _chromium(address, profile, *options, "--dump-dom")


def printed_pages(address: str, profile: Path) -> int:
    """How many sheets the document at a file:// address takes when it is printed."""
    file = profile / "printed.pdf"
    _chromium(address, profile, f"--print-to-pdf={file}", "--no-pdf-header-footer")
    return len(re.findall(rb"/Type\s*/Page\b", file.read_bytes()))


def _chromium(address: str, profile: Path, *options: str) -> str:
    """What headless Chromium prints when it opens the address."""
    command = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--hide-scrollbars", "--allow-file-access-from-files", f"--user-data-dir={profile / 'chromium'}",
        "--virtual-time-budget=5000", *options, address,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ask(page: Path, question: str, folder: Path, *options: str, width: int = 360, at: str = "") -> Any:
    """What a JavaScript expression over `page`, a window of that width, evaluates to, or what it promises.

    Before that the address `at` of the page is opened, and `later()` is a promise of a little time, in which a page
    does what it was asked for. The window is a frame, since headless Chromium's own is never narrower than 500 pixels.
    """
    frame = folder / "frame.html"
    frame.write_text(
        f'<iframe src="{page.as_uri()}{at}" width="{width}" height="800" style="border:0"></iframe><pre></pre>\n'
        "<script>\n"
        "const later = () => new Promise((done) => setTimeout(done, 500));\n"
        "onload = async () => { const page = frames[0], d = page.document; await later();\n"
        f"document.querySelector('pre').textContent = JSON.stringify(await ({question})); }}</script>"
    )
    (answer,) = re.findall("<pre>(.*)</pre>", dom(frame.as_uri(), folder, *options))
    return json.loads(html.unescape(answer))
