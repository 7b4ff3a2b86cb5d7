"""The outside check: lm-evaluation-harness scores base and tuned model of a finished run on its own gsm8k task.

    python -m harness.crosscheck results/quickstart-1a2b3c4d
    python -m harness.crosscheck results/quickstart-1a2b3c4d --chat --limit 200
    python -m harness.crosscheck results/quickstart-1a2b3c4d --our-prompt

lm-eval loads the models itself, writes its own prompts (5 worked examples, "Question: … Answer:"), generates, extracts
and counts; the questions are those that the run evaluated. Its filters and its metric also judge the completions that
the run has stored, where they must say what the scorer panel says. One table holds their numbers and ours, and what
differs between them; with --our-prompt lm-eval asks as the run did, so that the prompt is not among it. Each model is a
process of its own (worker.py) that leaves its answers in RUN/crosscheck/<settings>; what is there is not made again.
"""

from __future__ import annotations

import sys
from typing import Any

from harness.crosscheck import inputs, lm_eval_task, table
from harness.crosscheck.inputs import Check
from harness.models.checkpoint import file_hash
from harness.runs import directory
from harness.runs.directory import RunDir
from harness.runs.stages import Stage, stages, start
from harness.util import files
from harness.util.cli import Parser, exit_code
from harness.util.console import markdown, say
from harness.util.errors import HarnessError
from harness.util.text import one_line


def crosscheck(run: RunDir, check: Check, seeds: list[int], held: int | None) -> int:
    """Make what is missing and draw the table; returns the exit code of a model that failed. `held` as in harness.run.

    Raises HarnessError where the run is not finished, and where stored answers were made under other conditions.
    """
    lm_eval_task.installed()
    if unfinished := [stage.name for stage in stages(run) if not stage.done]:
        raise HarnessError(
            f"{run.path}: not finished, the {unfinished[0]} is missing; python -m harness.run {run.path} goes on"
        )
    material, place = inputs.prepare(run, check), inputs.folder(run, check)
    sides = {seed: inputs.conditions(run, check, material, seed) for seed in (None, *seeds)}
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
    """The hash of our own evaluation of a model: scored again, it is compared again."""
    return file_hash((run.base if seed is None else run.tuned(seed)) / "result.json")


def _answered(run: RunDir, check: Check, seed: int | None, wanted: dict[str, Any], held: int | None) -> int:
    """Have lm-eval ask one model, unless its answers are there; returns the exit code."""
    place = inputs.folder(run, check)
    outcome = place / f"{inputs.side(seed)}.json"
    if outcome.exists():
        stored = inputs.read_asked(place, seed).conditions
        if other := [name for name in wanted if stored.get(name) != wanted[name]]:
            raise HarnessError(f"{outcome}: was made otherwise than now ({', '.join(other)}); delete {place}")
        return 0
    whose = ["--seed", str(seed)] if seed is not None else ["--base"]
    name = f"crosscheck ({inputs.side(seed)})"
    say(f"{name}: lm-eval {wanted['versions']['lm_eval']}, {wanted['backend']} on {wanted['device']}")
    return start(run, held, Stage(name, [outcome], ["harness.crosscheck.worker", *whose, *check.options()]))


def main(argv: list[str] | None = None) -> int:
    parser = Parser("crosscheck", __doc__)
    inputs.add_options(parser)
    parser.add_argument("--seed", type=int, metavar="S", help="only what this training seed made; default: every seed")
    args = parser.parse(argv)
    run, check = directory.existing(args.run), inputs.check_of(args)
    trained = run.config.train.seeds
    if args.seed is not None and args.seed not in trained:
        raise HarnessError(f"--seed: {args.seed} is none of this run's training seeds ({', '.join(map(str, trained))})")
    with files.lock(run.path) as held:
        return crosscheck(run, check, trained if args.seed is None else [args.seed], held)


if __name__ == "__main__":
    sys.exit(exit_code(main))
