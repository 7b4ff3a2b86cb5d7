"""What a report is made of, before it becomes Markdown or a page: sections of paragraphs, tables, figures, model text.

A section is written once, as a function (run, numbers) -> Section | None in harness.report.sections; markdown.py draws
it as Markdown and html_report.py as HTML, so that the two never say different things.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from markupsafe import Markup

from harness.report.gallery import Item
from harness.tasks.records import Tags


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
