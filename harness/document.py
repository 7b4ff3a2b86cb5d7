"""What a report is made of, before it becomes Markdown or a page: sections of paragraphs, tables, figures, model text.

A section is written once, as a function (run, numbers) -> Section | None in harness.sections; harness.report draws
it as Markdown and harness.html_report as HTML, so that the two never say different things.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from harness.gallery import Item
from harness.schema import Tags

# What a reader could not see, or what would act on the text around it: controls, line separators, all that Unicode
# lets a renderer ignore (Default_Ignorable_Code_Point: bidirectional marks, zero widths, fillers, tags), the blank
# Braille cell, interlinear marks, lone surrogates, non-characters. Tab and newline are text.
_UNSEEN = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u2800\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\ufdd0-\ufdef\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    + "".join(chr(plane << 16 | 0xFFFE) + chr(plane << 16 | 0xFFFF) for plane in range(17))
)
# Joiners and variation selectors are spelling in some scripts and in emoji, but only behind a character that they can
# act on: one outside Latin-1 that is itself seen.
_JOINING = "\u200c\u200d\ufe00-\ufe0f"
INVISIBLE = re.compile(f"[{_UNSEEN}]|(?<![^\x00-\xff{_UNSEEN}{_JOINING}])[{_JOINING}]")


class Loud(str):
    """A paragraph or a table's cell that must not be overlooked: bold."""

    __slots__ = ()


@dataclass(frozen=True)
class Table:
    """Rows of text; the first column names the row."""

    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


@dataclass(frozen=True)
class Figure:
    """A chart: inline in the page, plots/<name>.svg beside the Markdown."""

    name: str
    alt: str
    svg: Markup


@dataclass(frozen=True)
class Verbatim:
    """A text that a model wrote, what it is, and the tags to mark in it."""

    title: str
    text: str
    tags: Tags


@dataclass(frozen=True)
class Listing:
    """A file's text, in full; of the page only."""

    text: str


@dataclass(frozen=True)
class Folded:
    """Blocks that a reader opens; of the page only."""

    title: str
    blocks: list[Block]


@dataclass(frozen=True)
class Gallery:
    """Every question with what both models answered: as many as the page holds, in the Markdown the first few."""

    items: list[Item]
    whose: str = ""  # of several seeds the one whose answers these are, such as "seed 3407"


# A str is a paragraph: its lines follow each other in Markdown and are paragraphs of their own in the page.
Block = str | Loud | Table | Figure | Verbatim | Listing | Folded | Gallery


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it; the report's first section has no heading."""

    title: str
    blocks: list[Block] = field(default_factory=list)


def code_point(character: str) -> str:
    return f"U+{ord(character):04X}"


def visible(text: str) -> str:
    """The text with every invisible character spelled out, such as ⟨U+202E⟩; it can be encoded and shown anywhere."""
    return INVISIBLE.sub(lambda match: f"⟨{code_point(match[0])}⟩", text)


def one_line(text: str) -> str:
    """The text visible and on one line, for a list, a heading or a terminal: what ends a line is spelled out too."""
    return visible(text).replace("\n", "↵")


def cell(text: str) -> str:
    """The text as a cell of a Markdown table, which a line's end or a bar would break."""
    return one_line(text).replace("|", "\\|")


def shown(value: Any) -> Any:
    """A value on its way into markup: plain text visible, markup and all that is no text as it is."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
