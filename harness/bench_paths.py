"""What benchmarks that compare several paths have in common: the command line, and the line that names the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness import machine, processes, provenance
from harness.errors import HarnessError, Parser


def parser(name: str, doc: str, paths: Sequence[str], measured: str) -> Parser:
    """A parser for `python -m harness.bench NAME EXPERIMENT [key.path=value ...] [--paths A,B]`."""
    made = Parser(f"bench {name}", doc)
    made.add_argument("experiment", help=f"exp/NAME.yaml: {measured}")
    made.add_argument("overrides", nargs="*", metavar="key.path=value")
    made.add_argument("--paths", default=",".join(paths), metavar="A,B", help=f"default: {','.join(paths)}")
    return made


def chosen(given: str, paths: Sequence[str]) -> list[str]:
    """The paths that --paths names. Raises HarnessError for one that there is not."""
    wanted = given.split(",")
    if unknown := set(wanted) - set(paths):
        raise HarnessError(f"--paths: {', '.join(sorted(unknown))}: unknown; there are {', '.join(paths)}")
    return wanted


def run(name: str, path: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run one path, `python -m COMMAND`, as a process that leaves none behind. Raises HarnessError where it fails."""
    processes.adopt_orphans()
    try:
        code = processes.run(["-m", *command], environment)
    finally:
        processes.end_descendants()
    if code:
        raise HarnessError(f"bench {name}: the {path} path failed (its message is above)")


def print_machine(*packages: str) -> None:
    """Print the GPUs and the versions of those packages that are installed."""
    versions = provenance.versions()
    gpu = ", ".join(gpu.name for gpu in machine.gpus()) or "no GPU"
    print(f"\n{gpu}; " + ", ".join(f"{name} {versions[name]}" for name in packages if name in versions) + "\n")
