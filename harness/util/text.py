"""Text that is safe to show: with invisible characters spelled out, on one line, or as a table cell."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The question that ends an error about a word that is not known; None if none of those known is near."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]}?" if near else None


# Characters that a reader could not see, or that would act on the text around them: controls, line separators, all that
# Unicode lets a renderer ignore (Default_Ignorable_Code_Point: bidirectional marks, zero widths, fillers, tags), the
# blank Braille cell, interlinear marks, lone surrogates, non-characters. Tab and newline count as text.
_UNSEEN = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u2800\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\ufdd0-\ufdef\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    + "".join(chr(plane << 16 | 0xFFFE) + chr(plane << 16 | 0xFFFF) for plane in range(17))
)
# Joiners and variation selectors belong to the spelling in some scripts and in emoji, but only after a character that
# they can act on: a visible one outside Latin-1.
_JOINING = "\u200c\u200d\ufe00-\ufe0f"
INVISIBLE = re.compile(f"[{_UNSEEN}]|(?<![^\x00-\xff{_UNSEEN}{_JOINING}])[{_JOINING}]")


def code_point(character: str) -> str:
    return f"U+{ord(character):04X}"


def visible(text: str) -> str:
    """The text with every invisible character spelled out, such as ⟨U+202E⟩; it can be encoded and shown anywhere."""
    return INVISIBLE.sub(lambda match: f"⟨{code_point(match[0])}⟩", text)


def one_line(text: str) -> str:
    """As visible, and on one line (for a list, a heading or a terminal): line ends are spelled out too."""
    return visible(text).replace("\n", "↵")


def quoted(path: Path) -> str:
    """A path quoted for a shell, on one line."""
    return one_line(shlex.quote(str(path)))


_HTML = re.compile(r"<(?=[A-Za-z/!?])|&(?=#?\w+;)")


def prose(text: str) -> str:
    """The text as Markdown outside a code block, in which nothing is HTML: names and golds may be anything."""
    return _HTML.sub(lambda match: "&lt;" if match[0] == "<" else "&amp;", text)


def cell(text: str) -> str:
    """The text as a cell of a Markdown table, which a line end or a bar would break."""
    return prose(one_line(text)).replace("|", "\\|")


def shown(value: Any) -> Any:
    """A value to be put into markup: plain text as visible, markup and anything that is not text unchanged.

    Markup is known by `__html__`, as in Jinja: this module is read before it is known what is installed.
    """
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def without_folders(name: str) -> str:
    """A hub id unchanged, or the last part of a path: what others read must not show local folders."""
    return name if _HUB_ID.fullmatch(name) else one_line(Path(name).name)


def on_hub(name: str) -> bool:
    """Whether a model's or data set's name is a hub id, and not that of a local file or folder."""
    return bool(_HUB_ID.fullmatch(name)) and not Path(name).exists()


def spelled_out(text: str) -> str:
    """A line with its control characters spelled out."""
    return "".join(c if c.isprintable() else f"⟨{code_point(c)}⟩" for c in text)
