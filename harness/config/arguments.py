"""The arguments that several commands have in common, and what a shell may complete them to.

Imports nothing heavy: every --help and every completion goes through here.
"""

from __future__ import annotations

from argparse import Action, ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Any

RESULTS = Path("results")
SCHEDULERS = ("local", "ray")  # of cluster.scheduler; here, because the schema takes long to import


def add_experiment(
    parser: ArgumentParser, note: str = "", *, setting: str = "key.path=value", number: str = "*"
) -> None:
    """An experiment and settings changed for it; number: of settings, as nargs; note: ends the experiment's help."""
    named = parser.add_argument("experiment", help=f"experiments/NAME.yaml, NAME alone, or another file{note}")
    _complete(named, _experiments)
    changed = parser.add_argument(
        "overrides", nargs=number, default=[], metavar=setting, help="settings changed for this run"
    )
    _complete(changed, _settings)


def add_run(parser: ArgumentParser) -> None:
    _complete(parser.add_argument("run", type=Path, metavar="RUN", help="run directory"), _runs)


def add_runs(parser: ArgumentParser) -> None:
    runs = parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directories, such as results/*")
    _complete(runs, _runs)


def add_cluster(parser: ArgumentParser) -> None:
    parser.add_argument("--cluster", choices=SCHEDULERS, help="as cluster.scheduler; ray: stages side by side")


def add_results(parser: ArgumentParser) -> None:
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help=f"default: {RESULTS}")


def _complete(action: Action, candidates: Any) -> None:
    action.completer = candidates  # argcomplete's attribute


def _experiments(prefix: str, **_: Any) -> Iterable[str]:
    """Names, or paths for a prefix with a folder; runs and other files are the shell's own to complete."""
    from harness.config.loading import experiments

    folder = prefix.rpartition("/")[0]
    if folder not in ("", "exp", "experiments"):
        return []
    return [f"{folder}/{name}.yaml" if folder else name for name in experiments()]


def _settings(prefix: str, **_: Any) -> Iterable[str]:
    from harness.config.loading import leaves

    return [f"{key}=" for key in leaves()]


def _runs(prefix: str, **_: Any) -> Iterable[str]:
    folder = Path(prefix.rpartition("/")[0] or RESULTS)
    return [str(path.parent) for path in sorted(folder.glob("*/config.yaml"))]
