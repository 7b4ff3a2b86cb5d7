"""What a run will cost on this machine, in words: only what was measured on its GPU, or follows by a stated rule."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from harness.config.schema import Config
from harness.cost import memory, rates
from harness.runs.machine import Gpu
from harness.tasks.dataset import Data
from harness.tasks.elicitation import promptings
from harness.util.text import plural

PROMPTS = len(promptings("", ()))  # tried for the elicited base
ALIKE = 0.15  # relative difference of two numbers of parameters that count as one size
HOUR = 3600


def lines(config: Config, data: Data | None, found: list[Gpu], further: int = 0) -> Iterator[str]:
    """Memory and, with a GPU, its hours, or why they are not known.

    data: of the evaluation; None: not loaded. further: questions of the further tasks, which base and tuned are asked.
    """
    count = memory.parameters(config)
    if count is None:
        yield (
            f"Memory and hours: not known until {config.model.id} is on this machine, because they follow from the "
            f"size of its weights."
        )
        return
    need, here = memory.needed(config, count), memory.room(config, found)
    about = " and ".join(f"{gib:.1f} GiB for the {stage}" for stage, gib in need.about.items())
    yield f"Memory: at least about {about}, of {here.gib:.1f} GiB of {here.where}."
    if not found:
        return
    gpu = found[0].name
    trained, evaluated = _training(config, gpu, count), _evaluations(config, data, further, gpu, count)
    yield f"GPU hours on {gpu}: {trained[1]}; {evaluated[1]}."
    if trained[0] is not None and evaluated[0] is not None:
        yield f"Together about {_hours(trained[0] + evaluated[0])}."


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the pieces of a run take, in seconds, as measured."""

    training: float  # of one training, from its start to its end
    start: float  # of an evaluation until its first completion
    completion: float  # of one completion of an evaluation
    source: str  # where it was measured

    def run(self, questions: int, samples: int, seeds: int) -> float:
        """Seconds of the base's evaluation, the trainings and the tuned evaluations. questions: of all tasks."""
        return seeds * self.training + 2 * self.start + (1 + seeds) * questions * samples * self.completion


def pace(config: Config, found: list[Gpu]) -> Pace | None:
    """By the table of measured rates; None if a part of it was not measured on this GPU."""
    count = memory.parameters(config)
    if count is None or not found:
        return None
    one = config.model_copy(update={"train": config.train.model_copy(update={"seeds": config.train.seeds[:1]})})
    seconds, row = _training(one, found[0].name, count)[0], _evaluation(config, found[0].name, count)
    if seconds is None or row is None:
        return None
    return Pace(seconds, row.start, config.eval.max_new_tokens / row.tokens_per_second, row.source)


def _evaluation(config: Config, gpu: str, count: float) -> rates.Evaluation | None:
    """The measured rate of evaluations such as this one."""
    if config.eval.engine != "vllm" or config.eval.precision != "bf16":
        return None
    return next((row for row in rates.EVALUATIONS if row.gpu == gpu and _alike(row.parameters, count)), None)


def _training(config: Config, gpu: str, count: float) -> tuple[float | None, str]:
    """Seconds of all trainings, None if they are not known, and what is said of them."""
    t = config.train
    asked = config.completions_per_step * t.max_completion_tokens
    alike = [
        row
        for row in rates.TRAININGS
        if row.gpu == gpu and _alike(row.parameters, count) and (row.backend, row.rollouts) == (t.backend, t.rollouts)
    ]
    if config.model.full_finetuning or config.model.load_in_4bit or config.model.load_in_8bit or not alike:
        return None, "those of the training are not known: no training of this kind and size was measured on it"
    row = min(alike, key=lambda row: abs(math.log(row.completions * row.tokens / asked)))
    ratio = asked / (row.completions * row.tokens)
    step = row.step * max(1.0, ratio)
    seconds = config.trainings * (row.preparation + row.first_step * max(1.0, ratio) + (t.steps - 1) * step)
    how = "measured"
    if (row.completions, row.tokens) != (config.completions_per_step, t.max_completion_tokens):
        how = (
            f"projected from {row.completions} completions of {row.tokens} tokens a step: as many times as long as it "
            f"has tokens, and never shorter"
        )
    peak = f", peak {row.peak_gib:g} GiB with vLLM's share" if row.peak_gib and how == "measured" else ""
    return seconds, (
        f"{_hours(seconds)} for {plural(config.trainings, 'training')} ({step:.1f} s a step{peak}; {how}, {row.source})"
    )


def _evaluations(config: Config, data: Data | None, further: int, gpu: str, count: float) -> tuple[float | None, str]:
    """The same for all evaluations, if every completion were as long as it may be."""
    e, seeds = config.eval, len(config.train.seeds)
    row = _evaluation(config, gpu, count)
    if row is None:
        return None, "those of the evaluations are not known: none of this kind and size was measured on it"
    if data is None:
        return None, "those of the evaluations follow from the number of questions, which is not known"
    questions = len(data.asked(e.split, e.limit)) * (1 + e.noise_floor + config.trainings) + further * (1 + seeds)
    if e.curve:
        questions += len(data.dev) * seeds * (1 + len(config.kept_steps))
    if e.elicit:
        questions += PROMPTS * e.elicit + len(data.asked(e.split, e.limit))
    starts = 2 + e.curve + bool(e.elicit)
    seconds = starts * row.start + questions * e.samples * e.max_new_tokens / row.tokens_per_second
    return seconds, (
        f"{_hours(seconds)} for the evaluations, if every completion has {e.max_new_tokens} tokens (at the rate of "
        f"{row.source})"
    )


def _alike(one: float, other: float) -> bool:
    return abs(one / other - 1) <= ALIKE


def _hours(seconds: float) -> str:
    return f"{seconds / HOUR:.2f} h"
