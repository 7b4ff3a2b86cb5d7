"""One command for one experiment: base evaluation → GRPO → tuned evaluation → report.

    python -m harness.run exp/quickstart.yaml
    python -m harness.run exp/quickstart.yaml train.seeds=[1,2,3] eval.noise_floor=true
    python -m harness.run exp/grpo_r8.yaml --dry-run
    python -m harness.run results/quickstart-27b891f3

exp/NAME.yaml, or NAME alone, means experiments/NAME.yaml; any of its settings may follow as key.path=value. Each stage
runs in its own process, so that its memory is free before the next. The same command resumes a run that was stopped or
killed, and does nothing if the run is complete.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

from harness.config import plugins
from harness.config.schema import Config
from harness.models import checkpoint
from harness.runs import directory, machine, provenance, seals
from harness.runs.directory import RunDir
from harness.runs.manifest import Seeds
from harness.runs.stages import complete, free_memory, stages, start, state_of
from harness.stats import power
from harness.tasks.benchmarks import gsm8k
from harness.tasks.dataset import Data
from harness.tasks.registry import TRAINING
from harness.track import follow
from harness.train import rewards
from harness.util import files, logs
from harness.util.cli import Parser, exit_code
from harness.util.console import say, working
from harness.util.errors import HarnessError
from harness.util.interrupts import command
from harness.util.logs import LOG

DISCORDANCES = (0.05, 0.10, 0.20)  # for which the plan says what the design can detect
DEVIATIONS = (0.5, 1.0, 2.0)  # of the trainings, in points, for which the plan says what their mean detects
SHOWN_IDS = 24


def execute(run: RunDir, held: int | None) -> int:
    """Run the missing stages, and report; returns the exit code of the first that failed.

    `held` is the descriptor of the run's lock, which the stages inherit.
    """
    began = time.perf_counter()
    run.note("seeds", Seeds(tuple(run.config.train.seeds), run.config.lora.seed, run.config.eval.seed))
    planned = stages(run)
    for number, stage in enumerate(planned, 1):
        place = f"[{number}/{len(planned) + 1}]"
        if stage.done:
            say(f"{place} {stage.name}: done already.")
            continue
        say(f"{place} {stage.name}{free_memory()}")
        run.note("made_with", {stage.name: provenance.made_with()})
        if code := start(run, held, stage):
            return code
    from harness.report import write  # imported here to keep --help fast

    say(f"[{len(planned) + 1}/{len(planned) + 1}] report")
    with working("drawing of the report"):
        write.write(run)
    say(f"All stages: {time.perf_counter() - began:.0f} s.\n")
    write.show(run)
    return 0


def check_inputs(config: Config) -> None:
    """Load what the experiment names and needs no model: data and reward functions.

    Raises HarnessError before anything is written.
    """
    if reason := machine.cannot_run(config):
        raise HarnessError(reason)
    follow.check(config)
    _data(config)


def _data(config: Config) -> tuple[Data, Data]:
    """The data of the evaluation and of the training."""
    rewards.of(config)
    task = plugins.task(config)
    data = task.load(config.data.source())
    training = data if task.name == TRAINING else gsm8k.load(config.data.source())
    if len(data.asked(config.eval.split, config.eval.limit)) < 2 and config.train.seeds[1:]:
        raise HarnessError("eval.limit: several training seeds need at least 2 questions to compare; raise it")
    rewards.try_out(config, training.train[0])
    return data, training


def local_inputs(config: Config) -> dict[str, str]:
    """Content hashes, for RunDir.pin, of the local files that the experiment names, if they can still be read."""
    found = rewards.inputs(config)
    with contextlib.suppress(HarnessError, OSError):
        if Path(config.data.path).exists():
            found["data"] = gsm8k.load(config.data.source()).content_hash()
    with contextlib.suppress(HarnessError, OSError):
        if Path(config.model.id).is_dir():
            found |= checkpoint.resolve(config.model).inputs
    return found


def plan(run: RunDir) -> None:
    """Print what the run would do. Loads no model weights and writes nothing."""
    config = run.config
    say(config.to_yaml())
    t = config.train
    say(f"Results: {run.path} ({state_of(run)}); digest {config.digest()}")
    data, training = _data(config)
    n = len(data.asked(config.eval.split, config.eval.limit))
    say(
        f"Data: {data.source}, {len(data.train)} train, {len(data.dev)} dev, {len(data.test)} test problems"
        + (f", {data.repeated} repeated ones left out" if data.repeated else "")
    )
    base = "base (twice, for the noise floor)" if config.eval.noise_floor else "base"
    say(f"Evaluation: {n} questions x {config.eval.samples} completions, {base} and tuned, on {config.eval.engine}.")
    several = f"{len(t.seeds)} trainings (seeds {', '.join(map(str, t.seeds))}), each of " if t.seeds[1:] else ""
    say(
        f"Training: {several}{t.steps} steps on {config.rollouts} rollouts x {t.prompts_per_step} prompts x "
        f"{t.generations} generations = {config.rollouts * config.completions_per_step} completions, on {t.backend}."
    )
    if config.eval.curve:
        steps = ", ".join(map(str, config.kept_steps))
        chosen = "the best of them on dev" if t.checkpoint == "best_dev" else "the last of them"
        say(f"Learning curve: {len(data.dev)} dev questions, base and steps {steps}; tuned is {chosen}.")
    for psi in DISCORDANCES:
        effect = power.minimum_detectable_effect(n, psi, correction=1.0)  # as in the verdict on one training
        found = f"differences of {100 * effect:.2f} points and more" if effect else "nothing"
        say(f"If {psi:.0%} of the questions change, {n} questions detect {found} (80% power, two-sided .05).")
    if t.seeds[1:]:
        say(_plan_seeds(n, len(t.seeds)))
    _plan_prompts(config, data, training)
    if reason := machine.cannot_run(config):
        say(f"This experiment cannot run on this machine: {reason}")


def _plan_seeds(n: int, count: int) -> str:
    """What the mean of several trainings detects, which depends on how much they differ."""
    psi, found = DISCORDANCES[1], []
    for deviation in DEVIATIONS:
        effect = power.planned(n, psi, deviation / 100, count)
        found.append(f"{f'{100 * effect:.2f} points' if effect else 'nothing'} at {deviation:g}")
    unknown = " The report will give no power: two seeds do not bound how much trainings vary."
    return (
        f"That is for each training by itself: what the mean of {count} detects depends on how much they differ. If "
        f"{psi:.0%} of the questions change, by standard deviation of the trainings in points: "
        f"{', '.join(found)}.{unknown if count < power.FEWEST else ''}"
    )


def _plan_prompts(config: Config, data: Data, training: Data) -> None:
    from harness.models import prompts

    questions = prompts.prepare(config, data, weights=False)
    first = questions.prompts[0]
    longest = max(len(prompt.ids) for prompt in questions.prompts)
    text = questions.tokenizer.decode(first.ids, skip_special_tokens=False)
    say(f"Prompts: the longest has {longest} tokens, context {questions.checkpoint.context}; the first one:\n{text}")
    shown = ", ".join(map(str, first.ids[:SHOWN_IDS])) + (", ..." if len(first.ids) > SHOWN_IDS else "")
    say(f"Token ids ({len(first.ids)}): {shown}")
    stops = prompts.stop_ids(questions.checkpoint, questions.tokenizer)
    say(f"A completion ends at: {', '.join(questions.tokenizer.convert_ids_to_tokens(stops))}")
    encoded = prompts.encode(questions.tokenizer, training.train, config.prompt.system)
    over = sum(len(prompt.ids) > config.train.max_prompt_tokens for prompt in encoded)
    say(f"Training prompts over {config.train.max_prompt_tokens} tokens: {over} ({config.train.long_prompts}).")


def main(argv: list[str] | None = None) -> int:
    parser = Parser("run", __doc__)
    parser.add_argument("experiment", help="exp/NAME.yaml (means experiments/NAME.yaml), a file, or a run directory")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="settings changed for this run")
    parser.add_argument("--dry-run", action="store_true", help="print the plan; load no weights, write nothing")
    parser.add_argument("--results", type=Path, default=directory.RESULTS, metavar="DIR", help="default: results")
    args = parser.parse(argv)
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    run = directory.open_run(args.experiment, args.overrides, args.results, create=False)
    if args.dry_run:
        plan(run)
        return 0
    if complete(run) and seals.whole(run):
        from harness.report import write

        run.pin(local_inputs(run.config))  # its numbers are valid only for unchanged inputs
        write.show(run)
        return 0
    if new := not run.settings.exists():
        check_inputs(run.config)
        run = directory.open_run(args.experiment, args.overrides, args.results)
    with files.lock(run.path) as held:
        if not new:
            check_inputs(run.config)
        logs.keep(run.path, "run")
        LOG.info("started: %s", command())
        seals.mend(run)
        # Settings outside the digest may have changed since the run began: the stages read them from here.
        files.write_text(run.settings, run.config.to_yaml())
        return follow.following(run, held, lambda: execute(run, held))


if __name__ == "__main__":
    sys.exit(exit_code(main))
