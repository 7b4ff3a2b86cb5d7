"""Serve a run's report as a page to a browser on this machine; until it is there, how far the run is.

    python -m harness.view results/quickstart-1a2b3c4d
    python -m harness.view results/quickstart-1a2b3c4d --port 8080

The page follows a run that is working: its stage, progress and reward so far, and then the report. Only this machine
can open it; for the page of another one, run ssh -L 8080:127.0.0.1:8080 HOST here, and the command with --port 8080
there. Ctrl-C ends it, and leaves the run as it is.
"""

from __future__ import annotations

import contextlib
import sys

from harness.config import arguments
from harness.util.cli import Parser, exit_code


def main(argv: list[str] | None = None) -> int:
    parser = Parser("view", __doc__)
    arguments.add_run(parser)
    parser.add_argument("--port", type=int, default=0, metavar="N", help="default: any that is free")
    args = parser.parse(argv)
    from harness.runs import directory
    from harness.util.console import say
    from harness.util.text import one_line
    from harness.watch.server import Server

    run = directory.existing(args.run)
    with Server(run, args.port) as server, contextlib.suppress(KeyboardInterrupt):
        say(f"{one_line(run.path.name)}: {server.url} (Ctrl-C ends)")
        server.serve_forever()
    say("\nEnded.")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
