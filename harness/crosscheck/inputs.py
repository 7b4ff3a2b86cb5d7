"""The questions, models and conditions of a crosscheck: for its command, its stage and its table."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.config import plugins
from harness.crosscheck import lm_eval_task
from harness.crosscheck.options import Check
from harness.models import registry
from harness.models.checkpoint import Checkpoint, resolve
from harness.runs import machine
from harness.runs.directory import RunDir
from harness.runs.results import read_evaluation
from harness.tasks.benchmarks import gsm8k
from harness.tasks.records import Problem
from harness.tasks.registry import TRAINING
from harness.util import files, typed
from harness.util.errors import HarnessError
from harness.util.files import file_hash


@dataclass(frozen=True, slots=True)
class Material:
    """The questions of a crosscheck and its base."""

    asked: tuple[Problem, ...]  # those that the run evaluated, in its order, up to the limit
    examples: tuple[Problem, ...]  # from which lm-eval draws worked examples
    evaluated: int  # questions of the run's own evaluation
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Asked:
    """How lm-eval asked one model: <side>.json, with its answers in <side>.jsonl."""

    conditions: dict[str, Any]  # everything that the answers depend on, by name
    facts: dict[str, Any]  # what lm-eval reports: its totals, limits, and prompts cut


def read_asked(place: Path, seed: int | None) -> Asked:
    """How a model was asked. Raises HarnessError as typed.read."""
    return typed.read(Asked, place / f"{side(seed)}.json")


def write_asked(place: Path, seed: int | None, asked: Asked) -> None:
    files.write_json(place / f"{side(seed)}.json", typed.plain(asked))


def folder(run: RunDir, check: Check) -> Path:
    return run.path / "crosscheck" / check.name


def side(seed: int | None) -> str:
    """The name of a model's files: of the base, or of the tuned model of a training seed."""
    return "base" if seed is None else f"tuned-seed-{seed}"


def prepare(run: RunDir, check: Check) -> Material:
    """The questions and the base of a finished run. Raises HarnessError if they are not those of its evaluation."""
    config = run.config
    task = plugins.task(config)
    if task.name not in lm_eval_task.FILES:
        raise HarnessError(
            f"{run.path}: {task.name} has no crosscheck, only {' and '.join(lm_eval_task.FILES)} have; name one of the "
            f"run's eval.tasks with --task"
        )
    data, checkpoint = task.load(config.data.source()), resolve(config.model)
    if task.name != TRAINING:
        run.pin({f"questions of {task.name}": data.content_hash(), "base weights": checkpoint.weights_hash})
        asked = data.asked("test", config.eval.limit)
        return Material(asked[: check.limit], asked, len(asked), checkpoint)
    run.pin({"data": data.content_hash(), "base weights": checkpoint.weights_hash})
    evaluated = data.split(config.eval.split)[: config.eval.limit]
    # The whole training data, as with lm-eval's command line, but without the questions that are asked.
    pool = data if config.eval.split == "dev" else gsm8k.load(dataclasses.replace(config.data.source(), dev=0))
    return Material(evaluated[: check.limit], pool.train, len(evaluated), checkpoint)


def model(run: RunDir, material: Material, seed: int | None) -> tuple[Checkpoint, Path | None, str | None]:
    """The checkpoint to load, the adapter to add, and the hash of the trained weights; the last two None for the base.

    Raises HarnessError if they are no longer those that the run evaluated.
    """
    if seed is None:
        return material.checkpoint, None, None
    path = run.evaluated(seed)
    weights = path if run.config.model.full_finetuning else path / "adapter_model.safetensors"
    if not weights.exists():
        raise HarnessError(f"{path}: the weights trained with seed {seed} are missing; run the experiment again")
    if run.config.model.full_finetuning:
        loaded, adapter = Checkpoint(material.checkpoint.id, path), None
        trained = loaded.weights_hash
    else:
        loaded, adapter = material.checkpoint, path
        trained = file_hash(weights)
    if trained != read_evaluation(run.tuned(seed)).adapter:
        raise HarnessError(f"{path}: has changed since tuned/seed-{seed} was made; delete tuned/ and run again")
    return loaded, adapter, trained


def conditions(run: RunDir, check: Check, material: Material, trained: str | None) -> dict[str, Any]:
    """Everything that one model's answers depend on; stored with them, and compared before they are used again.

    trained: the hash of the trained weights, from `model`; None for the base.
    """
    section = run.config.eval
    backend = registry.kind(section).lm_eval_backend
    gpus = machine.gpus()
    own = {}
    if check.our_prompt and backend == "hf":  # vLLM's are ours, too
        own = {"stop ids": list(read_evaluation(run.base).conditions.stop_ids)}
    packages = ("lm_eval", "transformers", "peft", "torch", *(["vllm"] if backend == "vllm" else []))
    return {
        "backend": backend,
        "batch size": check.batch_size or (section.batch_size if backend == "hf" else "auto"),
        "chat template": check.chat,
        "device": gpus[0].name if gpus else "cpu",
        "examples": _hash(material.examples),
        "new tokens": section.max_new_tokens if check.our_prompt else None,  # None: lm-eval's default
        "our prompt": check.our_prompt,
        "precision": section.precision,
        "questions": _hash(material.asked),
        "shots": check.shots,
        "trained": trained,
        "versions": {name: _version(name) for name in packages},
        "weights": material.checkpoint.weights_hash,
        **own,
    }


def _hash(problems: Iterable[Problem]) -> str:
    """SHA-256, in hex, over the rows that lm-eval gets, solutions included."""
    rows = (json.dumps(lm_eval_task.document(problem)) + "\n" for problem in problems)
    return hashlib.sha256("".join(rows).encode()).hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
