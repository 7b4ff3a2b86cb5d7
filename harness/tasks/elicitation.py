"""Other prompts for the base than the experiment's own: what prompting alone can do.

None of them asks for the experiment's tags; an answer counts if it is right in any format. Which is best for a model is
measured on the dev split, and then only that one is asked on test (harness.evaluate.elicitation).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.tasks.dataset import Message, messages
from harness.tasks.records import Problem

OWN = "own"
EXAMPLES = 4  # worked examples before the question
STEPS = "Think step by step, and end with one line: The answer is NUMBER."
_CALCULATOR = re.compile(r"<<[^<>]*>>")  # GSM8K's annotations, which are no part of the text


@dataclass(frozen=True, slots=True)
class Prompting:
    """One way to ask a question."""

    name: str  # also of its folder
    words: str  # what it is, for a reader
    chat: Callable[[str], list[Message]]  # the messages for a question


def promptings(system: str, train: Sequence[Problem]) -> tuple[Prompting, ...]:
    """The ways to ask, in the order in which ties are decided.

    system: the experiment's system text; train: its training problems, of which the first EXAMPLES are the examples.
    """
    return (
        Prompting(OWN, "the experiment's own: its system text, then the question", lambda q: messages(q, system)),
        Prompting("steps", f"the question, then: {STEPS}", lambda q: [_user(f"{q}\n\n{STEPS}")]),
        Prompting("question", "the question alone, as model cards show a chat", lambda q: [_user(q)]),
        Prompting(
            "examples",
            f"{min(EXAMPLES, len(train))} training problems with their solutions as earlier turns, then the question",
            lambda q: [*_examples(train[:EXAMPLES]), _user(q)],
        ),
    )


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _examples(problems: Sequence[Problem]) -> list[Message]:
    turns = []
    for problem in problems:
        solution = _CALCULATOR.sub("", problem.solution) or f"#### {problem.gold}"
        turns += [_user(problem.question), {"role": "assistant", "content": solution}]
    return turns
