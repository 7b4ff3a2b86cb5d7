"""Questions of the user to both models of a run, and what is said of the answers."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.runs import directory
from harness.runs.machine import within_memory
from harness.tasks import answer_format, scoring
from harness.tasks.dataset import problem_id
from harness.tasks.records import Completion, Tags
from harness.util.console import loading, say, side_by_side
from harness.util.errors import HarnessError
from harness.util.text import one_line, visible

if TYPE_CHECKING:
    from harness.models.base_and_tuned import Sides
    from harness.models.engine import Sampling


def verdict(completion: Completion, tags: Tags) -> str:
    """Whether the format held or why not, the answer that the scorer finds, tokens, and how the text ended."""
    # The user's question has no gold answer: the scorer gets a dummy, and only the answer that it found is used.
    score = scoring.score(completion.text, "0", finish_reason=completion.finish_reason, tags=tags)
    held = "format held" if score.exact_format else f"format broken ({_fault(completion, tags)})"
    answer = f"no answer ({score.why})" if score.answer is None else f"answer {score.answer}"
    tokens = f"{completion.tokens} token{'s' * (completion.tokens != 1)}"
    ended = "ended its turn" if completion.finish_reason == "stop" else "cut at the token limit"
    return f"{held}; {answer}; {tokens}, {ended}"


def _fault(completion: Completion, tags: Tags) -> str:
    """The first thing that broke the format."""
    if completion.finish_reason == "length":
        return "cut at the token limit"
    order = answer_format.check_tags(tags)
    counts = answer_format.layout(completion.text, tags).counts
    for tag, count in zip(order, counts, strict=True):
        if count != 1:
            return f"{one_line(tag)} {'is missing' if not count else f'occurs {count} times'}"
    places = [completion.text.find(tag) for tag in order]
    if places != sorted(places):
        return "the tags are not in order"
    return "a block is empty, or there is text around the blocks"


def put(question: str, number: int, sides: Sides, sampling: Sampling, args: argparse.Namespace) -> list[Completion]:
    """Ask both models one question and show their answers; `number`: of the question, from 0."""
    from harness.models.base_and_tuned import NAMES
    from harness.models.engine import completion_seed

    prompt = sides.prompt(question, sampling.max_new_tokens)
    seed = completion_seed(args.seed, problem_id(question), number)
    texts, completions = dict.fromkeys(NAMES, ""), []
    with side_by_side(NAMES) as update:
        for side in NAMES:

            def show(piece: str, side: str = side) -> None:
                texts[side] += piece
                update([visible(text) for text in texts.values()])

            completions.append(sides.answer(side, prompt, sampling, seed, show))
            texts[side] = completions[-1].text
            show("")
    return completions


def _questions(given: list[str]) -> Iterator[str]:
    """The questions of the command line, or of standard input, one on each line; empty ones are skipped."""
    for text in given or _typed():
        # The tokenizer raises for characters that were not valid UTF-8 on the command line.
        if question := text.encode("utf-8", "replace").decode().strip():
            yield question


def _typed() -> Iterator[str]:
    if sys.stdin is None:  # closed
        return
    if not sys.stdin.isatty():
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="replace")
        yield from sys.stdin
        return
    say("One question on each line; Ctrl-D ends.")
    while True:
        try:
            yield input("\nquestion> ")
        except EOFError:
            say("")
            return


@within_memory("end other programs on the GPU")
def ask(args: argparse.Namespace) -> int:
    """Answer the questions of the command line, or of standard input. Raises HarnessError."""
    run = directory.existing(args.run)
    from harness.models import trained

    found = trained.find(run, args.train_seed)
    watched = not args.questions and sys.stdin is not None and sys.stdin.isatty()
    asked = _questions(args.questions)
    if not watched:  # before the models are loaded
        first = next(asked, None)
        if first is None:
            raise HarnessError("no question: give one after the run directory, or one on each line of standard input")
        asked = itertools.chain([first], asked)
    with loading("PyTorch and transformers"):
        from harness.models.base_and_tuned import NAMES, Sides
        from harness.models.engine import Sampling

    sides = Sides(found)
    new_tokens = args.max_new_tokens or run.config.eval.max_new_tokens
    temperature = 0.0 if args.greedy else args.temperature
    sampling = Sampling(new_tokens, temperature, args.top_p, args.top_k, 0.0, sides.stop_ids)
    for number, question in enumerate(asked):
        if not watched:
            say(f"\nquestion: {one_line(question)}")
        try:
            completions = put(question, number, sides, sampling, args)
        except HarnessError as error:
            if not watched:
                raise
            say(one_line(str(error)))
            continue
        for side, completion in zip(NAMES, completions, strict=True):
            say(f"{side}: {verdict(completion, run.config.prompt.tags.record())}")
    return 0
