"""The outside check: lm-evaluation-harness scores base and tuned model of a finished run on its own gsm8k task.

    python -m harness.crosscheck results/quickstart-1a2b3c4d
    python -m harness.crosscheck results/quickstart-1a2b3c4d --chat --limit 200
    python -m harness.crosscheck results/quickstart-1a2b3c4d --our-prompt

lm-eval loads the models itself, writes its own prompts (5 worked examples, "Question: … Answer:"), generates, extracts
and counts; the questions are those that the run evaluated. Its filters and its metric also judge the run's stored
completions, on which they must agree with the scorer panel. One table has their numbers and ours, and how the two
evaluations differ; with --our-prompt lm-eval uses the run's prompt, so that the prompts are the same. Each model runs
in its own process (worker.py), which writes its answers to RUN/crosscheck/<settings>; existing answers are reused.
"""

from __future__ import annotations

import sys
from typing import Any

from harness.crosscheck import inputs, lm_eval_task, table
from harness.crosscheck.inputs import Check
from harness.runs import directory
from harness.runs.directory import RunDir
from harness.runs.stages import Stage, stages, start
from harness.util import files
from harness.util.cli import Parser, exit_code
from harness.util.console import markdown, say
from harness.util.errors import HarnessError
from harness.util.files import file_hash
from harness.util.text import one_line


def crosscheck(run: RunDir, check: Check, seeds: list[int], held: int | None) -> int:
    """Make what is missing and draw the table; returns the exit code of a model that failed. `held` as in harness.run.

    Raises HarnessError if the run is not finished, and if stored answers were made under other conditions.
    """
    lm_eval_task.installed()
    if unfinished := [stage.name for stage in stages(run) if not stage.done]:
        raise HarnessError(
            f"{run.path}: not finished, the {unfinished[0]} is missing; python -m harness.run {run.path} resumes it"
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


def main(argv: list[str] | None = None) -> int:
    parser = Parser("crosscheck", __doc__)
    inputs.add_options(parser)
    parser.add_argument("--seed", type=int, metavar="S", help="only this training seed's model; default: every seed")
    args = parser.parse(argv)
    run, check = directory.existing(args.run), inputs.check_of(args)
    run.check_seed("--seed", args.seed)
    with files.lock(run.path) as held:
        return crosscheck(run, check, run.config.train.seeds if args.seed is None else [args.seed], held)


if __name__ == "__main__":
    sys.exit(exit_code(main))
