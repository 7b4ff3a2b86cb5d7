"""The plan that --dry-run prints: settings, data, what the design can detect, prompts as token ids."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

from harness.config.schema import Config
from harness.cost import budget, estimate, measured, memory
from harness.models import checkpoint
from harness.report.wording import CONTROL_REWARDS
from harness.run.inputs import asked, further_data, load_data, local_inputs
from harness.runs import machine
from harness.runs.directory import RunDir
from harness.runs.stages import state_of
from harness.stats import power
from harness.stats.intervals import ALPHA
from harness.tasks.dataset import Data
from harness.tasks.elicitation import promptings
from harness.util.console import hushed, say
from harness.util.errors import HarnessError
from harness.util.startup import hidden
from harness.util.text import plural

DISCORDANCES = (0.05, 0.10, 0.20)  # for which the plan says what the design can detect
DEVIATIONS = (0.5, 1.0, 2.0)  # of the trainings, in points, for which the plan says what their mean detects
SHOWN_IDS = 24


def show(run: RunDir, hours: float | None = None) -> None:
    """Print what the run would do, and how to spend so many hours. Loads no model weights and writes nothing."""
    config, gpus = run.config, machine.gpus()
    say(config.changed().rstrip())
    say("# All others have their default values (python -m harness.settings); a run's config.yaml has all of them.\n")
    t = config.train
    say(f"Results: {run.path} ({state_of(run)}); digest {config.digest()}")
    if run.manifest.exists():
        run.check_pinned(local_inputs(config))
    try:
        data, training = load_data(config)
    except HarnessError:
        for line in estimate.lines(config, None, gpus):
            say(line)
        raise
    n = len(data.asked(config.eval.split, config.eval.limit))
    say(
        f"Data: {data.source}, {len(data.train)} train, {len(data.dev)} dev, {len(data.test)} test problems"
        + (f", {data.repeated} repeated ones left out" if data.repeated else "")
    )
    further = further_data(config)
    others = 0
    for name, more in further.items():
        problems = more.asked("test", config.eval.limit)
        others += len(problems)
        groups = len({problem.cluster for problem in problems if problem.cluster})
        left_out = "".join(f"; {count:,} left out: {reason}" for reason, count in more.left_out.items())
        say(f"Also {name}: {len(problems)} questions{f' in {groups} clusters' if groups else ''}{left_out}.")
    if config.eval.tasks[1:]:
        say(f"What can be detected is of {config.eval.tasks[0]} alone; hours are of all tasks, at the mean completion.")
    base = "base (twice, for the noise floor)" if config.eval.noise_floor else "base"
    times = f", {config.eval.samples} completions each" if config.eval.samples > 1 else ""
    say(f"Evaluation: {asked(config, data)}{times}, {base} and tuned, on {config.eval.engine}.")
    several = f"{len(t.seeds)} trainings (seeds {', '.join(map(str, t.seeds))}), each of " if t.seeds[1:] else ""
    say(
        f"Training: {several}{plural(t.steps, 'step')} of {t.prompts_per_step} prompts x {t.generations} generations"
        f"{f', each learned from in {t.num_iterations} steps' if t.num_iterations > 1 else ''}: "
        f"{config.rollouts * config.completions_per_step:,} completions, on {t.backend}."
    )
    if config.rewards.control:
        say(f"Control: each training once more, on {CONTROL_REWARDS[config.rewards.control]}, evaluated as tuned is.")
    if config.eval.curve:
        steps = ", ".join(map(str, config.kept_steps))
        chosen = "the best of them on dev" if t.checkpoint == "best_dev" else "the last of them"
        say(f"Learning curve: {len(data.dev)} dev questions, base and steps {steps}; tuned is {chosen}.")
    if config.eval.elicit:
        names = ", ".join(way.name for way in promptings(config.prompt.system, training.train))
        say(
            f"Elicited base: {config.eval.elicit} dev questions with each of the prompts {names}; the best of them "
            f"once on the {n} questions."
        )
    for line in estimate.lines(config, data, gpus, others):
        say(line)
    pace = measured.pace(config, gpus, run.path.parent)
    if pace:
        took = pace.run(n + others, config.eval.samples, len(t.seeds)) / estimate.HOUR
        say(f"Hours: about {took:.2f} for base, training and tuned evaluation, as measured in {pace.source}.")
    elif not gpus:
        say("Hours: not known, because no run of this kind was measured on this machine.")
    for line in _power(n, config.eval.samples, len(t.seeds)):
        say(line)
    if hours is not None:
        sizes = [
            len(data.asked(config.eval.split, None)), *(len(more.asked("test", None)) for more in further.values()),
        ]  # fmt: skip
        for line in budget.lines(pace or estimate.pace(config, gpus), hours, sizes):
            say(line)
    checkpoint.resolve(config.model, weights=False)  # before seconds of imports
    say("Loading the tokenizer.")
    # Tokenizers need no torch, which most of the time of the import is.
    with hidden("torch") if "transformers" not in sys.modules else nullcontext():
        with hushed():  # transformers says that there is no torch
            importlib.import_module("transformers")
        _plan_prompts(config, data, training)
    if reason := machine.cannot_run(config) or memory.cannot_fit(config, gpus):
        say(f"This experiment cannot run on this machine: {reason}")


def _power(n: int, samples: int, count: int) -> Iterator[str]:
    """What the design detects, in the words and by the rule of the report."""
    yield (
        f'Power, as the report will state it ("this design detects ≥ X points with {power.POWER:.0%} power", two-sided '
        f"{ALPHA}), by the share of the questions that turn out to change{' as a whole' * (samples > 1)}:"
    )
    yield f"- one training, {n:,} questions: {_detected(n, DISCORDANCES, samples)}."
    if samples > 1:
        least = tuple(psi / samples for psi in DISCORDANCES)
        yield (
            f"- were all of that chance between the {samples} samples, which averages out: "
            f"{_detected(n, least, samples, DISCORDANCES)}."
        )
    psi = DISCORDANCES[1]
    yield (
        "The report sees the share of these questions, not of all that are like them. So it computes with the upper "
        f"end of its 95% interval, which for {psi:.0%} is {power.discordance_high(n, psi * n):.1%}, and so does this "
        "plan."
    )
    if count > 1:
        yield _plan_seeds(n, count)


def _detected(n: int, shares: Sequence[float], samples: int, named: Sequence[float] | None = None) -> str:
    found = []
    for psi, name in zip(shares, named or shares, strict=True):
        effect, one_way = power.stated(n, psi, samples=samples), power.one_way(n)
        if effect is not None:
            words = f"≥ {100 * effect:.2f} points"
        else:
            words = "nothing" if one_way is None else f"≥ {100 * one_way:.2f} points if all changes go one way"
        found.append(f"if {name:.0%} change, {words}")
    return "; ".join(found)


def _plan_seeds(n: int, count: int) -> str:
    """What the mean of several trainings detects, which depends on how much they differ."""
    psi = DISCORDANCES[1]
    asked = (
        f"- the mean of {count} trainings, if {psi:.0%} of the questions change, by the standard deviation of the "
        "trainings' accuracies in points: "
    )
    found = []
    for deviation in DEVIATIONS:
        true, said = (of(n, psi, deviation=deviation / 100, count=count) for of in (power.planned, power.stated))
        words = f"{f'≥ {100 * true:.2f} points' if true else 'nothing'} at {deviation:g}"
        if count >= power.FEWEST:
            words += f" (the report: {f'≥ {100 * said:.2f}' if said else 'none'})"
        found.append(words)
    if count < power.FEWEST:
        return (
            f"{asked}{', '.join(found)}. The report will give no power: two seeds do not bound how much trainings vary."
        )
    return (
        f"{asked}{', '.join(found)}. The report states more than that, because it knows the standard deviation only "
        f"from the {count} trainings, and computes with its upper limit."
    )


def _plan_prompts(config: Config, data: Data, training: Data) -> None:
    from harness.models import prompts

    questions = prompts.prepare(config, data, weights=False)
    first = questions.prompts[0]
    text = questions.tokenizer.decode(first.ids, skip_special_tokens=False)
    context = questions.checkpoint.context
    say(f"Prompts: the longest has {questions.longest} tokens, context {context}; the first one:\n{text}")
    shown = ", ".join(map(str, first.ids[:SHOWN_IDS])) + (", ..." if len(first.ids) > SHOWN_IDS else "")
    say(f"Token ids ({len(first.ids)}): {shown}")
    stops = prompts.stop_ids(questions.checkpoint, questions.tokenizer)
    say(f"A completion ends at: {', '.join(questions.tokenizer.convert_ids_to_tokens(stops))}")
    encoded = prompts.encode(questions.tokenizer, training.train, config.prompt.system)
    over = sum(len(prompt.ids) > config.train.max_prompt_tokens for prompt in encoded)
    say(f"Training prompts over {config.train.max_prompt_tokens} tokens: {over} ({config.train.long_prompts}).")
