"""What a report is made of, before it becomes Markdown or a page: sections of paragraphs, tables, figures, model text.

A section is written once, as a function (run, numbers) -> Section | None in harness.sections; harness.report draws
it as Markdown and harness.html_report as HTML, so that the two never say different things.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from markupsafe import Markup

from harness.gallery import Item
from harness.schema import Tags

# What a reader could not see, or what would act on the text around it: controls, bidirectional marks and overrides,
# zero-width characters, line separators, tag characters, lone surrogates, non-characters. Tab and newline are text.
INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)


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
    """Every question with what both models answered: all of them in the page, the first few in the Markdown."""

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
