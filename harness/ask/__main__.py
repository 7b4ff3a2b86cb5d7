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
from collections.abc import Callable

from harness.config import arguments
from harness.util.cli import Parser, exit_code

# The tutorial's settings for asking its model.
TEMPERATURE, TOP_P, TOP_K = 1.0, 0.95, 64


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
    arguments.add_run(parser)
    parser.add_argument("questions", nargs="*", default=[], metavar="question")
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


def main(argv: list[str] | None = None) -> int:
    args = _arguments().parse(argv)
    from harness.ask import answers

    return answers.ask(args)


if __name__ == "__main__":
    sys.exit(exit_code(main))
