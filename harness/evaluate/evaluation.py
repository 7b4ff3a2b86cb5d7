"""The sides of an evaluation: the base, the base again, the learning curve, the tuned models.

Completions go to samples.jsonl as they finish; after a kill only the missing ones are made. Base completions are stored
by content in results/.base and shared by all experiments that would make the same ones.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from harness.config import plugins
from harness.config.schema import Config
from harness.evaluate import adapter_proof, generation, learning_curve
from harness.evaluate.adapter_proof import Reference
from harness.evaluate.generation import LazyEngine, Series
from harness.models import full_finetuning, lora, prompts, registry
from harness.models.checkpoint import Checkpoint
from harness.models.engine import Work
from harness.models.prompts import Questions
from harness.runs import proof, provenance, results, seals, source
from harness.runs.comparable import check_conditions
from harness.runs.completions import Part
from harness.runs.directory import RunDir
from harness.runs.manifest import Base, Evaluated
from harness.runs.results import Benchmark, Changed, Conditions, Evaluation, SelfTestCounts, read_evaluation
from harness.runs.source import Content, Source
from harness.tasks.dataset import Data
from harness.tasks.registry import TRAINING
from harness.tasks.task import Task
from harness.util import files, locks
from harness.util.console import say, working
from harness.util.errors import HarnessError
from harness.util.files import file_hash
from harness.util.text import quoted


def evaluate(run: RunDir, side: str, part: Part | None = None) -> None:
    """Evaluate a side, "base", "again", "curve" or "tuned", the last two for every training seed, in one engine start.

    "base" and "tuned" are scored on every task of the experiment. "base" includes "again" with a noise floor. The
    caller holds the run's lock. With a part, only its completions are made; whoever finds those of all parts there
    writes the results.
    """
    if part and not registry.kind(run.config.eval).divides(run.config.eval):
        raise HarnessError("--part: without eval.batch_invariant a completion depends on all others; leave it out")
    config = learning_curve.watching(run.config) if side == "curve" else run.config
    if side == "curve" and config.model.full_finetuning:
        raise HarnessError(f"{run.path}: the learning curve needs LoRA adapters, and full finetuning makes none")
    if side in ("curve", "tuned"):
        for arm in run.arms if side == "tuned" else [run]:
            _check_trained(arm)
    own = Asked.of(run, config)
    further = [Asked.of(each, each.config, own.questions) for each in run.further] if side in ("base", "tuned") else []
    asked = [own, *further]
    if side == "base" and config.eval.curve:  # find a dev question that does not fit before the training
        prompts.prepare(learning_curve.watching(config), own.data)
    proven = [each.proven() for each in asked]
    pinned = own.inputs | own.questions.checkpoint.inputs
    for each in further:
        pinned |= each.inputs
    run.pin(pinned)
    base = own.questions.checkpoint
    run.note("base", Base(base.revision, base.architecture, base.parameters))
    run.note("machine", provenance.machine())
    adapters = side in ("curve", "tuned") and not config.model.full_finetuning
    works = [generation.work(each.config, each.questions, adapters=adapters) for each in asked]
    # Only the length is that of all tasks: the engine, and with it its version, is that of a run without the others.
    made_for = dataclasses.replace(works[0], longest=max(each.longest for each in works))
    if side == "curve":
        models = 1 + sum(len(run.kept_steps(seed)) for seed in config.train.seeds)
        made_for = dataclasses.replace(made_for, completions=made_for.completions * models)
    engine_version = registry.version(config.eval, made_for)  # it answers all tasks
    # A template for the result of each side, by task.
    templates = [each.template(found, engine_version) for each, found in zip(asked, proven, strict=True)]
    questions, evaluation = own.questions, templates[0]
    loaded = LazyEngine(lambda: registry.load(config.eval, questions.checkpoint, questions.tokenizer, made_for))
    for each, template in zip(asked, templates, strict=True):
        if side != "curve" and each.has_base:
            # Otherwise the report would find it after the work.
            now = "what is asked now" if side == "base" else side
            check_conditions(each.run, read_evaluation(each.run.base).conditions, template.conditions, now)
            if side == "base":
                say(f"{_what('base', each.run)} evaluation: done already.")
    if side == "base" and not own.has_base:
        _base(run, questions, evaluation, loaded, part)
    if side == "again" or (side == "base" and config.eval.noise_floor):
        _again(run, questions, evaluation, loaded, part)
    if side == "curve":
        for seed in config.train.seeds:
            _curve(run, seed, questions, evaluation, loaded, part)
    if side == "tuned":
        if config.model.full_finetuning:
            for arm in run.arms:
                for seed in config.train.seeds:
                    _tuned_model(arm, seed, questions, evaluation, made_for, part)
        else:
            _all_tuned(run, questions, evaluation, loaded, part)
    for each, template in zip(asked[1:], templates[1:], strict=True):
        if side == "base" and not each.has_base:
            _base(each.run, each.questions, template, loaded, part)
        if side == "tuned":
            for seed in config.train.seeds:
                _also_tuned(each.run, seed, each.questions, template, loaded, part)


@dataclass(frozen=True)
class Asked:
    """One task of an evaluation."""

    run: RunDir  # as the task sees it
    config: Config  # the same, or for a learning curve that of the dev split
    task: Task
    data: Data
    questions: Questions

    @staticmethod
    def of(run: RunDir, config: Config, beside: Questions | None = None) -> Asked:
        """Load the questions of the config's first task. Raises HarnessError."""
        task = plugins.task(config)
        data = task.load(config.data.source())
        questions = prompts.prepare(config, data, beside=beside)
        for reason, count in data.left_out.items():
            say(f"{task.name}: {count:,} of {count + len(data.test):,} questions are left out: {reason}.")
        return Asked(run, config, task, data, questions)

    @property
    def has_base(self) -> bool:
        """Whether its base is evaluated, by an earlier command."""
        return (self.run.base / "result.json").exists()

    @property
    def inputs(self) -> dict[str, str]:
        """The hash of its data, for RunDir.pin."""
        of = "data" if self.task.name == TRAINING else f"questions of {self.task.name}"
        return provenance.inputs(self.data.content_hash(), of)

    def proven(self) -> SelfTestCounts:
        return results.run_selftest(
            self.task, generation.asked_questions(self.questions), self.config.prompt.tags.record()
        )

    def template(self, proven: SelfTestCounts, engine: str) -> Evaluation:
        """The evaluation without its scores; engine: its version."""
        asked = self.questions.problems
        published = self.task.name != TRAINING
        return Evaluation(
            generation.conditions(self.config, self.questions, engine),
            self.data.counts(),
            proven,
            adapter=None,
            scores=(),
            benchmark=Benchmark.of(asked, self.data.left_out) if published else None,
        )


def _check_trained(arm: RunDir) -> None:
    arm.pin_control()
    for seed in arm.config.train.seeds:
        if not arm.adapter(seed).exists():
            option = " --control" if arm.arm == "control" else ""
            command = f"python -m harness.train {quoted(arm.path)}{option}"
            raise HarnessError(f"{arm.path}: {arm.label(seed)} is not trained yet; {command}")


def _all_tuned(
    run: RunDir, questions: Questions, evaluation: Evaluation, engine: LazyEngine, part: Part | None
) -> None:
    trained = [(arm, seed) for arm in run.arms for seed in run.config.train.seeds]
    references: list[Reference | None] = [None] * len(trained)
    if part is None or part.number == 1:  # one proof for all parts
        # PEFT's part for all trainings first: the engine takes the GPU's memory when it starts.
        references = [_reference(arm, seed, questions, evaluation.conditions) for arm, seed in trained]
    for (arm, seed), reference in zip(trained, references, strict=True):
        _tuned(arm, seed, questions, evaluation, engine, part, reference)
        engine.is_running()


def _base(run: RunDir, questions: Questions, evaluation: Evaluation, engine: LazyEngine, part: Part | None) -> None:
    content = generation.content(run.config, questions, evaluation.conditions)
    with shared(run, run.base, _what("base", run), questions, content, engine, part) as whole:
        if whole:
            write_result(run, run.base, questions, evaluation)
    engine.is_running()


def _again(run: RunDir, questions: Questions, evaluation: Evaluation, engine: LazyEngine, part: Part | None) -> None:
    """Evaluate the base once more, with the order of the questions changed, and if it samples, the seed.

    result.json has the order of the base's; its conditions are those that the two share, `changed` has the rest.
    """
    seed = run.config.eval.seed + 1
    pairs = zip(questions.problems, questions.prompts, strict=True)
    order = sorted(pairs, key=lambda pair: hashlib.sha256(f"{seed} {pair[0].id}".encode()).digest())
    problems, asked = zip(*order, strict=True)
    shuffled = dataclasses.replace(questions, problems=problems, prompts=asked)
    changed = Changed(prompts.hash_of_all(asked), seed if run.config.eval.temperature else None)
    content = generation.content(run.config, shuffled, evaluation.conditions)
    content = dataclasses.replace(content, seed=changed.seed, again=True)
    with shared(run, run.again, "base again", shuffled, content, engine, part) as whole:
        if whole:
            write_result(run, run.again, questions, dataclasses.replace(evaluation, changed=changed))
    engine.is_running()


def _curve(
    run: RunDir, seed: int, questions: Questions, evaluation: Evaluation, engine: LazyEngine, part: Part | None
) -> None:
    """Score the base and the seed's kept adapters on the dev questions, step by step, and write curve.json."""
    content = generation.content(run.config, questions, evaluation.conditions)
    folders = learning_curve.folders(run, seed)
    for step, folder in folders.items():
        what = f"curve (seed {seed}, step {step})"
        adapter = run.adapter_after(seed, step) if step else None
        if adapter:
            adapter_hash = _kept(folder, adapter, content)
            made = Series(run, what, folder / "samples.jsonl", questions, content, adapter)
            finished = _finishing(folder, generation.complete(made, engine, part), part)
        else:
            adapter_hash = None
            # An engine with room for adapters may run other kernels, whose last bits differ.
            own = dataclasses.replace(content, adapters=True)
            finished = shared(run, folder, what, questions, own, engine, part)
        trained = adapter / "adapter_model.safetensors" if adapter else None
        with finished as whole:
            if whole:
                write_result(run, folder, questions, dataclasses.replace(evaluation, adapter=adapter_hash), trained)
        engine.is_running()
    scored = all((folder / "result.json").exists() for folder in folders.values())
    with _finishing(run.curve(seed), scored, part) as whole:
        if whole:
            made = learning_curve.write(run, seed)
            run.note("checkpoints", {f"seed {seed}": Evaluated(made.chosen, made.checkpoint)})


@contextmanager
def _finishing(folder: Path, whole: bool, part: Part | None) -> Iterator[bool]:
    """Whether to write the result in a folder now: the completions are whole, and of several parts no other does it."""
    if part is None or not whole:
        yield whole
        return
    with locks.at_once(folder) as alone:
        yield alone


def _kept(folder: Path, adapter: Path, content: Content) -> str:
    """The hash of an adapter that the training kept, after checking that the completions in `folder` are its own."""
    if not (adapter / "adapter_model.safetensors").exists():
        raise HarnessError(f"{adapter}: adapter not found; delete train/ and curve/ of this run and run it again")
    lora.check_weights(adapter)
    adapter_hash = file_hash(adapter / "adapter_model.safetensors")
    wanted = Source(adapter_hash, content.digest)
    with locks.briefly(folder):
        if not wanted.began(folder / "source.json"):
            source.write_source(folder, wanted)
    return adapter_hash


@contextmanager
def shared(
    run: RunDir,
    folder: Path,
    what: str,
    questions: Questions,
    content: Content,
    engine: LazyEngine,
    part: Part | None,
) -> Iterator[bool]:
    """Make the base's completions in the shared folder named by their content, and copy them into `folder`.

    Yields as _finishing.
    """
    shared = run.shared_bases / content.digest
    log, whole = shared / "samples.jsonl", shared / "whole.json"
    made = Series(run, what, log, questions, content)
    with nullcontext() if part else locks.lock(shared, wait=True):
        with locks.briefly(shared):
            source.write_content(shared, content)
            if whole.exists() and not source.is_whole(log, whole):
                say(f"{log}: has changed since it was written; it is made again.")
                if log.exists():
                    log.replace(log.with_name(log.name + seals.DAMAGED))
                whole.unlink()  # last: without it the log would be trusted
        finished = generation.complete(made, engine, part)
    with _finishing(folder, finished, part) as first:
        if first:
            with locks.briefly(shared):
                source.write_whole(log, whole)
            folder.mkdir(parents=True, exist_ok=True)
            files.write_bytes(folder / "samples.jsonl", log.read_bytes())
        yield first


def _reference(run: RunDir, seed: int, questions: Questions, conditions: Conditions) -> Reference | None:
    """The effect of the seed's adapter in PEFT, for the proof; None if the proof exists already."""
    adapter = run.evaluated(seed)
    lora.check_weights(adapter)
    adapter_hash = file_hash(adapter / "adapter_model.safetensors")
    if _source(run, questions, conditions, adapter_hash).began(run.tuned(seed) / "proof.json"):
        return None
    say("Adapter proof: it checks that the engine really uses the trained adapter.")
    ids, stops = [prompt.ids for prompt in questions.prompts], conditions.stop_ids
    with working("adapter proof in PEFT"):
        return adapter_proof.reference(questions.checkpoint, adapter, ids, stops, run.config.eval.precision)


def _tuned(
    run: RunDir,
    seed: int,
    questions: Questions,
    evaluation: Evaluation,
    engine: LazyEngine,
    part: Part | None,
    reference: Reference | None,
) -> None:
    """Prove that the engine applies the seed's adapter, then evaluate with it; of several parts the first proves it."""
    folder, adapter = run.tuned(seed), run.evaluated(seed)
    adapter_hash = file_hash(adapter / "adapter_model.safetensors")
    wanted = _source(run, questions, evaluation.conditions, adapter_hash)
    if reference:
        model = engine.get()
        with working("adapter proof in the engine"):
            given = adapter_proof.prove(model, adapter, reference)
        proof.write(folder, given, wanted)
    made = Series(
        run, f"tuned ({run.label(seed)})", folder / "samples.jsonl", questions, evaluation.conditions, adapter
    )
    whole = generation.complete(made, engine, part)
    with _finishing(folder, whole and wanted.began(folder / "proof.json"), part) as first:
        if first:
            trained = adapter / "adapter_model.safetensors"
            write_result(run, folder, questions, dataclasses.replace(evaluation, adapter=adapter_hash), trained)


def _also_tuned(
    run: RunDir, seed: int, questions: Questions, evaluation: Evaluation, engine: LazyEngine, part: Part | None
) -> None:
    """Evaluate a further task with the seed's adapter, which was proved to be applied for the run's own task."""
    folder, adapter = run.tuned(seed), run.evaluated(seed)
    adapter_hash = _kept(folder, adapter, generation.content(run.config, questions, evaluation.conditions))
    what = _what(f"tuned (seed {seed})", run)
    made = Series(run, what, folder / "samples.jsonl", questions, evaluation.conditions, adapter)
    with _finishing(folder, generation.complete(made, engine, part), part) as first:
        if first:
            trained = adapter / "adapter_model.safetensors"
            write_result(run, folder, questions, dataclasses.replace(evaluation, adapter=adapter_hash), trained)
    engine.is_running()


def _what(side: str, run: RunDir) -> str:
    """A series of completions in messages and in the manifest."""
    return f"{side}, {run.task}" if run.task else side


def _tuned_model(
    run: RunDir, seed: int, questions: Questions, evaluation: Evaluation, made_for: Work, part: Part | None
) -> None:
    """As _tuned, if all weights were trained: prove that they differ from the base's, and evaluate with them."""
    section, folder = run.config.eval, run.tuned(seed)
    trained = Checkpoint(questions.checkpoint.id, run.adapter(seed))
    wanted = _source(run, questions, evaluation.conditions, trained.weights_hash)
    with locks.briefly(folder):
        if not wanted.began(folder / "proof.json"):
            proof.write(folder, full_finetuning.change(questions.checkpoint, trained, section.precision), wanted)
    engine = LazyEngine(lambda: registry.load(section, trained, questions.tokenizer, made_for))
    made = Series(run, f"tuned ({run.label(seed)})", folder / "samples.jsonl", questions, evaluation.conditions)
    with _finishing(folder, generation.complete(made, engine, part), part) as first:
        if first:
            write_result(run, folder, questions, dataclasses.replace(evaluation, adapter=trained.weights_hash))


def _source(run: RunDir, questions: Questions, conditions: Conditions, trained: str) -> Source:
    """The source to record with a proof about trained weights with this hash."""
    return Source(trained, generation.content(run.config, questions, conditions).digest)


def write_result(
    run: RunDir,
    folder: Path,
    questions: Questions,
    evaluation: Evaluation,
    trained: Path | None = None,
    made_from: Sequence[Path] = (),
) -> None:
    """Score every completion and write result.json; trained: the file whose hash is evaluation.adapter.

    made_from: other files that decided what was asked.
    """
    config = run.config
    scores = results.score(
        plugins.task(config),
        folder / "samples.jsonl",
        generation.asked_questions(questions),
        config.eval.samples,
        config.prompt.tags.record(),
    )
    # The report is drawn from the run directory alone, even if the data is no longer there.
    texts = {problem.id: problem.question for problem in questions.problems}
    seals.write_result(run, folder, dataclasses.replace(evaluation, questions=texts, scores=scores), trained, made_from)
