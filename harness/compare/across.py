"""One question across the runs of a group: every run's answer to it, as data for templates/compare.js."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple
from statistics import fmean

from harness.compare.findings import Found
from harness.compare.groups import Run
from harness.report import gallery
from harness.report.gallery import Answer, Item
from harness.report.page import packed, questions
from harness.report.page.packed import readable
from harness.runs import directory
from harness.tasks.records import Tags
from harness.util.errors import HarnessError


def data(runs: Sequence[Run], labels: Sequence[str], room: int, found: Found) -> str | None:
    """The questions that runs and base answered, packed into about `room` bytes; None without two runs' completions.

    Those on which the runs differ come first, from those that speak most for what was `found`, and of the others as
    many as fit. A run without completions, or about other questions than the first, is left out.
    """
    read: dict[str, list[Item]] = {}
    seeds: list[list[int]] = []
    for run, label in zip(runs, labels, strict=True):
        try:
            found_run = directory.existing(run.path)
            items = sorted(gallery.read(found_run, ()), key=lambda item: item.id)
        except HarnessError:
            continue
        if not read or [item.id for item in items] == [item.id for item in next(iter(read.values()))]:
            read[label] = items
            seeds.append(found_run.config.train.seeds)
            tags = found_run.config.prompt.tags.record()
    if len(read) < 2:
        return None
    each = sorted(zip(*read.values(), strict=True), key=_order(list(read), labels, found))
    drawn = packed.fitting((_question(same, tags) for same in each), room)
    return packed.pack(
        {
            "runs": list(read),
            "seeds": seeds,
            "total": len(each),
            "tags": [readable(tag) for tag in astuple(tags)],
            "items": drawn,
        }
    )


def _order(read: list[str], labels: Sequence[str], found: Found) -> Callable[[Sequence[Item]], tuple[bool, float]]:
    """The sort key of a question: whether all runs have it alike, and how far the worse ones are ahead of the best."""
    better, worse = (None if at is None else labels[at] for at in (found.better, found.worse))

    def key(same: Sequence[Item]) -> tuple[bool, float]:
        right = dict(zip(read, map(_right, same), strict=True))
        others = [right[worse]] if worse in right else [share for name, share in right.items() if name != better]
        return len(set(right.values())) == 1, fmean(others) - right[better] if better in right else 0.0

    return key


def _question(same: Sequence[Item], tags: Tags) -> dict[str, object]:
    first = same[0]
    return {
        "id": readable(first.id),
        "question": readable(first.question or f"Problem {first.id}"),
        "gold": readable(first.gold),
        "sides": [_side(first.base, _share(first.base), tags)]
        + [_side(item.tuned[0], _right(item), tags) for item in same],
    }


def _side(answers: list[Answer], right: float, tags: Tags) -> dict[str, object]:
    """The first answer of a model, and the share of all its answers, over the seeds of a run, that are right."""
    return {"right": right, **questions.answer(answers[0], tags)}


def _right(item: Item) -> float:
    return sum(map(_share, item.tuned)) / len(item.tuned)


def _share(answers: list[Answer]) -> float:
    return sum(answer.score.correct for answer in answers) / len(answers)
