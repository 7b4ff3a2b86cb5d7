"""A crosscheck: what is missing is asked, one process a model, and the table is drawn."""

from __future__ import annotations

from typing import Any

from harness.crosscheck import inputs, lm_eval_task, table
from harness.crosscheck.options import Check
from harness.runs.directory import RunDir
from harness.runs.stages import Stage, stages, start
from harness.util import files
from harness.util.console import markdown, say
from harness.util.errors import HarnessError
from harness.util.files import file_hash
from harness.util.text import one_line, quoted


def crosscheck(run: RunDir, check: Check, seeds: list[int], held: int | None) -> int:
    """Make what is missing and draw the table; returns the exit code of a model that failed. `held` as in harness.run.

    Raises HarnessError if the run is not finished, and if stored answers were made under other conditions.
    """
    lm_eval_task.installed()
    if unfinished := [stage.name for stage in stages(run) if not stage.done]:
        raise HarnessError(
            f"{run.path}: not finished, the {unfinished[0]} is missing; "
            f"python -m harness.run {quoted(run.path)} resumes it"
        )
    material, place = inputs.prepare(run, check), inputs.folder(run, check)
    hashes = {seed: inputs.model(run, material, seed)[2] for seed in (None, *seeds)}
    sides = {seed: inputs.conditions(run, check, material, trained) for seed, trained in hashes.items()}
    compared = {inputs.side(seed): made | {"ours": _ours(run, seed)} for seed, made in sides.items()}
    file = place / "crosscheck.json"
    numbers = table.read(file) if file.exists() else None
    if numbers is None or numbers.conditions != compared:
        for seed, made in sides.items():
            if code := _answered(run, check, seed, made, held):
                return code
        numbers = table.compare(run, check, material, seeds, compared)
        table.write(file, numbers)
    text = table.draw(numbers)
    files.write_text(place / "crosscheck.md", text)
    markdown(text)
    say(f"Crosscheck: {one_line(str(place / 'crosscheck.md'))}")
    return 0


def _ours(run: RunDir, seed: int | None) -> str:
    """The hash of our own evaluation of a model: if it is scored again, the table is made again."""
    return file_hash((run.base if seed is None else run.tuned(seed)) / "result.json")


def _answered(run: RunDir, check: Check, seed: int | None, wanted: dict[str, Any], held: int | None) -> int:
    """Let lm-eval ask one model, unless its answers exist; returns the exit code."""
    place = inputs.folder(run, check)
    outcome = place / f"{inputs.side(seed)}.json"
    if outcome.exists():
        stored = inputs.read_asked(place, seed).conditions
        if other := [name for name in wanted if stored.get(name) != wanted[name]]:
            raise HarnessError(
                f"{outcome}: was made under other conditions ({', '.join(other)}); delete {place} and run again"
            )
        return 0
    whose = ["--seed", str(seed)] if seed is not None else ["--base"]
    name = f"crosscheck ({inputs.side(seed)})"
    say(f"{name}: lm-eval {wanted['versions']['lm_eval']}, {wanted['backend']} on {wanted['device']}")
    return start(run, held, Stage(name, [outcome], ["harness.crosscheck.worker", *whose, *check.options()]))
