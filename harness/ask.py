"""Ask the base and the tuned model of a run your own question, and read both answers side by side as they are written.

    python -m harness.ask results/quickstart-1a2b3c4d "Ana has 3 boxes of 12 eggs. How many eggs are there?"
    python -m harness.ask results/quickstart-1a2b3c4d --greedy < questions.txt

Without a question, questions are read from standard input, one a line (Ctrl-D ends). Answers are sampled with the
tutorial's settings; the same command gives the same answers, another --seed gives others. Single questions give an
impression; the report has the numbers.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness.runs import directory
from harness.runs.machine import within_memory
from harness.tasks import answer_format, scoring
from harness.tasks.dataset import problem_id
from harness.tasks.records import Completion, Tags
from harness.util.cli import Parser, exit_code
from harness.util.console import say, side_by_side
from harness.util.errors import HarnessError
from harness.util.text import one_line, visible

if TYPE_CHECKING:
    from harness.models.base_and_tuned import Sides
    from harness.models.engine import Sampling


# The tutorial's settings for asking its model.
TEMPERATURE, TOP_P, TOP_K = 1.0, 0.95, 64


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


def _number(kind: type, allowed: str, possible: Callable[[float], bool]) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not possible(value):
            raise argparse.ArgumentTypeError(f"found {text!r}, allowed: {allowed}")
        return value

    return read


def _arguments() -> Parser:
    parser = Parser("ask", __doc__)
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("questions", nargs="*", metavar="question")
    heat = parser.add_mutually_exclusive_group()
    heat.add_argument(
        "--temperature",
        type=_number(float, "0 (greedy) or more", lambda value: 0 <= value < math.inf),
        default=TEMPERATURE,
        help=f"default: {TEMPERATURE}",
    )
    heat.add_argument("--greedy", action="store_true", help="as in the evaluation: always the likeliest token")
    share = _number(float, "above 0, to 1 (disabled)", lambda value: 0 < value <= 1)
    parser.add_argument("--top-p", type=share, default=TOP_P, help=f"default: {TOP_P}; 1 disables")
    whole = _number(int, "a whole number from 0", lambda value: value >= 0)
    parser.add_argument("--top-k", type=whole, default=TOP_K, help=f"default: {TOP_K}; 0 disables")
    positive = _number(int, "a whole number from 1", lambda value: value >= 1)
    parser.add_argument("--max-new-tokens", type=positive, metavar="N", help="default: the run's eval.max_new_tokens")
    parser.add_argument("--seed", type=whole, default=0, help="of sampling; default: 0")
    parser.add_argument("--train-seed", type=int, metavar="SEED", help="one of train.seeds; default: the first")
    return parser


@within_memory("end other programs on the GPU")
def main(argv: list[str] | None = None) -> int:
    args = _arguments().parse(argv)
    run = directory.existing(args.run)
    from harness.models import trained

    found = trained.find(run, args.train_seed)
    from harness.models.base_and_tuned import NAMES, Sides
    from harness.models.engine import Sampling

    sides = Sides(found)
    new_tokens = args.max_new_tokens or run.config.eval.max_new_tokens
    temperature = 0.0 if args.greedy else args.temperature
    sampling = Sampling(new_tokens, temperature, args.top_p, args.top_k, 0.0, sides.stop_ids)
    watched = not args.questions and sys.stdin is not None and sys.stdin.isatty()
    number = -1
    for number, question in enumerate(_questions(args.questions)):
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
    if number < 0 and not watched:
        raise HarnessError("no question: give one after the run directory, or one on each line of standard input")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
