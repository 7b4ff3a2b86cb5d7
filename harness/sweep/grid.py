"""The grid of a sweep, its runs one after the other, and their comparison."""

from __future__ import annotations

import hashlib
import itertools
import json
import operator
import os
import signal
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin

from harness.cluster import members, pool
from harness.cluster.members import Member
from harness.compare import formats
from harness.compare import groups as run_groups
from harness.config.schema import ADDING, Config
from harness.run.execute import is_done
from harness.run.inputs import check_inputs
from harness.runs import directory
from harness.runs.directory import RunDir
from harness.runs.stages import complete, state_of
from harness.util import files, logs, processes
from harness.util.console import say
from harness.util.errors import HarnessError
from harness.util.interrupts import STOPPED, Stopped
from harness.util.text import one_line, plural

CLOSING = {"[": "]", "{": "}", '"': '"', "'": "'"}
SELECTION = (
    "The best of several runs on the test questions looks better than it is: choose with eval.split=dev, "
    "and evaluate only the chosen one on test."
)
ONE_SEED = (
    "Runs of one training seed also differ by the luck of the seed; with several in each run, such as "
    "train.seeds=[0,1,2], the intervals include that."
)


@dataclass(frozen=True)
class Planned:
    """One combination of the grid."""

    settings: dict[str, str]  # those with several values, by key path, as given
    overrides: list[str]  # all that are given, as arguments of harness.run
    run: RunDir

    @property
    def label(self) -> str:
        return one_line(" ".join(f"{key}={value}" for key, value in self.settings.items()))

    @property
    def state(self) -> str:
        return state_of(self.run)


# --- the grid


def split(item: str) -> tuple[str, list[str]]:
    """The key path of key.path=a,b,c and its values; text in brackets or quotes is one value.

    For a setting that is a list, such as seeds or reward functions, a single value becomes a list. Raises HarnessError.
    """
    key, equals, text = item.partition("=")
    key = key.strip()
    if not equals or not key:
        raise HarnessError(f"command line: found {item!r}, allowed: key.path=value,value, such as lora.r=4,8")
    values, open_ones = [""], []
    for character in text:
        if open_ones and character == open_ones[-1]:
            open_ones.pop()
        elif character in CLOSING and not (open_ones and open_ones[-1] in "\"'"):
            open_ones.append(CLOSING[character])
        elif character == "," and not open_ones:
            values.append("")
            continue
        values[-1] += character
    if len(values) == 1 and not (open_ones and "," in text):
        values = [text]
    elif open_ones:
        raise HarnessError(f"command line: in {item!r} a closing {open_ones[-1]} is missing")
    elif not all(value.strip() for value in values):
        raise HarnessError(
            f"command line: {item!r} has an empty value between commas; write no blank after a comma, and put text "
            f"with commas in quotes"
        )
    if _is_list(key):
        values = [value if value.strip().startswith("[") else f"[{value}]" for value in values]
    return key, values


def _is_list(path: str) -> bool:
    section: Any = Config
    for name in path.split("."):
        field = getattr(section, "model_fields", {}).get(name)
        if field is None:
            return False  # unknown key: loading the configuration gives the error
        section = field.annotation
    return get_origin(section) is list


def plan(experiment: str, overrides: Sequence[str], results: Path) -> tuple[list[Planned], list[tuple[str, str]]]:
    """The runs of a grid in order, the first key's values slowest, and those left out with the run that they repeat.

    Every combination is read and checked, without loading a model. Raises HarnessError; nothing is written.
    """
    grid = dict(map(split, overrides))
    if len(grid) < len(overrides):
        raise HarnessError("command line: a setting is given twice; give its values with commas between them")
    found: dict[str, Planned] = {}
    repeated = []
    for values in itertools.product(*grid.values()):
        given = dict(zip(grid, values, strict=True))
        items = [f"{key}={value}" for key, value in given.items()]
        run = directory.open_run(experiment, items, results, create=False)
        varied = {key: value for key, value in given.items() if len(grid[key]) > 1}
        planned = Planned(varied, items, run)
        if twin := found.get(run.config.digest()):
            for key in ADDING:
                if operator.attrgetter(key)(run.config) != operator.attrgetter(key)(twin.run.config):
                    raise HarnessError(
                        f"{key}: adds to a run and makes no other one of it, so that a sweep takes one value; for a "
                        "second, give the experiment another name (name=...)"
                    )
            repeated.append((planned.label, twin.label))
        else:
            found[run.config.digest()] = planned
    # Most of a grid has the same inputs to check, and loading data takes seconds.
    checked = {_checked(planned.run.config): planned.run.config for planned in found.values()}
    for config in checked.values():
        check_inputs(config)
    return list(found.values()), repeated


def _checked(config: Config) -> str:
    """A key of what check_inputs looks at: the settings without those that sweeps usually vary."""
    kept = config.model_dump()
    kept["several"] = len(config.train.seeds) > 1
    for name in ("seeds", "learning_rate", "steps", "beta"):
        del kept["train"][name]
    del kept["lora"], kept["name"]
    return json.dumps(kept, sort_keys=True)


def page_name(planned: Sequence[Planned]) -> str:
    """The file name of the comparison: the experiment's name, and 8 hex digits over the digests of the runs."""
    digests = "\n".join(each.run.config.digest() for each in planned)
    return f"sweep-{planned[0].run.config.name}-{hashlib.sha256(digests.encode()).hexdigest()[:8]}.html"


def show(planned: Sequence[Planned], repeated: Sequence[tuple[str, str]]) -> None:
    """Print the runs of the sweep and how many of them are complete."""
    states = [each.state for each in planned]
    width = max(len(each.run.path.name) for each in planned)
    for each, state in zip(planned, states, strict=True):
        say(f"{state:<8}  {each.run.path.name:<{width}}  {each.label}")
    for label, twin in repeated:
        say(f"Left out: {label} is the same run as {twin}.")
    counted = ", ".join(f"{states.count(state)} {state}" for state in ("complete", "begun", "new"))
    say(f"{plural(len(planned), 'run')}: {counted}.")


# --- the runs


def execute(planned: Sequence[Planned], experiment: str, results: Path, scheduler: str = "local") -> dict[int, str]:
    """Start the runs that are not complete, each as a process; returns the reason for each that failed, by position.

    One after the other, or with "ray" side by side. A run that another command has completed in the meantime did not
    fail; one that was complete but whose inputs have changed since then did.
    """
    missing, stale = {}, {}
    for number, each in enumerate(planned):
        place = f"Run {number + 1} of {len(planned)}: {each.label or each.run.path.name}"
        try:
            if is_done(each.run):
                say(f"{place}: complete already.")
            else:
                missing[number] = place
        except HarnessError as error:  # its data, weights or rewards differ from those of the other runs
            stale[number] = str(error)
    options = ["--results", str(results), "--cluster", scheduler]
    arguments = {number: [experiment, *planned[number].overrides, *options] for number in missing}
    if scheduler == "ray" and missing:
        chosen = [Member(planned[number].label, planned[number].run, arguments[number]) for number in missing]
        with pool.joined(chosen[0].run.config.cluster, results) as workers:
            found = members.run_all(chosen, workers)
        failed = {number: found[position] for position, number in enumerate(missing) if position in found}
    else:
        failed = _one_by_one(planned, missing, arguments)
    return stale | {number: reason for number, reason in failed.items() if not complete(planned[number].run)}


def _one_by_one(planned: Sequence[Planned], missing: dict[int, str], arguments: dict[int, list[str]]) -> dict[int, str]:
    failed = {}
    for number, place in missing.items():
        path = planned[number].run.path
        since = logs.size(path)
        say(f"\n{place}")
        try:
            code = processes.run_whole(["-m", "harness.run", *arguments[number]], os.environ)
        except Stopped as stopped:
            stopped.where = f"sweep, run {number + 1} of {len(planned)}"
            raise
        if code in STOPPED:  # only the run was stopped; it has printed that
            stopped = Stopped(code - 128)
            stopped.said = True
            raise stopped
        if code:
            ended = f"ended by {signal.Signals(-code).name}" if code < 0 else "its error line above says why"
            failed[number] = logs.last_error(path, since) or ended
    return failed


def _made_its_base(run: RunDir) -> bool:
    """Whether the run has generated its base completions, in one part or in several."""
    return any(stage.partition(",")[0] == "base" for stage in run.read_manifest().stages)


def finish(planned: Sequence[Planned], out: Path, failed: Collection[int] = ()) -> None:
    """Print the comparison of the complete runs except those that failed, write its page, and print the caveats."""
    finished = [each for number, each in enumerate(planned) if number not in failed and complete(each.run)]
    parted = run_groups.comparable(run_groups.load([each.run.path for each in finished]))
    if not parted:
        return
    formats.show(parted, "table", "wilson", out.parent)
    files.write_text(out, formats.page(parted, "wilson", out.parent))
    made = [each.run.path.name for each in finished if _made_its_base(each.run)]
    taken = len(finished) - len(made)
    generated = f"generated by {', '.join(made)}" if made else ""
    found = f"{taken} of {len(finished)} runs used existing ones" if taken else ""
    say(f"Base completions: {'; '.join(filter(None, (generated, found)))}.")
    if len(finished) > 1:
        if any(each.run.config.eval.split == "test" for each in finished):
            say(SELECTION)
        if any(len(each.run.config.train.seeds) == 1 for each in finished):
            say(ONE_SEED)
    say(f"Page: {one_line(str(out))}")
