"""The elicited base: other prompts for the base, one of them chosen on dev and asked once on test.

Every prompt answers the same dev questions with the same number of samples and the same limit of new tokens. The choice
is on disk before the first test question is asked with it, and is final: another eval.elicit is refused, since it could
choose another prompt, and test would be asked twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from harness.evaluate import evaluation, generation
from harness.evaluate.generation import LazyEngine
from harness.models import prompts, registry
from harness.models.prompts import Questions
from harness.runs import comparable, seals
from harness.runs.comparable import Choice, Tried
from harness.runs.directory import RunDir
from harness.runs.results import Evaluation, read_evaluation
from harness.tasks.benchmarks import gsm8k
from harness.tasks.elicitation import Prompting, promptings
from harness.tasks.registry import TRAINING
from harness.util.console import say
from harness.util.errors import HarnessError


def elicit(run: RunDir) -> None:
    """Choose a prompt on dev, if it was not chosen yet, and score the base with it on test. The caller holds the lock.

    Raises HarnessError if the choice was made on another number of questions.
    """
    config = run.config
    comparable.check_choice(run)
    asking = evaluation.Asked.of(run, config)
    data, own = asking.data, asking.questions
    training = data if asking.task.name == TRAINING else gsm8k.load(config.data.source())
    run.pin(asking.inputs | own.checkpoint.inputs)
    proven = asking.proven()
    dev = dataclasses.replace(own, problems=training.asked("dev", config.eval.elicit))
    ways = promptings(config.prompt.system, training.train)
    asked = dict(_fitting(run, dev, own, ways))
    longest = max((questions for pair in asked.values() for questions in pair), key=lambda q: q.longest)
    # As for the base's evaluation, so that nothing but the prompt differs.
    made_for = dataclasses.replace(
        generation.work(config, own, adapters=False), longest=generation.work(config, longest, adapters=False).longest
    )
    version = registry.version(config.eval, made_for)
    if asking.has_base:
        before = read_evaluation(run.base).conditions
        comparable.check_conditions(run, before, generation.conditions(config, own, version), "other prompts")
    engine = LazyEngine(lambda: registry.load(config.eval, own.checkpoint, own.tokenizer, made_for))

    def score(name: str, questions: Questions, split: str) -> Evaluation:
        of_split = config.model_copy(update={"eval": config.eval.model_copy(update={"split": split})})
        conditions = generation.conditions(of_split, questions, version)
        content = generation.content(of_split, questions, conditions)
        final = split != "dev"
        folder = run.elicited if final else run.tried(name)
        what = f"elicited base ({name})" if final else f"prompt on dev ({name})"
        with evaluation.shared(run, folder, what, questions, content, engine, None):
            made = Evaluation(conditions, training.counts() if split == "dev" else data.counts(), proven, None, ())
            made_from = [run.choice] if final else []
            evaluation.write_result(run, folder, questions, made, made_from=made_from)
        engine.is_running()
        return read_evaluation(folder)

    results_on_dev = [run.tried(name) / "result.json" for name in asked]
    if not all(file.exists() for file in (run.choice, *results_on_dev)):
        tried = [_tried(way, score(way.name, asked[way.name][0], "dev")) for way in ways if way.name in asked]
    if not run.choice.exists():
        left_out = tuple(way.name for way in ways if way.name not in asked)
        chosen = Choice(config.eval.elicit, config.eval.max_new_tokens, tuple(tried), left_out, best(tried).name)
        sources = seals.hashes(run, results_on_dev)
        seals.write_text(run, run.choice, comparable.text(chosen), sources)
    choice = comparable.read_choice(run)
    right = ", ".join(f"{each.name} {each.correct}" for each in choice.tried)
    say(f"Elicited base: right on dev, of {choice.tried[0].completions}: {right}; chosen before test: {choice.chosen}.")
    found = score(choice.chosen, asked[choice.chosen][1], config.eval.split)
    if asking.has_base:
        comparable.check_contrast(run, read_evaluation(run.base), found, choice)


def _fitting(
    run: RunDir, dev: Questions, test: Questions, ways: tuple[Prompting, ...]
) -> Iterator[tuple[str, tuple[Questions, Questions]]]:
    """By name, the dev and the test questions asked in each way that the model can be asked in."""
    for way in ways:
        try:
            yield way.name, (prompts.asked_by(way.chat, dev, run.config), prompts.asked_by(way.chat, test, run.config))
        except HarnessError as error:
            say(f"Elicited base: the prompt {way.name!r} is left out ({error}).")


def _tried(way: Prompting, made: Evaluation) -> Tried:
    scores = made.scores
    return Tried(
        name=way.name,
        words=way.words,
        correct=sum(score.correct for score in scores),
        completions=len(scores),
        truncated=sum(score.finish_reason == "length" for score in scores),
        mean_tokens=sum(score.tokens for score in scores) / len(scores),
    )


def best(tried: list[Tried]) -> Tried:
    """The prompt with the most right answers, the first of equals."""
    return max(tried, key=lambda each: each.correct)
