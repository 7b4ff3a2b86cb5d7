"""The questions with all answers, as data for templates/questions.js, which has the same names."""

from __future__ import annotations

from dataclasses import astuple

from harness.report.document import Gallery
from harness.report.gallery import Answer, Item
from harness.report.page import packed
from harness.report.page.packed import readable
from harness.tasks.numbers import find_numbers
from harness.tasks.records import Tags

ROOM = 3_600_000  # bytes of packed questions
SAMPLES = 4  # answers of each model that are shown for a question
SYMBOLS = {"gained": "▲", "lost": "▼", "wrong": "✗", "right": "✓", "partly": "◐"}
SEARCHED = 600  # characters at the end of a text, or of its solution block, in which the number is looked for


def data(gallery: Gallery, tags: Tags) -> str:
    """All questions as packed data: those that changed with any seed first, and of the others as many as fit."""
    order = sorted(range(len(gallery.items)), key=lambda at: not _changed(gallery.items[at]))
    drawn = packed.fitting((_item(at, gallery.items[at], tags) for at in order), ROOM)
    return packed.pack(
        {
            "seeds": gallery.seeds,
            "total": len(gallery.items),
            "tags": [readable(tag) for tag in astuple(tags)],
            "outcomes": {name: [SYMBOLS[name], label.lower()] for name, label in gallery.outcomes.items()},
            "items": sorted(drawn, key=lambda item: item["at"]),
        }
    )


def _changed(item: Item) -> bool:
    return not {"gained", "lost"}.isdisjoint(item.outcomes)


def _item(at: int, item: Item, tags: Tags) -> dict[str, object]:
    return {
        "at": at,
        "id": readable(item.id),
        "question": readable(item.question or f"Problem {item.id}"),
        "gold": readable(item.gold),
        "outcomes": item.outcomes,
        "base": _side(item.base, tags),
        "tuned": [_side(answers, tags) for answers in item.tuned],
    }


def _side(answers: list[Answer], tags: Tags) -> dict[str, object]:
    """The first answers of one model, how many there are and how many of them are right."""
    right = sum(each.score.correct for each in answers)
    return {"of": len(answers), "right": right, "answers": [answer(each, tags) for each in answers[:SAMPLES]]}


def answer(given: Answer, tags: Tags) -> dict[str, object]:
    """One completion with its score."""
    score = given.score
    return {
        "text": _pieces(given, tags),
        "answer": None if score.answer is None else readable(score.answer),
        "rule": score.rule,
        "why": score.why,
        "correct": score.correct,
        "format": score.exact_format,
        "tokens": score.tokens,
        "cut": score.finish_reason == "length",
        "disputed": given.disputed_by,
    }


def _pieces(answer: Answer, tags: Tags) -> list[str]:
    """The text: what stands before the number that was taken for the answer, that number, and the rest.

    It is one piece if there is no such number, or if the text is too long to be shown whole.
    """
    text, place = answer.text, _stated(answer, tags)
    if place is None or len(text) > packed.HEAD + packed.TAIL:
        return [readable(text)]
    start, end = place
    return [readable(part) for part in (text[:start], text[start:end], text[end:])]


def _stated(answer: Answer, tags: Tags) -> tuple[int, int] | None:
    """Where the text, or its solution block if that decided, states the answer for the last time."""
    text, score, start, end = answer.text, answer.score, 0, len(answer.text)
    if score.answer is None:
        return None
    if score.rule == "solution":
        start = text.rfind(tags.solution_start) + len(tags.solution_start)
        end = closing if (closing := text.find(tags.solution_end, start)) >= 0 else end
    start = max(start, end - SEARCHED)
    for number in reversed(find_numbers(text[start:end])):
        if number.value == score.answer:
            return start + number.start, start + number.end
    return None
