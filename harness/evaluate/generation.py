"""Generating completions: the requests, their conditions, and a log to which each completion goes as it finishes."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from harness.config import plugins
from harness.config.schema import Config
from harness.evaluate import adapter_proof
from harness.models import prompts, registry
from harness.models.engine import Engine, Request, Sampling, Work, completion_seed
from harness.models.prompts import Questions
from harness.runs import completions, provenance
from harness.runs.completions import Asked, LoggedCompletion, Part
from harness.runs.directory import RunDir
from harness.runs.results import Conditions, Generation, SamplingParameters
from harness.runs.source import Content
from harness.tasks import dataset
from harness.util import locks, typed
from harness.util.console import progress, say, working
from harness.util.files import file_hash, text_hash


def work(config: Config, questions: Questions, *, adapters: bool) -> Work:
    """What an engine has to do for an evaluation, with or without adapters."""
    new = max(config.eval.max_new_tokens, adapter_proof.NEW_TOKENS)
    return Work(
        completions=len(questions.problems) * config.eval.samples,
        longest=min(questions.longest + new, questions.checkpoint.context),
        lora_rank=config.lora.r if adapters else 0,
    )


def conditions(config: Config, questions: Questions, engine: str) -> Conditions:
    """What must be equal in two evaluations of these questions to compare them; engine: its version."""
    section = config.eval
    return Conditions(
        data=dataset.content_hash(questions.problems),
        split=section.split,
        questions=len(questions.problems),
        prompts=prompts.hash_of_all(questions.prompts),
        scorer=plugins.task(config).scorer,
        tags=config.prompt.tags.record(),
        max_new_tokens=section.max_new_tokens,
        sampling=SamplingParameters(section.temperature, section.top_p, section.top_k, section.min_p),
        samples=section.samples,
        seed=section.seed if section.temperature else None,
        stop_ids=tuple(prompts.stop_ids(questions.checkpoint, questions.tokenizer)),
        engine=engine,
        precision=section.precision,
    )


def content(config: Config, questions: Questions, made: Generation) -> Content:
    """Everything that a base completion depends on."""
    section = config.eval
    batching = registry.kind(section).batching(section)
    return Content(
        **{each.name: getattr(made, each.name) for each in dataclasses.fields(Generation)},
        problems=tuple(problem.id for problem in questions.problems),
        weights=questions.checkpoint.weights_hash,
        tokenizer=questions.checkpoint.tokenizer_hash,
        batch_size=batching.batch_size,
        gpu_memory_utilization=batching.gpu_memory_utilization,
        threads=None if torch.cuda.is_available() else torch.get_num_threads(),
    )


@dataclass(frozen=True)
class Series:
    """The completions of one model for all questions: what they are made with, and the log that they go to."""

    run: RunDir
    what: str  # such as "tuned (seed 1)", for messages and the manifest
    log: Path
    questions: Questions
    made: Generation
    adapter: Path | None = None

    @cached_property
    def asked(self) -> list[Asked]:
        return asked_questions(self.questions)

    @cached_property
    def requests(self) -> list[Request]:
        seed = self.made.seed or 0  # greedy decoding has none, and draws nothing
        return [
            Request(index, sample, prompt.ids, completion_seed(seed, prompt.problem_id, sample))
            for index, prompt in enumerate(self.questions.prompts)
            for sample in range(self.made.samples)
        ]

    @cached_property
    def key(self) -> str:
        """8 hex digits over what the completions are made with."""
        weights = file_hash(self.adapter / "adapter_model.safetensors") if self.adapter else ""
        return text_hash(json.dumps([typed.plain(self.made), weights], sort_keys=True))[:8]

    def elsewhere(self, part: Part) -> set[tuple[int, int]]:
        """The completions (question, sample) that the other parts make."""
        section = self.run.config.eval
        groups = registry.kind(section).inseparable(section, self.requests, [each.id for each in self.asked])
        others = (group for number, group in enumerate(groups) if number % part.of != part.number - 1)
        return {(request.index, request.sample) for group in others for request in group}


def complete(series: Series, engine: LazyEngine, part: Part | None) -> bool:
    """Generate the completions that are missing from the log, or those of one part; whether the log is whole then.

    Without a part the caller works on the log alone, and in the end the log is whole.
    """
    log, key, asked = series.log, series.key, series.asked
    if part is None:
        _generate(series, log, engine, set(completions.join(log, key, asked)), set())
        return True
    with locks.together(log.parent):
        others = series.elsewhere(part)
        done = set(completions.read_all(log, key, asked)) - others
        mine = dataclasses.replace(series, what=f"{series.what}, part {part}")
        _generate(mine, completions.part_log(log, key, part), engine, done, others)
    with locks.at_once(log.parent) as alone:  # else the last of those who still work on it joins the parts
        if not alone or len(completions.read_all(log, key, asked)) < len(series.requests):
            return False
        completions.join(log, key, asked)
        return True


def _generate(
    series: Series, log: Path, engine: LazyEngine, done: set[tuple[int, int]], others: set[tuple[int, int]]
) -> None:
    """Generate the completions that are neither done nor others' to make, append them to the log, note the cost."""
    what, run, made, asked = series.what, series.run, series.made, series.asked
    total = len(series.requests) - len(others)
    if len(done) == total:
        say(f"{what} evaluation: all {total} completions exist already, none generated.")
        return
    model = engine.get()
    if series.adapter:
        adapter_proof.check_loaded(model, series.adapter)
    sampling = Sampling(made.max_new_tokens, **typed.fields(made.sampling), stop_ids=made.stop_ids)
    began, tokens, correct, count = time.perf_counter(), 0, 0, 0
    task, tags = plugins.task(run.config), run.config.prompt.tags.record()
    with completions.appending(log) as append, progress(f"{what} evaluation", total, len(done)) as update:
        for finished in model.generate(series.requests, sampling, series.adapter, done | others):
            for c in finished:
                tokens += c.tokens
                if task.quick:
                    gold = asked[c.index].gold
                    correct += task.score(c.text, gold, finish_reason=c.finish_reason, tags=tags).correct
            append([LoggedCompletion.of(asked[c.index], c) for c in finished])
            count += len(finished)
            update(len(done) + count, f"accuracy so far {correct / count:.1%}" if task.quick else "")
    seconds = time.perf_counter() - began
    run.note("stages", {what: provenance.cost(engine.seconds, seconds, tokens, completions=count)})
    say(f"{what} evaluation: {count} completions in {seconds:.1f} s, {tokens / seconds:,.0f} tokens/s.")


def asked_questions(questions: Questions) -> list[Asked]:
    pairs = zip(questions.problems, questions.prompts, strict=True)
    return [Asked(problem.id, problem.gold, prompt.hash) for problem, prompt in pairs]


class LazyEngine:
    """An engine that is started when it is first needed: a complete evaluation loads no weights."""

    def __init__(self, start: Callable[[], Engine]) -> None:
        self._start = start
        self._engine: Engine | None = None
        self.seconds = 0.0

    def get(self) -> Engine:
        if self._engine is None:
            began = time.perf_counter()
            with working("start of the engine"):
                self._engine = self._start()
            self.seconds = time.perf_counter() - began
        return self._engine

    def is_running(self) -> None:
        """Later evaluations use the running engine: its start is in the cost of an earlier one."""
        self.seconds = 0.0
