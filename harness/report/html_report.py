"""report.html: the report as a page, with every question and both answers side by side.

It can be read without JavaScript, which only filters the questions; #outcome=lost&rule=solution&text=apples in the
address sets the filter.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import groupby

from markupsafe import Markup

from harness.report import charts, html, verdict
from harness.report.document import Block, Gallery, Section
from harness.report.gallery import OUTCOMES, Item
from harness.report.summary import Summary
from harness.report.wording import DEMO, identity_line
from harness.runs.directory import RunDir
from harness.util.text import plural

# Unchanged questions are added while the page stays under PAGE_BYTES. Gained and lost ones, which matter most to a
# reader, are added up to CHANGED_BYTES each. So a browser can open the page of any run.
PAGE_BYTES = 4_500_000
CHANGED_BYTES = 6_000_000
SAMPLES = 4  # answers of each model that are shown for a question
SYMBOLS = {"gained": "▲", "lost": "▼", "wrong": "✗", "right": "✓", "partly": "◐"}


def draw(run: RunDir, numbers: Summary, sections: list[Section]) -> str:
    """The page of a run; `sections` begins with the opening (verdict, table, charts) and holds one gallery."""
    (gallery,) = [block for s in sections for block in s.blocks if isinstance(block, Gallery)]
    items = gallery.items
    counts = Counter(item.outcome for item in items)
    counts = {outcome: counts[outcome] for outcome in OUTCOMES if counts[outcome] or outcome != "partly"}
    kept = _kept(items, run)
    claim, joint, evidence = verdict.of(numbers).opening()
    return html.page(
        "report.html",
        "report.js",
        title=run.path.resolve().name,
        verdict=numbers.verdict,
        identity=identity_line(numbers, run.read_manifest()),
        demo=DEMO if numbers.identity.demo else None,
        claim=claim,
        joint=joint,
        evidence=evidence,
        opening=sections[0],
        sections=[(section, grouped(section.blocks)) for section in sections[1:]],
        anchors={section.title: anchor(section.title) for section in sections[1:]},
        strip=charts.strip("outcomes", "What became of each question", counts),
        whose=gallery.whose,
        counts=counts,
        total=len(items),
        plural=plural,
        kept=kept,
        shown={outcome: len(kept.get(outcome, [])) for outcome in counts},
        rules=sorted({rule for item in items for rule in item.rules}),
        outcomes=OUTCOMES,
        symbols=SYMBOLS,
        without_question=any(item.question is None for item in items),
        grouped=grouped,
    )


def anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def grouped(blocks: list[Block]) -> list[tuple[str, list[Block]]]:
    """Consecutive blocks of one kind, so that figures are side by side: (class name, blocks)."""
    return [(kind, list(run)) for kind, run in groupby(blocks, key=lambda block: type(block).__name__)]


def _kept(items: list[Item], run: RunDir) -> dict[str, list[Markup]]:
    """The drawn questions by outcome, in order, up to the limit of the outcome, or of the page for unchanged ones."""
    item = html.environment().get_template("item.html").module.item
    tags, page = run.config.prompt.tags.record(), 0
    kept: dict[str, list[Markup]] = {}
    for outcome in OUTCOMES:
        changed, size = outcome in ("gained", "lost"), 0
        for each in (each for each in items if each.outcome == outcome):
            first = changed and outcome not in kept  # shown open, as an example
            drawn = item(each, tags, SYMBOLS[outcome], OUTCOMES[outcome].lower(), first, SAMPLES)
            size += len(drawn.encode())
            if (size > CHANGED_BYTES) if changed else (page + size > PAGE_BYTES):
                break
            kept.setdefault(outcome, []).append(drawn)
        page += size
    return kept
