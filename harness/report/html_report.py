"""report.html: the report as a page, with every question, all answers to it, and every rollout that was kept.

Its sections can be read without JavaScript. The script shows one tab at a time, and the questions and rollouts, which
are data in it. The address says what is shown: #outcome=lost&rule=solution&text=apples, or #q= with a question's id.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import groupby
from typing import NamedTuple

from markupsafe import Markup

from harness.report import html, verdict
from harness.report.document import Block, Figure, Gallery, Rollouts, Tab, Table
from harness.report.page import cite, questions, rollouts
from harness.report.page.questions import SYMBOLS
from harness.report.summary import Summary
from harness.report.wording import demo, identity_line
from harness.runs.directory import RunDir
from harness.stats.finding import Finding, change, signed

SCRIPTS = ("page.js", "tabs.js", "texts.js", "list.js", "questions.js", "rollouts.js")


WITHOUT_TESTS = 6  # columns of the opening's table: the others are p-values


class Part(NamedTuple):
    """A part of the change of strict accuracy, as the first screen shows it."""

    name: str  # also a key of TERMS
    found: Finding
    points: str
    interval: str


def draw(run: RunDir, numbers: Summary, tabs: list[Tab]) -> str:
    """The page of a run; the first sections of `tabs` are the opening and how to read it, and they hold one gallery."""
    opening, reading, *results = tabs[0].sections
    blocks = [block for tab in tabs for section in tab.sections for block in section.blocks]
    (gallery,) = [block for block in blocks if isinstance(block, Gallery)]
    kept = [block.kept for block in blocks if isinstance(block, Rollouts)]
    found, tags = verdict.of(numbers), run.config.prompt.tags.record()
    data = {"questions-data": Markup(questions.data(gallery, tags))}
    if kept:
        data["rollouts-data"] = Markup(rollouts.data(kept[0], tags))
    (evidence,) = [block for block in opening.blocks if isinstance(block, Table)]
    told = (found.reward(), found.undivided())  # elsewhere on the first screen
    alerts = [block for block in opening.blocks[1:] if isinstance(block, str) and block not in told]
    return html.page(
        "report.html",
        SCRIPTS,
        title=run.path.resolve().name,
        verdict=numbers.verdict,
        identity=identity_line(numbers, run.read_manifest()),
        demo=demo(numbers.identity),
        claim=found.opening().claim,
        limits=found.limits(),
        reward=found.reward(),
        reward_apart=found.reward_apart(),
        undivided=found.undivided(),
        accuracy=signed(found.accuracy.difference.value)[0],
        strict=signed(found.strict.difference.value)[0],
        parts_of_change=_parts(found),
        charts=[block for block in opening.blocks if isinstance(block, Figure)],
        table=_table(evidence),
        evidence=evidence,
        sentence=numbers.verdict.sentence,
        alerts=alerts,
        reading=reading,
        cited=cite.texts(run, numbers, evidence),
        outcomes=_outcomes(gallery),
        whose=f"seed {gallery.seeds[0]}, the first of {len(gallery.seeds)}" if gallery.seeds[1:] else "",
        tabs=[Tab(tabs[0].title, results), *tabs[1:]],
        data=data,
        without_question=any(item.question is None for item in gallery.items),
        anchor=anchor,
        grouped=grouped,
    )


def _parts(found: verdict.Verdict) -> list[Part]:
    parts = {"mathematics": found.mathematics, "readability": found.readability, "format": found.format_gap}
    made = []
    for name, part in parts.items():
        points, _, interval = change(part.difference).partition(" ")
        made.append(Part(name, part, points, interval))
    return made


def _table(evidence: Table) -> Table:
    """The first screen's table: the evidence without its tests, an interval being the second line of its cell."""
    rows = [tuple(type(cell)(cell.replace(" [", "\n[")) for cell in row[:WITHOUT_TESTS]) for row in evidence.rows]
    return Table(evidence.head[:WITHOUT_TESTS], rows)


def _outcomes(gallery: Gallery) -> list[tuple[str, str, str, int]]:
    """(key, symbol, label, questions) of what became of the questions with the first seed."""
    counts = Counter(item.outcomes[0] for item in gallery.items)
    return [
        (name, SYMBOLS[name], label.lower(), counts[name])
        for name, label in gallery.outcomes.items()
        if counts[name] or name != "partly"
    ]


def anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def grouped(blocks: list[Block]) -> list[tuple[str, list[Block]]]:
    """Consecutive blocks of one kind, so that figures are side by side: (class name, blocks)."""
    return [(kind, list(run)) for kind, run in groupby(blocks, key=lambda block: type(block).__name__)]
