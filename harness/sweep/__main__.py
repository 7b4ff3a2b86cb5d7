"""A grid of settings: one run for each combination, and the comparison at the end.

    python -m harness.sweep experiments/grpo_r8.yaml lora.r=4,8,16 train.learning_rate=5e-6,2e-5
    python -m harness.sweep experiments/quickstart.yaml lora.r=4,8 train.seeds=0,1 --dry-run
    python -m harness.sweep experiments/quickstart.yaml lora.r=4,8 train.seeds=0,1 --cluster ray

Commas separate the values of a setting. Text in brackets or quotes is one value: train.seeds=0,1,2 means three runs of
one seed, train.seeds=[0,1,2] one run of three. Every combination is checked before the first starts, base evaluations
are shared, a run that fails does not stop the others, and the same command resumes a sweep that was stopped. The runs
go one after the other, or side by side on Ray's workers (--cluster ray).
"""

from __future__ import annotations

import sys
from pathlib import Path

from harness.config import arguments
from harness.util.cli import Parser, exit_code
from harness.util.errors import HarnessError


def main(argv: list[str] | None = None) -> int:
    parser = Parser("sweep", __doc__)
    arguments.add_experiment(parser, setting="key.path=value,value", number="+")
    parser.add_argument("--dry-run", action="store_true", help="check every combination, list the runs, start none")
    arguments.add_cluster(parser)
    arguments.add_results(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="of the page; default: DIR/sweep-NAME-DIGEST.html")
    args = parser.parse(argv)
    if args.out and (args.out.suffix != ".html" or args.out.is_dir()):
        raise HarnessError(f"--out: {args.out} is not a file name ending in .html; the comparison is a page")
    if Path(args.experiment).is_dir():
        raise HarnessError(f"{args.experiment}: is a directory; give an experiment file")
    from harness.sweep import grid
    from harness.util.console import say
    from harness.util.text import one_line

    planned, repeated = grid.plan(args.experiment, args.overrides, args.results)
    grid.show(planned, repeated)
    if args.dry_run:
        return 0
    scheduler = args.cluster or planned[0].run.config.cluster.scheduler
    failed = grid.execute(planned, args.experiment, args.results, scheduler)
    say("")
    grid.finish(planned, args.out or args.results / grid.page_name(planned), failed)
    for number, reason in failed.items():
        say(f"Failed: {planned[number].run.path.name} ({planned[number].label}): {one_line(reason)}")
    if failed:
        raise HarnessError(f"{len(failed)} of {len(planned)} runs failed; the same command runs them again")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
