"""Measurements of the harness, printed as tables.

    python -m harness.bench scoring               speed of the scorer, the panel and the rewards
    python -m harness.bench eval grpo_r8 --fixed  the evaluation compared with raw vLLM and transformers
    python -m harness.bench train grpo_r8         a GRPO step by each backend and way of making rollouts
    python -m harness.bench scale grpo_r8         an evaluation in several parts side by side, on Ray
    python -m harness.bench project RUN OTHER     what a sweep would take on several GPUs, from measured pieces
    python -m harness.bench report results/*      every run's report and page, and the comparison of all
    python -m harness.bench coverage --quick      how often our intervals cover and our tests err
    python -m harness.bench drift                 how often the drift warning speaks without a reason
    python -m harness.bench faults                kills, damaged files and bad inputs, and how a run ends

Each has a --help of its own.
"""

from __future__ import annotations

import importlib
import os
import sys

from harness.util.cli import STARTS_OVER, Parser, exit_code

# Where each measurement is.
COMMANDS = {
    "scoring": "bench.speed:scoring_speed", "report": "bench.speed:report", "eval": "bench.evaluate:main",
    "train": "bench.train:main", "scale": "cluster.scale:main", "project": "cluster.scale:project",
    "coverage": "bench.coverage:main", "drift": "bench.drift:main", "faults": "bench.faults:main",
}  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    given = sys.argv[1:] if argv is None else argv
    parser = Parser("bench", __doc__)
    parser.add_argument("benchmark", choices=list(COMMANDS), help="each has its own --help")
    os.environ[STARTS_OVER] = "1"
    chosen = parser.parse(given[:1]).benchmark
    module, _, function = COMMANDS[chosen].partition(":")
    getattr(importlib.import_module(f"harness.{module}"), function)(given[1:])
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
