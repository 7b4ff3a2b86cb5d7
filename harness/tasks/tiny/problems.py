"""Short word problems in GSM8K's schema, for the embedded tiny model: generated when needed, offline.

    python -m harness.tasks.tiny.problems test 5          # print five rows of the test split as JSON lines

A row is {"question": ..., "answer": ...}; the answer is the worked solution with GSM8K's calculator annotations
(`30-17=<<30-17=13>>13 muffins left`) and a last line `#### 13`.

The splits are really held out: a row is a *filling* (template, name, animal, ...) and the *numbers* of its question (as
a sorted tuple, whatever the template). Each of the two is assigned to exactly one split by a hash of itself alone, and
a row belongs to a split only if both were assigned to it. So no two splits share a filling, nor the numbers of a
question under other names. Single sums (7*23) do recur: they are the arithmetic to be learned.

`pretraining_text` writes a completion for the pretraining stream. Its answer is always right, but its style is
drawn per row: many rows lack tags, and some skip the working. A model made from them is imperfect on purpose: it
often breaks the format, and where it skips the working it often guesses wrong. Both are what GRPO can win back.

All draws are `random.Random(seed).random()`, the one method whose stream Python promises to keep.
"""

from __future__ import annotations

import hashlib
import json
import math
import operator
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from random import Random
from string import Formatter

from harness.tasks.records import Tags
from harness.tasks.tiny.templates import TEMPLATES, WORDS, Template

SIZES = {"train": 2000, "dev": 200, "test": 1200}  # default number of rows of each split
# Percent of all fillings, and of all number tuples, that each split owns.
BUCKETS = {"pretrain": 80, "train": 8, "dev": 4, "test": 8}
MAX_VALUE = 400  # no intermediate or final result is larger
TAGS = Tags()


@dataclass(frozen=True, slots=True)
class TinyProblem:
    """One row and what it was made from; splits are disjoint in `filling` and in `numbers`."""

    question: str
    answer: str
    filling: tuple[str, ...]  # template name, then the words in order of WORDS
    numbers: tuple[int, ...]  # the numbers of the question, sorted
    lines: tuple[str, ...]  # the working without annotations
    gold: int


OPERATORS: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.floordiv,
}

# How often each style of completion is drawn before the ties to template and name shift it. {w} is the working, {n}
# the answer, {W} {V} {S} {T} the four tags.
STYLES: dict[str, tuple[float, str]] = {
    "exact": (0.20, "{W}\n{w}\n{V}\n{S}{n}{T}"),
    "exact, answer on its own line": (0.05, "{W}\n{w}\n{V}\n{S}\n{n}\n{T}"),
    "exact, working skipped": (0.40, "{W}\nIt is easy.\n{V}\n{S}{n}{T}"),
    "working not closed": (0.10, "{W}\n{w}\n{S}{n}{T}"),
    "solution not closed": (0.08, "{W}\n{w}\n{V}\n{S}{n}"),
    "no working tags": (0.09, "{w}\n{S}{n}{T}"),
    "no tags": (0.09, "{w}\nThe answer is {n}."),
    "no tags, working skipped": (0.29, "The answer is {n}."),
    "chatty": (0.06, "Let us see. {W}\n{w}\n{V}\n{S}{n}{T}"),
    "chatty at the end": (0.08, "{W}\n{w}\n{V}\n{S}{n}{T} That was fun!"),
}
TIE = 1.5  # log-odds by which template, name or another word may favour a style; 0: pure chance
SKIP_PER_STEP = 0.6  # log-odds for skipping the working, a step over two: it tempts most where it costs most


def bucket(*parts: object) -> str:
    """The split that owns these parts: a hash of their text, divided as BUCKETS says."""
    place = _hash(parts) % 100
    for split, share in BUCKETS.items():
        if place < share:
            return split
        place -= share
    raise AssertionError("BUCKETS must sum to 100")


def _hash(parts: object) -> int:
    return int.from_bytes(hashlib.sha256(json.dumps(parts).encode()).digest()[:8], "big")


def stream(split: str, seed: int = 0) -> Iterator[TinyProblem]:
    """An endless stream of problems of one split, repeats possible; the same for the same seed on any machine."""
    if split not in BUCKETS:
        raise ValueError(f"unknown split {split!r}; one of {', '.join(BUCKETS)}")
    draw = Random(_hash(["stream", split, seed])).random
    while True:
        template = TEMPLATES[int(draw() * len(TEMPLATES))]
        words = _draw_words(template, split, draw)
        values = _draw_numbers(template, split, draw)
        if values is not None:
            yield _write(template, words, values)


def problems(split: str, n: int, seed: int = 0) -> list[TinyProblem]:
    """The first n different problems of a split's stream."""
    found: dict[str, TinyProblem] = {}
    source = stream(split, seed)
    while len(found) < n:
        problem = next(source)
        found.setdefault(problem.question, problem)
    return list(found.values())


def rows(split: str, n: int | None = None, seed: int = 0) -> list[dict[str, str]]:
    """n different rows of a split in GSM8K's schema (default: SIZES[split])."""
    made = problems(split, SIZES[split] if n is None else n, seed)
    return [{"question": p.question, "answer": p.answer} for p in made]


@cache
def _fields(template_name: str) -> tuple[str, ...]:
    """The word fields of a template's question, in order of first appearance."""
    question = next(t.question for t in TEMPLATES if t.name == template_name)
    return tuple(dict.fromkeys(f for _, f, _, _ in Formatter().parse(question) if f in WORDS))


def _draw_words(template: Template, split: str, draw: Callable[[], float]) -> dict[str, str]:
    while True:
        words = {f: WORDS[f][int(draw() * len(WORDS[f]))] for f in _fields(template.name)}
        if bucket(template.name, *words.values()) == split:
            return words


def _draw_numbers(template: Template, split: str, draw: Callable[[], float]) -> dict[str, int] | None:
    """Numbers that the split owns and that give valid steps, plus the steps' results; None after many misses."""
    for _ in range(2000):
        values = {k: low + int(draw() * (high - low + 1)) for k, (low, high) in template.ranges.items()}
        if bucket(*sorted(values.values())) == split and _solve(template, values):
            return values
    return None


def _solve(template: Template, values: dict[str, int]) -> bool:
    """Add the steps' results to `values`; False if one is under 2, over MAX_VALUE or not whole."""
    for result, (left, op, right, _) in zip("xyz", template.steps, strict=False):
        a, b = values[left], values[right]
        values[result] = OPERATORS[op](a, b)
        if not 2 <= values[result] <= MAX_VALUE or (op == "/" and a % b):
            return False
    return True


def _write(template: Template, words: dict[str, str], values: dict[str, int]) -> TinyProblem:
    lines, annotated = [], []
    for result, (left, op, right, label) in zip("xyz", template.steps, strict=False):
        total = str(values[result])
        expression = f"{values[left]}{op}{values[right]}"
        label = label.format(**words)
        lines.append(f"{expression}={total} {label}")
        annotated.append(f"{expression}=<<{expression}={total}>>{total} {label}")
    return TinyProblem(
        question=template.question.format(**words, **values),
        answer="\n".join([*annotated, f"#### {total}"]),
        filling=(template.name, *words.values()),
        numbers=tuple(sorted(values[k] for k in template.ranges)),
        lines=tuple(lines),
        gold=int(total),
    )


@cache
def _leaning(word: str, style: str) -> float:
    """How much a template or a word favours a style, from -1 to 1."""
    return _hash(["leaning", word, style]) / 2**63 - 1


def style_weights(problem: TinyProblem) -> dict[str, float]:
    """Relative frequency of each style for this problem: it depends on its words and steps, never on its numbers."""
    weights = {}
    for style, (share, _) in STYLES.items():
        leaning = TIE * sum(_leaning(word, style) for word in problem.filling[:3])
        if "skipped" in style:
            leaning += SKIP_PER_STEP * (len(problem.lines) - 2)
        weights[style] = share * math.exp(leaning)
    return weights


def completion(problem: TinyProblem, style: str) -> str:
    """A right answer to the problem in one of the STYLES."""
    marks = {"w": "\n".join(problem.lines), "n": problem.gold}
    tags = {"W": TAGS.working_start, "V": TAGS.working_end, "S": TAGS.solution_start, "T": TAGS.solution_end}
    return STYLES[style][1].format(**marks, **tags)


def pretraining_text(problem: TinyProblem, draw: Callable[[], float]) -> str:
    """One completion for the pretraining stream, its style drawn at random; `draw` gives floats in [0, 1)."""
    weights = style_weights(problem)
    place = draw() * sum(weights.values())
    style = next(iter(weights))
    for style, weight in weights.items():  # noqa: B007 (the last style also takes a rounding error's remainder)
        place -= weight
        if place < 0:
            break
    return completion(problem, style)


def main() -> None:
    split, n = sys.argv[1], int(sys.argv[2])
    for row in rows(split, n):
        print(json.dumps(row))


if __name__ == "__main__":
    main()
