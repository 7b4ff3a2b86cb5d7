"""The evaluation stage: ask every question, keep every completion, score them all.

    python -m harness.evaluate experiments/quickstart.yaml --side base
    python -m harness.evaluate results/quickstart-1a2b3c4d --side tuned

The other sides are `again`, the second evaluation of the base (the noise floor), and `curve`, the base and every kept
adapter on the dev split. Completions go to samples.jsonl as they finish; after a kill only the missing ones are made.
Base completions are stored by content in results/.base and shared by all experiments that would make the same ones.
"""

from __future__ import annotations

import sys

from harness.config import arguments
from harness.util.cli import Parser, exit_code

SIDES = ("base", "again", "curve", "tuned")


def main(argv: list[str] | None = None) -> int:
    parser = Parser("evaluate", __doc__)
    arguments.add_experiment(parser, ", or a run directory")
    parser.add_argument("--side", choices=SIDES, required=True)
    arguments.add_results(parser)
    args = parser.parse(argv)
    from harness.models import registry
    from harness.runs import directory
    from harness.runs.machine import within_memory
    from harness.util import files, logs
    from harness.util.console import loading

    run = directory.open_run(args.experiment, args.overrides, args.results)
    with files.lock(run.path):
        logs.keep(run.path, f"evaluate {args.side}")
        remedy = "end other programs on the GPU" + registry.kind(run.config.eval).less_memory(run.config.eval)
        with loading("PyTorch and transformers"):
            from harness.evaluate.evaluation import evaluate

        with within_memory(remedy):
            evaluate(run, args.side)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
