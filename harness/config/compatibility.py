"""Combinations of settings that cannot work together, and what to do instead. Each setting is valid by itself."""

from __future__ import annotations

from collections.abc import Iterator

from harness.config import plugins
from harness.config.schema import Config
from harness.tasks import answer_format
from harness.tasks.registry import TASKS

VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # the values of vLLM's max_lora_rank
VLLM_TEMPERATURES = (0.01, 2.0)  # the range that vLLM samples at; a lower value is silently raised to 0.01


def impossible(config: Config) -> Iterator[str]:
    """Yield "key path: what is wrong and what to do" for each combination that cannot work."""
    model, lora, train, evaluation = config.model, config.lora, config.train, config.eval
    step, count = config.completions_per_step, train.processes
    made = f"({train.prompts_per_step} prompts x {train.generations} generations)"
    if step % count:
        yield f"train.processes: {count} does not divide the {step} completions of a step {made}"
    elif train.micro_batch and config.completions_per_process % train.micro_batch:
        each = f", {config.completions_per_process} for each of {count} processes" if count > 1 else ""
        whole = config.completions_per_process
        near = max(size for size in range(1, train.micro_batch) if whole % size == 0)
        yield (
            f"train.micro_batch: {train.micro_batch} does not divide the {step} completions of a step {made}{each}; "
            f"set it to {near}"
        )
    elif train.prompts_per_step % count:
        yield (
            f"train.processes: {count} does not divide the {train.prompts_per_step} prompts of a step, so that a "
            "group would lie in two processes, and rewards that compare its completions would see a part of it"
        )
    if count > 1 and train.loss_type == "bnpo":
        yield (
            "train.loss_type: bnpo divides by the tokens of one process, so that the loss depends on train.processes; "
            "use dapo, which divides by those of all"
        )
    if train.max_prompt_tokens + train.max_completion_tokens > model.max_seq_length:
        yield (
            f"train.max_completion_tokens: {train.max_prompt_tokens} prompt + {train.max_completion_tokens} "
            f"completion tokens exceed model.max_seq_length {model.max_seq_length}"
        )
    if model.load_in_4bit and model.load_in_8bit:
        yield "model.load_in_8bit: choose one of load_in_4bit and load_in_8bit"
    if model.full_finetuning and (model.load_in_4bit or model.load_in_8bit):
        yield "model.full_finetuning: quantized weights cannot be trained; set load_in_4bit/8bit to false"
    if model.full_finetuning and lora.finetune_vision_layers:
        yield "lora.finetune_vision_layers: full finetuning trains only the language model; set it to false"
    if train.rollouts == "vllm" and (model.load_in_8bit or model.full_finetuning or lora.finetune_vision_layers):
        yield "train.rollouts: vllm does not support 8-bit weights, full finetuning or vision adapters; use hf"
    if train.rollouts == "vllm" and config.cluster.gpus_per_task < 1:
        yield "cluster.gpus_per_task: rollouts by vllm take the memory of a whole GPU; set 1, or train.rollouts to hf"
    if not lora.finetune_language_layers and not lora.finetune_vision_layers:
        yield "lora.finetune_language_layers: nothing to train; turn a layer group on"
    if not lora.finetune_attention_modules and not lora.finetune_mlp_modules:
        yield "lora.finetune_attention_modules: nothing to train; turn a module group on"
    if train.save_steps % train.num_iterations:
        yield (
            f"train.save_steps: must be a multiple of num_iterations ({train.num_iterations}), "
            f"the steps that share their rollouts"
        )
    if len(set(train.seeds)) < len(train.seeds):
        yield "train.seeds: a seed is given twice; equal seeds give equal trainings, so list each seed once"
    if train.checkpoint == "best_dev" and not evaluation.curve:
        yield "train.checkpoint: best_dev chooses by the learning curve; set eval.curve to true"
    if train.checkpoint == "best_dev" and evaluation.split == "dev":
        yield "train.checkpoint: a checkpoint chosen on dev cannot be judged on dev; set eval.split to test"
    if config.rewards.control and train.on_drift == "stop":
        yield "rewards.control: a training that is stopped has no control of as many steps; set train.on_drift to warn"
    if config.rewards.control and train.checkpoint == "best_dev":
        yield "rewards.control: only the last adapter of a control is scored; set train.checkpoint to last"
    if evaluation.curve and not config.data.dev:
        yield "eval.curve: the learning curve is scored on the dev split, which is empty; set data.dev"
    if evaluation.elicit > config.data.dev:
        yield (
            f"eval.elicit: a prompt is chosen on {evaluation.elicit} questions of the dev split, which has "
            f"{config.data.dev}; lower it, or raise data.dev"
        )
    if evaluation.elicit and evaluation.split == "dev":
        yield "eval.elicit: a prompt chosen on dev cannot be judged on dev; set eval.split to test"
    if evaluation.tasks[0] != "gsm8k" and (evaluation.curve or evaluation.split == "dev"):
        key = "eval.curve" if evaluation.curve else "eval.split"
        yield f"{key}: the dev split is one of data's questions, and {evaluation.tasks[0]} has none; put gsm8k first"
    if TASKS.get(evaluation.tasks[0]).clustered:
        yield (
            f"eval.tasks: questions of {evaluation.tasks[0]} were made from one another, and the statistics of the "
            "first task take each alone; put gsm8k before it"
        )
    if evaluation.curve and model.full_finetuning:
        yield "eval.curve: the learning curve needs LoRA adapters, and full finetuning makes none; set it to false"
    if len(set(evaluation.tasks)) < len(evaluation.tasks):
        yield "eval.tasks: a task is given twice; list each once"
    if evaluation.tasks[1:] and config.model.full_finetuning:
        yield "eval.tasks: full finetuning is scored on one task; give one, or train an adapter"
    if evaluation.samples > 1 and evaluation.temperature == 0:
        yield "eval.samples: greedy decoding gives the same completion every time; set eval.temperature too"
    low, high = VLLM_TEMPERATURES
    if train.rollouts == "vllm" and not low <= train.temperature <= high:
        yield f"train.temperature: vllm samples only at {low:g} to {high:g}; change it, or set train.rollouts to hf"
    for plugin in plugins.chosen(config):
        yield from plugin.refusals(config)
    try:
        answer_format.check_tags(config.prompt.tags.record())
    except ValueError as error:
        yield f"prompt.tags: {error}"
