"""Which finished runs can stand in one table: loaded, grouped by what they must share, and what parts the groups."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from harness.report.wording import counts_text, p_text, p_value, points_text, rate_text
from harness.runs import directory
from harness.util import files
from harness.util.errors import HarnessError
from harness.util.text import one_line

COLUMNS = (
    "run", "n", "base accuracy", "tuned accuracy", "Δ accuracy", "gained", "lost", "mid-p", "Δ strict", "Δ format",
    "verdict",
)  # fmt: skip
NEEDED = {"conditions", "n", "base", "tuned", "difference", "verdict"}
QUANTITIES = ("accuracy", "strict", "format")
BASE = "base weights"


def load(paths: list[Path]) -> list[dict[str, Any]]:
    """The summaries of the run directories among the paths, each once; a line on standard error for each other one."""
    found: dict[Path, dict[str, Any]] = {}
    for path in paths:
        try:
            if path.resolve() in found:  # it would count as a second run, and in the correction for their number
                raise HarnessError(f"{path}: given twice")
            found[path.resolve()] = _load(path)
        except HarnessError as error:
            print(f"skipped {one_line(str(error))}", file=sys.stderr)
    return list(found.values())


def _load(path: Path) -> dict[str, Any]:
    """One run's summary with its name and settings. Raises HarnessError where the path is no finished run."""
    if not (path / "summary.json").is_file():
        reason = "not finished" if (path / "config.yaml").is_file() else "not a run directory"
        raise HarnessError(f"{path}: {reason}")
    summary = files.read_json(path / "summary.json")
    if not isinstance(summary, dict) or not summary.keys() >= NEEDED or not isinstance(summary["conditions"], dict):
        raise HarnessError(f"{path}: its summary.json is not one of a run")
    run = directory.existing(path)
    settings = _flat(run.config.deciding()) | _contents(run.read_manifest().inputs)
    # What another base gained is no answer to what these settings gain: its runs have a table of their own.
    conditions = summary["conditions"] | {BASE: summary.get("base_weights")}
    ours = {"run": one_line(path.resolve().name), "path": path, "settings": settings}
    loaded = ours | {key: value for key, value in summary.items() if key not in ours} | {"conditions": conditions}
    try:  # all that any format takes from a summary, before one of them is half printed
        row(loaded, "bootstrap"), numbers(loaded), loaded["verdict"]["direction"]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise HarnessError(
            f"{path}: its summary.json is not as this version writes it ({error!r}); harness.report writes it anew"
        ) from None
    return loaded


def comparable(summaries: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The runs parted into comparable groups, in the order in which the first of each was given."""
    parted: dict[str, list[dict[str, Any]]] = {}
    for summary in summaries:
        parted.setdefault(json.dumps(summary["conditions"], sort_keys=True), []).append(summary)
    return list(parted.values())


def parting_fields(parted: list[list[dict[str, Any]]]) -> list[str]:
    """The conditions in which the groups differ."""
    conditions = [group[0]["conditions"] for group in parted]
    names = sorted({name for each in conditions for name in each})
    return [name for name in names if len({json.dumps(each.get(name), sort_keys=True) for each in conditions}) > 1]


def row(summary: dict[str, Any], intervals: str) -> dict[str, str]:
    """A run as one line of the table; rates in percent, differences in points, each with its 95% interval."""
    difference = summary["difference"]
    return dict(
        zip(
            COLUMNS,
            (
                summary["run"],
                str(summary["n"]),
                rate_text(summary["base"]["accuracy"], intervals),
                rate_text(summary["tuned"]["accuracy"], intervals),
                points_text(difference["accuracy"]),
                counts_text(summary, "accuracy", "gained"),
                counts_text(summary, "accuracy", "lost"),
                p_text(difference["accuracy"]),
                points_text(difference["strict"]),
                points_text(difference["format"]),
                summary["verdict"]["kind"],
            ),
            strict=True,
        )
    )


def parted_by(group: list[dict[str, Any]], fields: list[str]) -> dict[str, str]:
    """The conditions of a group that part it from others; with the hash of a base the name that it was given."""
    values = {name: shown_value(group[0]["conditions"].get(name)) for name in fields}
    if BASE in values:
        values[BASE] += f" ({group[0]['settings']['model.id']})"
    return values


def differing(group: list[dict[str, Any]]) -> list[str]:
    """The settings in which the runs of a group differ."""
    known = dict.fromkeys(key for run in group for key in run["settings"])  # in their order
    return [key for key in known if len({str(run["settings"].get(key)) for run in group}) > 1]


def setting_lines(group: list[dict[str, Any]]) -> list[str]:
    """A line a run with the settings in which the runs of a group differ."""
    keys, listed = differing(group), []
    for run in group if keys else []:
        values = (f"{key}={run['settings'][key]}" for key in keys if key in run["settings"])
        listed.append(f"{run['run']}: " + ", ".join(values))
    return [one_line(line) for line in listed]


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by key path; sections are opened."""
    found = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def _contents(inputs: dict[str, str]) -> dict[str, str]:
    """What the settings only name, by its hash's first digits: a file of one name may have changed between two runs."""
    own = [value[:8] for name, value in sorted(inputs.items()) if name.startswith("reward file")]
    found = {"data.content": inputs.get("data", "")[:8], "rewards.content": "+".join(own)}
    return {name: value for name, value in found.items() if value}


def shown_value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    is_hash = len(text) == 64 and not set(text) - set("0123456789abcdef")
    return text[:8] if is_hash else text


def numbers(run: dict[str, Any]) -> dict[str, Any]:
    """A run's numbers by the columns of the CSV."""
    values: dict[str, Any] = {"run": run["run"], "n": run["n"]}
    for side in ("base", "tuned"):
        for name in QUANTITIES:
            ends = ("value", "low", "high", "bootstrap_low", "bootstrap_high")
            values |= {f"{side}_{name}_{end}": run[side][name].get(end) for end in ends}
    for name in QUANTITIES:
        ends = ("value", "low", "high", "gained", "lost", "mid_p", "exact_p")
        values |= {f"difference_{name}_{end}": run["difference"][name][end] for end in ends}
        values[f"difference_{name}_p"] = p_value(run["difference"][name])
    return values | {"seeds": len(run.get("seeds", [1])), "verdict": run["verdict"]["kind"]}
