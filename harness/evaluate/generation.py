"""Generating completions: the requests, their conditions, and a log to which each completion goes as it finishes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import torch

from harness.config import plugins
from harness.config.schema import Config
from harness.evaluate import adapter_proof
from harness.models import prompts, registry
from harness.models.engine import Engine, Request, Sampling, Work, completion_seed
from harness.models.prompts import Questions
from harness.runs import completions, provenance
from harness.runs.completions import Asked, LoggedCompletion
from harness.runs.directory import RunDir
from harness.runs.results import Conditions, Generation, SamplingParameters
from harness.runs.source import Content
from harness.tasks import dataset
from harness.util import typed
from harness.util.console import progress, say, working


def work(config: Config, questions: Questions, *, adapters: bool) -> Work:
    """What an engine has to do for an evaluation, with or without adapters."""
    longest = max(len(prompt.ids) for prompt in questions.prompts)
    new = max(config.eval.max_new_tokens, adapter_proof.NEW_TOKENS)
    return Work(
        completions=len(questions.problems) * config.eval.samples,
        longest=min(longest + new, questions.checkpoint.context),
        lora_rank=config.lora.r if adapters else 0,
    )


def conditions(config: Config, questions: Questions, made_for: Work) -> Conditions:
    """What must be equal in two evaluations of these questions to compare them."""
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
        engine=registry.version(section, made_for),
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


def complete(
    log: Path, run: RunDir, what: str, questions: Questions, made: Generation, engine: LazyEngine, adapter: Path | None
) -> None:
    """Generate the completions that are missing from the log, and note the cost."""
    requests, asked = _requests(questions, made), asked_questions(questions)
    sampling = Sampling(made.max_new_tokens, **typed.fields(made.sampling), stop_ids=made.stop_ids)
    done = set(completions.read(log, asked))
    if len(done) == len(requests):
        say(f"{what} evaluation: all {len(requests)} completions exist already, none generated.")
        return
    model = engine.get()
    began, tokens, correct, count = time.perf_counter(), 0, 0, 0
    task, tags = plugins.task(run.config), run.config.prompt.tags.record()
    with completions.appending(log) as append, progress(f"{what} evaluation", len(requests), len(done)) as update:
        for finished in model.generate(requests, sampling, adapter, done):
            for c in finished:
                tokens += c.tokens
                gold = asked[c.index].gold
                correct += task.score(c.text, gold, finish_reason=c.finish_reason, tags=tags).correct
            append([LoggedCompletion.of(asked[c.index], c) for c in finished])
            count += len(finished)
            update(len(done) + count, f"accuracy so far {correct / count:.1%}")
    seconds = time.perf_counter() - began
    run.note("stages", {what: provenance.cost(engine.seconds, seconds, tokens, completions=count)})
    say(f"{what} evaluation: {count} completions in {seconds:.1f} s, {tokens / seconds:,.0f} tokens/s.")


def _requests(questions: Questions, made: Generation) -> list[Request]:
    seed = made.seed or 0  # greedy decoding has none, and draws nothing
    return [
        Request(index, sample, prompt.ids, completion_seed(seed, prompt.problem_id, sample))
        for index, prompt in enumerate(questions.prompts)
        for sample in range(made.samples)
    ]


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
