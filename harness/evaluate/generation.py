"""Asking the model: what is asked, under which conditions, and every completion on disk as it finishes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from harness.config.schema import Config
from harness.evaluate import adapter_proof
from harness.models import prompts, registry
from harness.models.engine import Engine, Request, Sampling, Work, completion_seed
from harness.models.prompts import Questions
from harness.runs import provenance, results
from harness.runs.directory import RunDir
from harness.runs.results import Asked
from harness.tasks import dataset, scoring
from harness.util import files
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


def conditions(config: Config, questions: Questions, made_for: Work) -> dict[str, Any]:
    """What two evaluations must share to be compared; harness.compare groups by exactly these fields."""
    section = config.eval
    return {
        "data": dataset.content_hash(questions.problems),
        "split": section.split,
        "questions": len(questions.problems),
        "prompts": prompts.hash_of_all(questions.prompts),
        "scorer": scoring.VERSION,
        "tags": config.prompt.tags.model_dump(),
        "max_new_tokens": section.max_new_tokens,
        "sampling": {name: getattr(section, name) for name in ("temperature", "top_p", "top_k", "min_p")},
        "samples": section.samples,
        "seed": section.seed if section.temperature else None,
        "stop_ids": prompts.stop_ids(questions.checkpoint, questions.tokenizer),
        "engine": registry.version(section, made_for),
        "precision": section.precision,
    }


def content(config: Config, questions: Questions, conditions: dict[str, Any]) -> dict[str, Any]:
    """All that a base completion depends on; golds, scorer and tags are left out because they only judge it."""
    section = config.eval
    return {name: conditions[name] for name in conditions if name not in ("data", "scorer", "tags", "split")} | {
        "problems": [problem.id for problem in questions.problems],
        "weights": questions.checkpoint.weights_hash,
        "tokenizer": questions.checkpoint.tokenizer_hash,
        # What shares a batch, and how many threads add up, decides the last bits, where the engine leaves them open.
        "batch_size": None,
        "gpu_memory_utilization": None,
        **registry.kind(section).batching(section),
        "threads": None if torch.cuda.is_available() else torch.get_num_threads(),
    }


def digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def complete(
    log: Path,
    run: RunDir,
    what: str,
    questions: Questions,
    conditions: dict[str, Any],
    engine: LazyEngine,
    adapter: Path | None,
) -> None:
    """Generate the completions that the log lacks, and note what it took."""
    requests = _requests(questions, conditions)
    sampling = Sampling(conditions["max_new_tokens"], **conditions["sampling"], stop_ids=tuple(conditions["stop_ids"]))
    done = set(results.read(log, asked_questions(questions)))
    if len(done) == len(requests):
        say(f"{what} evaluation: all {len(requests)} completions are there, none generated.")
        return
    model = engine.get()
    began, tokens, correct, asked = time.perf_counter(), 0, 0, 0
    tags = run.config.prompt.tags.record()
    with files.appending(log) as append, progress(f"{what} evaluation", len(requests), len(done)) as update:
        for finished in model.generate(requests, sampling, adapter, done):
            rows = []
            for c in finished:
                problem, prompt = questions.problems[c.index], questions.prompts[c.index]
                values = dataclasses.asdict(c)
                del values["index"]
                rows.append({"id": problem.id, "prompt": prompt.hash} | values)
                tokens += c.tokens
                correct += scoring.score(c.text, problem.gold, finish_reason=c.finish_reason, tags=tags).correct
            append(rows)
            asked += len(rows)
            update(len(done) + asked, f"accuracy so far {correct / asked:.1%}")
    seconds = time.perf_counter() - began
    run.note("stages", {what: provenance.cost(engine.seconds, seconds, tokens, completions=asked)})
    say(f"{what} evaluation: {asked} completions in {seconds:.1f} s, {tokens / seconds:,.0f} tokens/s.")


def _requests(questions: Questions, conditions: dict[str, Any]) -> list[Request]:
    seed = conditions["seed"] or 0  # greedy decoding has none, and draws nothing
    return [
        Request(index, sample, prompt.ids, completion_seed(seed, prompt.problem_id, sample))
        for index, prompt in enumerate(questions.prompts)
        for sample in range(conditions["samples"])
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
        """The evaluations from now on find the engine as it is: its start is in the cost of an earlier one."""
        self.seconds = 0.0
