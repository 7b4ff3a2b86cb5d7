"""The answer format: where the four tags are in a text, and the tutorial's two patterns for them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from harness.tasks.records import Tags

SYSTEM_PROMPT = """\
You are given a problem.
Think about the problem and provide your working out.
Place it between <start_working_out> and <end_working_out>.
Then, provide your solution between <SOLUTION></SOLUTION>"""


DEFAULT_TAGS = Tags()


class Layout(NamedTuple):
    """Where the four tags are in one text."""

    counts: tuple[int, int, int, int]  # occurrences: working start, working end, solution start, solution end
    exact: bool  # the whole text is the format and nothing else
    solution: str | None  # the content of the last solution block; None without an opening tag


@lru_cache(maxsize=16)
def check_tags(tags: Tags) -> tuple[str, str, str, str]:
    """The four tags in order. Raises ValueError if the format would be ambiguous with them."""
    order = (tags.working_start, tags.working_end, tags.solution_start, tags.solution_end)
    for tag in order:
        if not tag or tag != tag.strip() or "\n" in tag or sum(tag in other for other in order) > 1:
            raise ValueError(f"tag {tag!r} must be one line, without spaces around it, and not part of another tag")
    return order


def layout(text: str, tags: Tags = DEFAULT_TAGS) -> Layout:
    """Find the tags; the score and the rewards both use this."""
    working_start, working_end, solution_start, solution_end = order = check_tags(tags)
    counts = tuple(map(text.count, order))
    solution, exact = None, False
    if counts[2]:
        solution = text[text.rfind(solution_start) + len(solution_start) :].partition(solution_end)[0]
    if counts == (1, 1, 1, 1):
        before, _, rest = text.partition(working_start)
        working, ended, rest = rest.partition(working_end)
        _, opened, rest = rest.partition(solution_start)
        inside, closed, after = rest.partition(solution_end)
        filled = all((ended, opened, closed, working.strip(), inside.strip()))
        exact = filled and not (before.strip() or after.strip())
    return Layout(counts, exact, solution)


def tutorial_format_capture(text: str, tags: Tags = DEFAULT_TAGS) -> str | None:
    r"""Group 1 of `^\s*RS.+?RE.*?SS(.+?)SE\s*$` (MULTILINE, DOTALL, search), or None; in linear time.

    Whatever follows a later tag also follows an earlier one, so the first opening tag that begins its line,
    the first RE after it and the first SS after that match if any choice does. Only the closing tag must be
    searched for: the first that ends its line, which can only be the last of its line.
    """
    working_start, working_end, solution_start, solution_end = check_tags(tags)
    opening = text.find(working_start)
    while opening >= 0 and text[text.rfind("\n", 0, opening) + 1 : opening].strip():
        newline = text.find("\n", opening)
        opening = text.find(working_start, newline) if newline >= 0 else -1
    # ".+?" takes at least one character, so the working must not be empty (nor the solution, below).
    working = text.find(working_end, opening + len(working_start) + 1) if opening >= 0 else -1
    solution = text.find(solution_start, working + len(working_end)) if working >= 0 else -1
    begin = solution + len(solution_start)
    closing = text.find(solution_end, begin + 1) if solution >= 0 else -1
    while closing >= 0:
        newline = text.find("\n", closing)
        line_end = newline if newline >= 0 else len(text)
        closing = text.rfind(solution_end, closing, line_end)
        if not text[closing + len(solution_end) : line_end].strip():
            return text[begin:closing]
        closing = text.find(solution_end, line_end)
    return None


def tutorial_number(text: str, tags: Tags = DEFAULT_TAGS) -> str | None:
    r"""Group 1 of `SS.*?([\d\.]{1,})` (DOTALL, search), or None: the first digits or dots after SS."""
    _, _, rest = text.partition(check_tags(tags)[2])
    return number[0] if (number := re.search(r"[\d.]+", rest)) else None
