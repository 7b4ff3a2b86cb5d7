"""The parts of a report, before it becomes Markdown or a page: sections of paragraphs, tables, figures, model text.

A section is written once, as a function (run, numbers) -> Section | None in harness.report.sections; markdown.py draws
it as Markdown and html_report.py as HTML, so that both say the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from markupsafe import Markup

from harness.report.gallery import OUTCOMES, Item
from harness.report.page.rollouts import Kept


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
    """Every question with the models' answers: as many as fit in the page, and the first few in the Markdown."""

    items: list[Item]
    seeds: list[int]  # the training seeds, in the order of an item's answers
    first: str = "gained"  # or "lost": the outcome that is shown first, which the headline speaks of

    @property
    def outcomes(self) -> dict[str, str]:
        """OUTCOMES in the order in which they are shown."""
        return {self.first: OUTCOMES[self.first]} | OUTCOMES


@dataclass(frozen=True)
class Rollouts:
    """The completions that the trainings kept: all in the page, the best and the worst of two steps in the Markdown."""

    kept: Kept


# A str is a paragraph: its lines follow each other in Markdown and are separate paragraphs in the page.
Block = str | Loud | Table | Figure | Listing | Folded | Gallery | Rollouts


@dataclass(frozen=True)
class Section:
    """A heading and the blocks under it; the report's first section has no heading."""

    title: str
    blocks: list[Block] = field(default_factory=list)


@dataclass(frozen=True)
class Tab:
    """Sections that the page shows together."""

    title: str
    sections: list[Section]
