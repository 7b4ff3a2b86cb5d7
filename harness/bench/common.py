"""What the benchmarks of several paths share: the command line, the runs, and the line that names the machine."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.config import arguments
from harness.runs import machine, provenance
from harness.util import processes
from harness.util.cli import Parser
from harness.util.errors import HarnessError


def parser(name: str, doc: str, paths: Sequence[str], measured: str) -> Parser:
    """A parser for `python -m harness.bench NAME EXPERIMENT [key.path=value ...] [--paths A,B]`."""
    made = Parser(f"bench {name}", doc)
    arguments.add_experiment(made, f": {measured}")
    made.add_argument("--paths", default=",".join(paths), metavar="A,B", help=f"default: {','.join(paths)}")
    return made


def chosen(given: str, paths: Sequence[str]) -> list[str]:
    """The paths that --paths names. Raises HarnessError for an unknown one."""
    wanted = given.split(",")
    if unknown := set(wanted) - set(paths):
        raise HarnessError(f"--paths: found {', '.join(sorted(unknown))}, allowed: {', '.join(paths)}")
    return wanted


def measured(
    name: str,
    paths: Sequence[str],
    measure: Callable[[str, Path], list[dict[str, Any]]],
    draw: Callable[[list[dict[str, Any]]], None],
) -> None:
    """Measure the paths one after the other, in a shared temporary folder, and draw the rows of all.

    If a path fails, or after Ctrl-C, the rows of the earlier paths are still drawn.
    """
    rows: list[dict[str, Any]] = []
    try:
        with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
            for path in paths:
                rows += measure(path, Path(folder))
    finally:
        if rows:
            draw(rows)


def run(name: str, path: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run one path, `python -m COMMAND`, as a process that leaves none behind. Raises HarnessError if it fails."""
    if processes.run_whole(["-m", *command], environment):
        raise HarnessError(f"bench {name}: the {path} path failed (its message is above)")


def print_machine(*packages: str) -> None:
    """Print the GPUs and the versions of those packages that are installed."""
    versions = provenance.versions()
    gpu = ", ".join(gpu.name for gpu in machine.gpus()) or "no GPU"
    print(f"\n{gpu}; " + ", ".join(f"{name} {versions[name]}" for name in packages if name in versions) + "\n")


def milliseconds(call: Callable[[], object], repeats: int = 3) -> float:
    """The fastest of a few runs, because slower ones reflect other work of the machine."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return 1000 * min(times)
