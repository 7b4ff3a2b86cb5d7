"""Data inside a page: JSON, compressed, in base64. The page's script unpacks it and shows every text as text.

So a page of three seeds' answers to 1,319 questions takes 2 MB instead of 7, and no text in it can be markup.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from collections.abc import Iterable
from typing import TypeVar

from harness.util.text import INVISIBLE, code_point

HEAD, TAIL = 3000, 2000  # characters of a longer text that are shown: its beginning, and its end with the answer
DENSEST = 8  # text that compresses further counts as if it did not: unpacked it still takes a browser's memory

_RUN = re.compile(rf"(?P<unseen>{INVISIBLE.pattern})(?P=unseen)*")

T = TypeVar("T")


def pack(record: object) -> str:
    """The record, made of JSON types, as the text of a page's data element; equal records give equal texts."""
    return base64.b64encode(gzip.compress(_bytes(record), 9, mtime=0)).decode()


def unpack(text: str) -> object:
    """The record that `pack` made this text of."""
    return json.loads(gzip.decompress(base64.b64decode(text)))


def fitting(records: Iterable[T], room: int) -> list[T]:
    """The first of these records, as many as take about `room` bytes when packed together."""
    kept, size = [], 0
    for record in records:
        content = _bytes(record)
        size += max(len(zlib.compress(content)), len(content) // DENSEST)
        if size > room:
            break
        kept.append(record)
    return kept


def readable(text: str) -> str:
    """A model's text with what cannot be seen spelled out: a run of one character once, such as ⟨U+200B × 3,000⟩.

    A long text is cut to its beginning and its end, with a note of how much is left out.
    """
    if len(text) > HEAD + TAIL:
        left_out = f"\n⟨… {len(text) - HEAD - TAIL:,} characters left out …⟩\n"
        return _spelled(text[:HEAD]) + left_out + _spelled(text[-TAIL:])
    return _spelled(text)


def _spelled(text: str) -> str:
    def name(match: re.Match[str]) -> str:
        times = f" × {len(match[0]):,}" if len(match[0]) > 1 else ""
        return f"⟨{code_point(match[0][0])}{times}⟩"

    return _RUN.sub(name, text)


def _bytes(record: object) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
