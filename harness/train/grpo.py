"""GRPO with TRL and PEFT, every setting pinned, checked and resumable (python -m harness.train starts it).

After the trainer is built, its effective settings are compared with those asked for, and its prompts with the
evaluation's token ids: anything that a library dropped, renamed or changed stops the run before the first step.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase, PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from harness.config import card
from harness.config.schema import Config
from harness.models import full_finetuning, prompts
from harness.models.checkpoint import Checkpoint, resolve
from harness.models.hf_engine import DTYPES
from harness.models.prompts import Prompt
from harness.runs import provenance, seals, training
from harness.runs.directory import RunDir
from harness.runs.training import DroppedPrompts, LongPrompt
from harness.tasks import dataset
from harness.tasks.benchmarks import gsm8k
from harness.tasks.records import Problem
from harness.train import ranks, rewards
from harness.train.backend import TrainerBackend
from harness.train.effective_settings import PINNED, check_settings
from harness.train.recorder import Recorder
from harness.train.resume import ResumePoints, last_resume_point, step_of
from harness.util import files
from harness.util.console import progress, say, working
from harness.util.errors import HarnessError


def train(run: RunDir, seed: int, backend: TrainerBackend) -> None:
    """Train one seed, or continue from its last resume point. The caller holds the run's lock.

    Writes adapter/ (adapter and tokenizer), metrics.jsonl, completions.parquet, effective_settings.json and
    checkpoints/ in the seed's folder; adapter/ is put in place last, so that its presence means "done".
    """
    config, folder = run.config, run.train(seed)
    began = time.perf_counter()
    prompts.quiet()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # the trainer forks after tokenizing
    checkpoint = resolve(config.model)
    data = gsm8k.load(config.data.source())
    if config.model.max_seq_length > checkpoint.context:
        raise HarnessError(
            f"model.max_seq_length: {config.model.max_seq_length} is more than {checkpoint.id}'s context of "
            f"{checkpoint.context} tokens"
        )
    run.pin(provenance.inputs(data.content_hash()) | checkpoint.inputs | rewards.inputs(config))
    tokenizer, end = training_tokenizer(checkpoint)
    problems, asked = _fitting(config, data.train, tokenizer, folder)
    _set_padding(tokenizer, checkpoint, asked)
    resume = last_resume_point(folder, config.train.num_iterations)
    recorder = Recorder(
        folder,
        config,
        stop_ids=prompts.stop_ids(checkpoint, tokenizer),
        eos_id=tokenizer.eos_token_id,
        done=step_of(resume) if resume else 0,
    )
    stage = f"training ({run.label(seed)})"
    if resume and (before := run.read_manifest().backends.get(stage, backend.name)) != backend.name:
        raise HarnessError(
            f"train.backend: the first {recorder.resumed_at} steps were trained by {before}, which cannot run here; go "
            f"on where it can, or delete {folder} and train again"
        )
    run.note("backends", {stage: backend.name})
    made, earlier = provenance.made_with(), run.read_manifest().made_with.get(stage)
    goes_on = f", from step {recorder.resumed_at + 1} on" if resume and earlier not in (None, made) else ""
    run.note("made_with", {f"{stage}{goes_on}": made})
    with working("preparation of the training"):
        trainer = _build(config, seed, checkpoint, tokenizer, problems, folder, recorder, backend)
        ranks.keep(trainer)
        _same_prompts(trainer, problems, asked, config)
    settings = check_settings(trainer, config, seed, end)
    if ranks.is_first():
        training.write_settings(folder, settings)
    started = time.perf_counter()
    say(f"Training {run.label(seed)}: {settings['trainable_parameters'].effective:,} trainable parameters.")
    if backend.compiles:
        say("The first step compiles; that takes minutes on a new machine, and later runs use the cache.")
        recorder.first_step_compiles = True
    with progress(stage, config.train.steps, recorder.step, unit="steps") as update:
        recorder.update = update
        if recorder.first_step_compiles:
            update(recorder.step, "the first step compiles")
        if not recorder.over:
            with _diverging():
                trainer.train(resume_from_checkpoint=str(resume) if resume else None)
        else:  # killed after its last step: train() would take another step
            trainer._load_from_checkpoint(str(resume))
    trainer.accelerator.wait_for_everyone()
    backend.tidy()
    if not ranks.is_first():
        return
    seconds = time.perf_counter() - started
    recorder.save()
    training.write_stopped(folder, recorder.stopped)
    if recorder.stopped:
        ended = f"after step {recorder.step} of {config.train.steps} (train.on_drift: stop)"
        say(f"Training {run.label(seed)} ends {ended}.")
    _save(trainer, run, seed, checkpoint)
    steps = recorder.step - recorder.resumed_at
    cost = provenance.cost(started - began, seconds, recorder.tokens, steps=steps)
    run.note("stages", {stage: cost})
    say(f"Training {run.label(seed)}: {steps} steps in {seconds:.1f} s, {recorder.tokens / seconds:,.0f} tokens/s.")


@contextmanager
def _diverging() -> Iterator[None]:
    """Raise HarnessError if rollouts cannot be sampled because the model's outputs are not probabilities."""
    try:
        yield
    except RuntimeError as error:
        if "probability tensor contains" not in str(error):
            raise
        raise HarnessError(
            "train: the model's outputs are no longer valid probabilities: the training diverged; run again with a "
            "lower train.learning_rate"
        ) from error


def training_tokenizer(checkpoint: Checkpoint) -> tuple[PreTrainedTokenizerBase, str]:
    """The tokenizer as training needs it, and the token that ends the model's turn.

    TRL 1.14 stops rollouts only at the tokenizer's eos and ignores the checkpoint's own stop ids. Gemma ends its turn
    with <end_of_turn>: with <eos> every completion would run to the token limit.
    """
    tokenizer = prompts.load_tokenizer(checkpoint)
    end = prompts.turn_end(tokenizer)
    tokenizer.eos_token = end
    return tokenizer, end


def _fitting(
    config: Config, problems: Sequence[Problem], tokenizer: PreTrainedTokenizerBase, folder: Path
) -> tuple[list[Problem], list[Prompt]]:
    """The training problems whose prompts fit, with those prompts; the others are listed in a file, or an error."""
    limit = config.train.max_prompt_tokens
    encoded = prompts.encode(tokenizer, problems, config.prompt.system)
    pairs = list(zip(problems, encoded, strict=True))
    long = tuple(LongPrompt(each.problem_id, len(each.ids)) for each in encoded if len(each.ids) > limit)
    if long and config.train.long_prompts == "refuse":
        raise HarnessError(
            f"train.long_prompts: {len(long)} of {len(problems)} training prompts have more than {limit} tokens (the "
            f"longest {max(each.tokens for each in long)}); raise train.max_prompt_tokens or set long_prompts to drop"
        )
    if ranks.is_first():
        training.write_dropped(folder, DroppedPrompts(limit, len(problems), long))
    if long:
        say(f"Training leaves out {len(long)} of {len(problems)} prompts: more than {limit} tokens.")
    kept = [(problem, prompt) for problem, prompt in pairs if len(prompt.ids) <= limit]
    if len(kept) < config.train.prompts_per_step:
        raise HarnessError(
            f"train.max_prompt_tokens: only {len(kept)} training prompts have at most {limit} tokens, and a step needs "
            f"{config.train.prompts_per_step}; raise it"
        )
    return [problem for problem, _ in kept], [prompt for _, prompt in kept]


def _set_padding(tokenizer: PreTrainedTokenizerBase, checkpoint: Checkpoint, asked: Sequence[Prompt]) -> None:
    """Give the tokenizer a padding token that is in no prompt and ends no turn.

    TRL uses masks, and any token would do. Unsloth takes the token for padding wherever it occurs: the published
    SmolLM2 pads with the end-of-turn token, and would be trained without any end of turn.
    """
    if (found := prompts.padding(tokenizer, asked)) not in (None, tokenizer.pad_token):
        say(f"Training pads with {found}: {checkpoint.id} has no padding token, or uses it in prompts.")
        tokenizer.pad_token = found


def in_order(problems: Sequence[Problem], config: Config, seed: int) -> list[Problem]:
    """The problems of the whole training in order: as many passes over them as the steps need.

    Each pass has its own order, by a hash of seed, pass and problem id. TRL would shuffle too, but starts again with
    its first pass when it is resumed.
    """
    wanted = config.rollouts * config.train.prompts_per_step
    ordered: list[Problem] = []
    passes = itertools.count()
    while len(ordered) < wanted:
        number = next(passes)
        ordered += sorted(problems, key=lambda p: hashlib.sha256(f"{seed} {number} {p.id}".encode()).digest())
    return ordered[:wanted]


def _build(
    config: Config,
    seed: int,
    checkpoint: Checkpoint,
    tokenizer: PreTrainedTokenizerBase,
    problems: Sequence[Problem],
    folder: Path,
    recorder: Recorder,
    backend: TrainerBackend,
) -> GRPOTrainer:
    rows = [
        {"prompt": dataset.messages(p.question, config.prompt.system), "answer": p.gold, "problem_id": p.id}
        for p in in_order(problems, config, seed)
    ]
    model, adapter = backend.load(config, checkpoint, tokenizer)
    if config.model.full_finetuning:
        full_finetuning.freeze_vision(model)
    with backend.building(config):
        # Here, in the engine's turn to start, as its share of the memory is measured.
        arguments = _arguments(config, seed, folder, tokenizer.eos_token_id, backend)
        trainer = GRPOTrainer(
            model=model,
            reward_funcs=recorder.wrap(rewards.of(config, seed)),
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            peft_config=adapter,
            callbacks=[recorder, ResumePoints(config, seed, folder / "checkpoints", recorder)],
        )
    backend.built(trainer)
    trainer.remove_callback(PrinterCallback)
    return trainer


def _arguments(config: Config, seed: int, folder: Path, end_id: int, backend: TrainerBackend) -> GRPOConfig:
    """The trainer's arguments. It counts batches in completions, we count prompts times generations."""
    t, cuda = config.train, torch.cuda.is_available()
    vllm: dict[str, Any] = {}
    if t.rollouts == "vllm":
        # As with rollouts by hf: stop only at the end of the turn.
        stops = {"ignore_eos": True, "stop_token_ids": [end_id]}
        vllm = {"use_vllm": True, "vllm_mode": "colocate", "generation_kwargs": stops}
    micro = t.micro_batch or config.completions_per_process
    asked: dict[str, Any] = dict(
        output_dir=str(folder / "checkpoints"),
        seed=seed,
        use_cpu=not cuda,
        bf16=config.model.precision == "bf16",
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=config.completions_per_process // micro,
        num_generations=t.generations,
        max_completion_length=t.max_completion_tokens,
        max_steps=t.steps,
        learning_rate=t.learning_rate,
        warmup_steps=config.warmup_steps,  # transformers 5 has no warmup_ratio
        lr_scheduler_type=t.lr_scheduler,
        optim=t.optimizer,
        adam_beta1=t.adam_beta1,
        adam_beta2=t.adam_beta2,
        adam_epsilon=t.adam_epsilon,
        weight_decay=t.weight_decay,
        max_grad_norm=t.max_grad_norm,
        loss_type=t.loss_type,
        beta=t.beta,
        use_bias_correction_kl=t.kl_importance_weighted,
        scale_rewards=t.scale_rewards,
        importance_sampling_level=t.importance_sampling,
        epsilon=t.epsilon,
        epsilon_high=t.epsilon,  # by default some libraries choose it by the loss type
        num_iterations=t.num_iterations,
        mask_truncated_completions=t.mask_truncated_completions,
        temperature=t.temperature,
        top_p=t.top_p,
        top_k=t.top_k,
        min_p=t.min_p or None,
        reward_weights=[function.weight for function in config.rewards.functions],
        gradient_checkpointing=t.gradient_checkpointing,
        logging_steps=t.logging_steps,
        save_strategy="no",  # ResumePoints decides
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=cuda,
        **PINNED,
        **vllm,
    )
    if ranks.is_one():
        asked["ddp_find_unused_parameters"] = False  # every trained weight is in every pass
    if config.model.full_finetuning and t.beta:
        # For the reference model of the KL term, as there is no adapter to turn off; its default is fp32.
        asked["model_init_kwargs"] = {"dtype": DTYPES[config.model.precision]}
        # TRL warns that they are ignored; that is true for the model, but not for the reference.
        trl_log = logging.getLogger("trl.trainer.grpo_trainer")
        trl_log.addFilter(lambda record: "model_init_kwargs" not in record.getMessage())
    return GRPOConfig(**asked | backend.arguments(config))


# --- the checks before the first step ------------------------------------------------------------------------


def _same_prompts(trainer: GRPOTrainer, problems: Sequence[Problem], asked: Sequence[Prompt], config: Config) -> None:
    """Raise HarnessError if the trainer's token ids of a training prompt are not ours."""
    chats = [dataset.messages(problem.question, config.prompt.system) for problem in problems]
    made, *_ = trainer._tokenize_prompts(chats)  # what its rollouts use; there is no public function
    for prompt, ids in zip(asked, made, strict=True):
        if prompts.ids_hash(ids) != prompt.hash:
            raise HarnessError(
                f"prompt: the trainer and the evaluation make different token ids for problem {prompt.problem_id}: "
                f"{list(ids)[:8]}... and {list(prompt.ids)[:8]}...; training and test would use different prompts"
            )


def _save(trainer: GRPOTrainer, run: RunDir, seed: int, checkpoint: Checkpoint) -> None:
    """Write the adapter, or all the weights, atomically, after sealing what the training leaves."""
    outcome, config, done = run.adapter(seed), run.config, run.steps(seed)
    part = outcome.with_name(f".{outcome.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    model = trainer.accelerator.unwrap_model(trainer.model)
    if config.model.full_finetuning:
        full_finetuning.save(model, checkpoint, part)
    else:
        model.peft_config[
            "default"
        ].base_model_name_or_path = checkpoint.id  # as in the experiment file, not a local path
        model.save_pretrained(part, save_embedding_layers=False)  # "auto" would ask the hub about the base
        prompts.load_tokenizer(checkpoint).save_pretrained(part)
    files.write_text(part / card.NAME, card.trained(config, seed, done, over=True))  # PEFT's is blank
    files.sync(part)
    inside, final = str(part.relative_to(run.path)), str(outcome.relative_to(run.path))
    saved = {path.replace(inside, final, 1): sha256 for path, sha256 in seals.hashes(run, part.rglob("*")).items()}
    folder = outcome.parent
    records = [training.metrics_log(folder), training.rollouts_file(folder), training.stopped_file(folder)]
    records += [folder / "effective_settings.json", folder / "dropped_prompts.json"]
    points = [run.adapter_after(seed, step) for step in run.kept_steps(seed)[:-1]]
    kept = [point / name for point in points for name in ("adapter_model.safetensors", "adapter_config.json")]
    written = saved | seals.hashes(run, [*records, *kept])
    seals.seal(run, outcome, {path: (sha256, {}) for path, sha256 in written.items()})
    files.put(part, outcome)
