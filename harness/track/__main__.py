"""Track an experiment with SwanLab while it runs, or afterwards.

    python -m harness.track results/quickstart-27b891f3                # a run that was not tracked, or again
    python -m harness.track results/quickstart-27b891f3 --mode online  # the same, on swanlab.cn

harness.run starts it automatically (track.mode). It only reads what the run writes, and changes no number.
"""

from __future__ import annotations

import sys

from harness.config import arguments
from harness.util.cli import Parser, exit_code
from harness.util.errors import HarnessError

MODES = ("offline", "online", "local", "disabled")


def main(argv: list[str] | None = None) -> int:
    parser = Parser("track", __doc__)
    arguments.add_run(parser)
    parser.add_argument("--mode", choices=MODES, help="default: the run's own track.mode")
    parser.add_argument("--follow", action="store_true", help="until standard input says how the run ended")
    args = parser.parse(argv)
    from harness.runs import directory
    from harness.runs.directory import RunDir
    from harness.track.follow import follow, how_it_ended, kind
    from harness.track.reader import Reader
    from harness.util import locks

    run = directory.existing(args.run)
    run = RunDir(run.path.resolve(), run.config)
    mode = args.mode or run.config.track.mode
    if mode == "disabled":
        asked = "--mode" if args.mode else f"{args.run}: track.mode"
        raise HarnessError(f"{asked} is disabled, so there is nothing to do; give --mode offline, online or local")
    kind(run.config).check(mode)
    with locks.lock(run.path):
        complete = "success" if run.report.exists() else "crashed"
        follow(run, mode, how_it_ended if args.follow else lambda: complete, Reader(run, following=args.follow))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
