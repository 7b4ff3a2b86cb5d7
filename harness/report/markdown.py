"""A report's sections as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.report.document import Block, Figure, Gallery, Loud, Rollouts, Section, Table
from harness.report.gallery import OUTCOMES
from harness.report.summary import Summary
from harness.report.wording import demo, identity_line
from harness.runs.directory import RunDir
from harness.util.text import cell, one_line, prose, visible

SHOWN = 3  # questions of each outcome in the gallery
HEAD, TAIL = 700, 500  # characters of a longer text that are shown: its beginning, and its end with the answer
LONGEST_ANSWER = 40  # characters of the number found in it


# --- Markdown -----------------------------------------------------------------------------------------------


def report_lines(run: RunDir, numbers: Summary, shown: list[Section]) -> Iterator[str]:
    yield f"# {prose(one_line(run.path.resolve().name))}"
    yield ""
    yield prose(one_line(identity_line(numbers, run.read_manifest())))
    if warned := demo(numbers.identity):
        yield f"\n**{warned}**"
    for section in shown:
        if isinstance(section.blocks[0], Gallery):
            yield from _gallery(section.blocks[0])
            continue
        if section.title:
            yield f"\n## {section.title}"
        for block in section.blocks:
            yield ""
            yield from block_lines(block)


def block_lines(block: Block) -> Iterator[str]:
    """The Markdown lines of one block."""
    if isinstance(block, Table):
        yield from table_lines(block.head, block.rows)
    elif isinstance(block, Figure):
        yield f"![{block.alt}](plots/{block.name}.svg)"
    elif isinstance(block, Rollouts):
        yield from _rollouts(block)
    else:
        yield _bold(block, prose(block))


def table_lines(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """A Markdown table; Loud cells are bold."""
    titles = list(map(cell, head))
    yield "| " + " | ".join(titles) + " |"
    yield "|" + "---|" * len(titles)
    for row in rows:
        yield "| " + " | ".join(_bold(each, cell(each)) for each in row) + " |"


def _bold(text: str, written: str) -> str:
    return f"**{written}**" if isinstance(text, Loud) else written


def _gallery(gallery: Gallery) -> Iterator[str]:
    """The first few questions that the first seed gained and lost, fenced so that no markup in them is rendered.

    Of several answers to a question the first right and the first wrong one.
    """
    whose = f", seed {gallery.seeds[0]}" if gallery.seeds[1:] else ""
    for outcome in list(gallery.outcomes)[:2]:
        chosen = [item for item in gallery.items if item.outcomes[0] == outcome]
        if not chosen:
            continue
        yield f"\n## {OUTCOMES[outcome]} ({min(SHOWN, len(chosen))} of {len(chosen)}{whose})"
        for item in chosen[:SHOWN]:
            yield f"\nProblem {item.id}, gold {prose(one_line(item.gold))}:"
            if item.question:
                yield from fenced(item.question)
            for side, answers in (("base", item.base), ("tuned", item.tuned[0])):
                kinds = {answer.score.correct: answer for answer in reversed(answers)}
                if answers[1:]:
                    right = sum(answer.score.correct for answer in answers)
                    yield f"\n{side}: {right} of {len(answers)} answers are right; the first of each kind:"
                for answer in (kinds[kind] for kind in sorted(kinds, reverse=True)):
                    yield f"\n{side}: answer {prose(one_line(_clipped(answer.score.answer)))}, {answer.score.why}"
                    yield from fenced(answer.text)


def _rollouts(block: Rollouts) -> Iterator[str]:
    """The best and the worst of the completions kept from the first and from the last step of the first training."""
    groups = next(iter(block.kept.groups.values()))
    yield "Of the completions kept from the first and the last step, the best and the worst:"
    for group in (groups[0], groups[-1])[: len({group.step for group in groups})]:
        rewarded = [rollout for rollout in group.rollouts if rollout.reward is not None]
        ranked = sorted(rewarded, key=lambda rollout: rollout.reward) or group.rollouts
        for rollout in (ranked[-1], ranked[0]):
            cut = "" if rollout.tokens < block.kept.limit else f", at the limit of {block.kept.limit} tokens"
            reward = "no reward" if rollout.reward is None else f"reward {_number(rollout.reward)}"
            yield f"\nStep {group.step}, {reward}, gold {prose(one_line(group.gold))}{cut}:"
            yield from fenced(rollout.text)


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _clipped(answer: str | None) -> str:
    if answer is None or len(answer) <= LONGEST_ANSWER:
        return str(answer)
    return f"{answer[:LONGEST_ANSWER]}… ({len(answer):,} characters)"


def fenced(text: str) -> Iterator[str]:
    """A model's text as a Markdown code block in which no markup is rendered; a long one is cut to both ends."""
    if len(text) > HEAD + TAIL:
        text = f"{text[:HEAD]}\n[… {len(text) - HEAD - TAIL:,} characters left out …]\n{text[-TAIL:]}"
    shown = visible(text)
    fence = "```"
    while fence in shown:
        fence += "`"
    yield from (fence + "text", shown, fence)
