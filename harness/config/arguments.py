"""The arguments that several commands have in common, and what a shell may complete them to.

Imports nothing heavy: every --help and every completion goes through here.
"""

from __future__ import annotations

from argparse import Action, ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.util.errors import HarnessError
from harness.util.text import did_you_mean

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
    told = f"run directory, or the beginning of its name in {RESULTS}"
    _complete(parser.add_argument("run", type=find_run, metavar="RUN", help=told), _runs)


def add_runs(parser: ArgumentParser) -> None:
    told = f"run directories, such as {RESULTS}/*, or names in {RESULTS}"
    _complete(parser.add_argument("runs", nargs="+", type=find_run, metavar="RUN", help=told), _runs)


def find_run(text: str, results: Path = RESULTS) -> Path:
    """What a command line means by a run: a path that exists, or the only run whose name begins so.

    A name without a folder is one in `results`. Raises HarnessError if there is no such run, or several.
    """
    path = Path(text)
    if path.exists():
        return path
    folder = results if path.parent == Path() else path.parent
    runs = {file.parent.name: file.parent for file in sorted(folder.glob("*/config.yaml"))}
    found = [path.name] if path.name in runs else [name for name in runs if name.startswith(path.name)]
    if len(found) == 1:
        return runs[found[0]]
    if found:
        raise HarnessError(f"{text}: {len(found)} runs in {folder} begin so: {', '.join(found)}; give more of the name")
    hint = did_you_mean(path.name, runs) or "python -m harness.ls lists the runs"
    raise HarnessError(f"{text}: not found, and no run in {folder} has a name that begins so; {hint}")


def add_settings(parser: ArgumentParser) -> None:
    told = "settings or sections of them; default: all, as Markdown"
    _complete(parser.add_argument("settings", nargs="*", default=[], metavar="KEY", help=told), _keys)


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


def _keys(prefix: str, **_: Any) -> Iterable[str]:
    from harness.config.loading import keys

    return keys()


def _runs(prefix: str, **_: Any) -> Iterable[str]:
    folder = Path(prefix.rpartition("/")[0] or RESULTS)
    return [str(path.parent) for path in sorted(folder.glob("*/config.yaml"))]
