"""The evaluation stage: ask every question, keep every completion, score them all.

    python -m harness.evaluate experiments/quickstart.yaml --side base
    python -m harness.evaluate results/quickstart-1a2b3c4d --side tuned
    python -m harness.evaluate results/quickstart-1a2b3c4d --side tuned --part 1/4

The other sides are `again`, the second evaluation of the base (the noise floor), `elicit`, the base with other prompts,
and `curve`, the base and every kept adapter on the dev split. Completions go to samples.jsonl as they finish; after a
kill only the missing ones are made. Base completions are stored by content in results/.base and shared by all
experiments that would make the same ones.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from harness.config import arguments
from harness.util.cli import Parser, exit_code
from harness.util.errors import HarnessError

if TYPE_CHECKING:
    from harness.runs.completions import Part

SIDES = ("base", "again", "elicit", "curve", "tuned")


def main(argv: list[str] | None = None) -> int:
    parser = Parser("evaluate", __doc__)
    arguments.add_experiment(parser, ", or a run directory")
    parser.add_argument("--side", choices=SIDES, required=True)
    parser.add_argument("--part", type=_part, metavar="I/N", help="of N parts, only the I-th")
    arguments.add_results(parser)
    args = parser.parse(argv)
    if args.part and args.side == "elicit":
        raise HarnessError("--part: other prompts are tried in one piece; leave it out")
    from harness.models import registry
    from harness.runs import directory
    from harness.runs.machine import within_memory
    from harness.util import locks, logs
    from harness.util.console import loading

    run = directory.open_run(args.experiment, args.overrides, args.results)
    with locks.lock(run.path):
        logs.keep(run.path, f"evaluate {args.side}" + f" {args.part}" * bool(args.part))
        remedy = "end other programs on the GPU" + registry.kind(run.config.eval).less_memory(run.config.eval)
        with loading("PyTorch and transformers"):
            from harness.evaluate import elicitation, evaluation

        with within_memory(remedy):
            if args.side == "elicit":
                elicitation.elicit(run)
            else:
                evaluation.evaluate(run, args.side, args.part)
    return 0


def _part(text: str) -> Part:
    from harness.runs.completions import Part

    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise argparse.ArgumentTypeError(f"found {text!r}, allowed: I/N, such as 1/4 for the first of four")
    return Part(int(number), int(of))


if __name__ == "__main__":
    sys.exit(exit_code(main))
