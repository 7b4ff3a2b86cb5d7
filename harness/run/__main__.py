"""One command for one experiment: base evaluation → GRPO → tuned evaluation → report.

    python -m harness.run experiments/quickstart.yaml
    python -m harness.run experiments/quickstart.yaml train.seeds=[1,2,3] eval.noise_floor=true
    python -m harness.run experiments/grpo_r8.yaml --dry-run --hours 8
    python -m harness.run results/quickstart-27b891f3
    python -m harness.run experiments/quickstart.yaml train.seeds=[1,2,3] --cluster ray

NAME alone means experiments/NAME.yaml; any of its settings may follow as key.path=value. Each stage runs in its own
process, so that its memory is free before the next. The same command resumes a run that was stopped or killed, and does
nothing if the run is complete.
"""

from __future__ import annotations

import math
import os
import sys

from harness.config import arguments
from harness.util.cli import Parser, exit_code
from harness.util.errors import HarnessError


def main(argv: list[str] | None = None) -> int:
    parser = Parser("run", __doc__)
    arguments.add_experiment(parser, ", or a run directory")
    parser.add_argument("--dry-run", action="store_true", help="print the plan; load no weights, write nothing")
    arguments.add_cluster(parser)
    arguments.add_results(parser)
    parser.add_argument("--hours", type=float, metavar="H", help="with --dry-run: how to spend so many hours")
    args = parser.parse(argv)
    if args.hours is not None and not (args.dry_run and 0 < args.hours < math.inf):
        raise HarnessError("--hours: plans how to spend more than 0 hours; give it together with --dry-run")
    from harness.run import execute, plan
    from harness.runs import directory

    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    run = directory.open_run(args.experiment, args.overrides, args.results, create=False).on(args.cluster)
    if args.dry_run:
        plan.show(run, args.hours)
        return 0
    return execute.run(run)


if __name__ == "__main__":
    sys.exit(exit_code(main))
