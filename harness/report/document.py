"""The parts of a report, before it becomes Markdown or a page: sections of paragraphs, tables, figures, model text.

A section is written once, as a function (run, numbers) -> Section | None in harness.report.sections; markdown.py draws
it as Markdown and html_report.py as HTML, so that both say the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from markupsafe import Markup

from harness.report.gallery import Item
from harness.tasks.records import Tags


class Loud(str):
    """A paragraph or a table cell that must not be overlooked; shown in bold."""

    __slots__ = ()


@dataclass(frozen=True)
class Table:
    """Rows of text; the first column names the row."""

    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


@dataclass(frozen=True)
class Figure:
    """A chart: inline in the page, a file plots/<name>.svg for the Markdown."""

    name: str
    alt: str
    svg: Markup


@dataclass(frozen=True)
class Verbatim:
    """A text that a model wrote, with a title and the tags to mark in it."""

    title: str
    text: str
    tags: Tags


@dataclass(frozen=True)
class Listing:
    """A file's full text; only in the page."""

    text: str


@dataclass(frozen=True)
class Folded:
    """Blocks that a reader can open; only in the page."""

    title: str
    blocks: list[Block]


@dataclass(frozen=True)
class Gallery:
    """Every question with both models' answers: as many as fit in the page, and the first few in the Markdown."""

    items: list[Item]
    whose: str = ""  # with several seeds, the one whose answers these are, such as "seed 3407"


# A str is a paragraph: its lines follow each other in Markdown and are separate paragraphs in the page.
Block = str | Loud | Table | Figure | Verbatim | Listing | Folded | Gallery


@dataclass(frozen=True)
class Section:
    """A heading and the blocks under it; the report's first section has no heading."""

    title: str
    blocks: list[Block] = field(default_factory=list)
