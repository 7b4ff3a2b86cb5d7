"""Which finished runs can be compared: loading them, grouping them by their conditions, and how the groups differ."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.compare import conditions
from harness.compare.conditions import BASE
from harness.report import summary
from harness.report.summary import Summary
from harness.report.wording import counts_text, demo, identity_parts, p_text, points_text, rate_text, steps_text
from harness.runs import directory, seals
from harness.stats import finding
from harness.stats.scores import COMPARED
from harness.util import files, typed
from harness.util.errors import HarnessError
from harness.util.text import one_line, quoted

COLUMNS = (
    "run", "n", "base accuracy", "tuned accuracy", "Δ accuracy", "gained", "lost", "mid-p", "Δ strict", "Δ format",
    "verdict",
)  # fmt: skip
# The columns that a narrow terminal leaves out, the first one first: the rest says which run, what, and how sure.
EXPENDABLE = ("Δ format", "Δ strict", "n", ("gained", "lost"), "base accuracy", "tuned accuracy")
MEANING = (
    "Accuracy in percent and differences (Δ: tuned minus base) in points, with 95% intervals. gained, lost: the "
    "questions that only the tuned, or only the base model answers right, or with several samples a question those "
    "whose score rose or fell. mid-p: the p-value of the paired test. "
    "verdict: detected if interval and tests find a difference, borderline if they disagree."
)
# Settings that are no setting of a file, but hashes of what one names.
HASHES = {
    "data.content": (
        "a hash of the questions and answers of training, dev and test split: the files or data.dev changed between "
        "the runs"
    ),
    "rewards.content": "a hash of the files with your own reward functions: they changed between the runs",
}
ASIDE = ("README.md", "reference", "sweep-*.html")  # what results/* names beside the runs


@dataclass(frozen=True, slots=True, eq=False)  # compared by identity: groups are keys of the cache of pairs
class Run:
    """One finished run of the comparison."""

    name: str  # of its directory, on one line
    path: Path
    settings: dict[str, Any]  # by key path: everything that affects its numbers
    conditions: dict[str, Any]  # by name: what the runs of one table share
    summary: Summary


Group = tuple[Run, ...]  # runs that can be compared with each other
Value = str | int | float | None


def load(paths: list[Path]) -> list[Run]:
    """The finished runs among the paths, each once; a line on standard error for each other path.

    But none for ASIDE.
    """
    found: dict[Path, Run] = {}
    for path in paths:
        if any(map(path.match, ASIDE)):
            continue
        try:
            if path.resolve() in found:  # it would count twice, also in the correction for the number of comparisons
                raise HarnessError(f"{path}: given twice")
            found[path.resolve()] = _load(path)
        except HarnessError as error:
            print(f"skipped {one_line(str(error))}", file=sys.stderr)
    return list(found.values())


def _load(path: Path) -> Run:
    """One finished run. Raises HarnessError if the path is not one, is damaged, or was written by another version."""
    if not all((path / name).is_file() for name in ("summary.json", "report.md")):  # an outdated report is deleted
        reason = "not finished" if (path / "config.yaml").is_file() else "not a run directory"
        raise HarnessError(f"{path}: {reason}")
    numbers, run = summary.read(path), directory.existing(path)
    for each in seals.broken(run, lambda file: not file.is_relative_to(path / "train")):
        if not each.missing:  # a run can be in the table without its answers
            raise HarnessError(f"{path / each.path}: {each.why}; python -m harness.run {quoted(path)} mends it")
    settings = _flat(run.config.deciding()) | _contents(run.read_manifest().inputs)
    # Gains of different bases are not comparable, so runs of another base get their own table.
    shared = plain(numbers.conditions) | {BASE: numbers.base_weights}
    return Run(one_line(path.resolve().name), path, settings, shared, numbers)


def plain(value: Any) -> Any:
    """A dataclass as JSON types, with its keys in the order of the file."""
    return json.loads(files.as_json(typed.plain(value)))


def comparable(runs: Sequence[Run]) -> list[Group]:
    """The runs in comparable groups, ordered by the first run of each."""
    parted: dict[str, list[Run]] = {}
    for run in runs:
        parted.setdefault(json.dumps(run.conditions, sort_keys=True), []).append(run)
    return [tuple(group) for group in parted.values()]


def parting_fields(parted: Sequence[Group]) -> list[str]:
    """The conditions in which the groups differ."""
    shared = [group[0].conditions for group in parted]
    names = sorted({name for each in shared for name in each})
    return [name for name in names if len({json.dumps(each.get(name), sort_keys=True) for each in shared}) > 1]


def row(run: Run, intervals: str) -> dict[str, str]:
    """A run as one line of the table; rates in percent, differences in points, each with its 95% interval."""
    numbers, difference = run.summary, run.summary.difference
    values = (
        run.name,
        f"{numbers.n:,}",
        rate_text(numbers.base.accuracy.by(intervals)),
        rate_text(numbers.tuned.accuracy.by(intervals)),
        points_text(difference.accuracy),
        counts_text(numbers, "accuracy", "gained"),
        counts_text(numbers, "accuracy", "lost"),
        p_text(difference.accuracy),
        points_text(difference.strict),
        points_text(difference.format),
        finding.label(numbers.verdict.kind, numbers.verdict.direction),
    )
    return dict(zip(COLUMNS, values, strict=True))


def parted_by(group: Group, fields: list[str]) -> dict[str, str]:
    """The conditions in which a group differs from others; the hash of a base is followed by its model.id."""
    values = {name: conditions.shown(group[0].conditions.get(name)) for name in fields}
    if BASE in values:
        values[BASE] += f" ({group[0].settings['model.id']})"
    return values


def differing(group: Group) -> list[str]:
    """The settings in which the runs of a group differ."""
    known = dict.fromkeys(key for run in group for key in run.settings)  # keeps the order
    return [key for key in known if len({str(run.settings.get(key)) for run in group}) > 1]


def measured(group: Group) -> list[str]:
    """What the runs of a group have in common: model, training, questions; and that it is a demo, if it is."""
    first, *others = (identity_parts(run.summary) for run in group)
    common = [part for part in first if all(part in other for other in others)]
    warned = dict.fromkeys(filter(None, (demo(run.summary.identity) for run in group)))
    return [f"Measured: {'; '.join(common)}.", *warned]


def lines(group: Group) -> list[str]:
    """What the runs have in common, and one line for each with the settings in which they differ."""
    keys, listed = differing(group), measured(group)
    for run in group if keys else []:
        values = (f"{key}={spelled(run.settings[key])}" for key in keys if key in run.settings)
        listed.append(f"{run.name}: " + ", ".join(values))
    for run in group:
        if run.summary.identity.done:
            steps = steps_text(run.summary.identity)
            listed.append(f"{run.name}: the training was stopped after {steps} (train.on_drift).")
    listed += [f"{key} is {meaning}." for key, meaning in HASHES.items() if key in keys]
    return [one_line(line) for line in listed]


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings of all sections by key path."""
    found = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def _contents(inputs: dict[str, str]) -> dict[str, str]:
    """Short hashes of the files that the settings only name, because they may have changed between two runs."""
    own = [value[:8] for name, value in sorted(inputs.items()) if name.startswith("reward file")]
    found = dict(zip(HASHES, (inputs.get("data", "")[:8], "+".join(own)), strict=True))
    return {name: value for name, value in found.items() if value}


def spelled(value: Any) -> str:
    """A setting as an experiment file has it; text as it is."""
    if isinstance(value, str):
        return value
    return yaml.safe_dump([value], default_flow_style=True, width=math.inf, allow_unicode=True).strip()[1:-1]


def numbers(run: Run) -> dict[str, Value]:
    """A run's numbers by the columns of the CSV."""
    found = run.summary
    values: dict[str, Value] = {"run": run.name, "n": found.n}
    for side, held in (("base", found.base), ("tuned", found.tuned)):
        for name in COMPARED:
            ends = ("value", "low", "high", "bootstrap_low", "bootstrap_high")
            values |= {f"{side}_{name}_{end}": getattr(getattr(held, name), end) for end in ends}
    for name in COMPARED:
        ends = ("value", "low", "high", "gained", "lost", "mid_p", "exact_p", "p")
        values |= {f"difference_{name}_{end}": getattr(getattr(found.difference, name), end) for end in ends}
    return values | {"seeds": found.several or 1, "verdict": found.verdict.kind}
