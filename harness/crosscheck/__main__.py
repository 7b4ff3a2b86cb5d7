"""The outside check: lm-evaluation-harness scores base and tuned model of a finished run on its own task.

    python -m harness.crosscheck results/quickstart-1a2b3c4d
    python -m harness.crosscheck results/quickstart-1a2b3c4d --chat --limit 200
    python -m harness.crosscheck results/quickstart-1a2b3c4d --our-prompt
    python -m harness.crosscheck results/quickstart-1a2b3c4d --task gsm_plus

lm-eval loads the models itself, writes its own prompts (5 worked examples, "Question: … Answer:"), generates, extracts
and counts; the questions are those that the run evaluated. Its filters and its metric also judge the run's stored
completions, on which they must agree with the scorer panel. One table has their numbers and ours, and how the two
evaluations differ; with --our-prompt lm-eval uses the run's prompt and its eval.max_new_tokens, so that both ask the
same. Each model runs in its own process (worker.py), which writes its answers to RUN/crosscheck/<settings>; existing
answers are reused.
"""

from __future__ import annotations

import sys

from harness.config import arguments
from harness.crosscheck import options
from harness.util.cli import Parser, exit_code


def main(argv: list[str] | None = None) -> int:
    parser = Parser("crosscheck", __doc__)
    arguments.add_run(parser)
    options.add(parser)
    parser.add_argument("--seed", type=int, metavar="S", help="only this training seed's model; default: every seed")
    args = parser.parse(argv)
    check = options.check_of(args)
    from harness.crosscheck.check import crosscheck
    from harness.runs import directory
    from harness.util import locks

    run = options.of_task(directory.existing(args.run), check)
    run.check_seed("--seed", args.seed)
    with locks.lock(run.path) as held:
        return crosscheck(run, check, run.config.train.seeds if args.seed is None else [args.seed], held)


if __name__ == "__main__":
    sys.exit(exit_code(main))
