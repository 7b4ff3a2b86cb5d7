"""The settings that a trainer was asked for and those that it will use; a run stops if they differ.

Libraries drop unknown keywords with a warning, rename arguments and derive batch sizes silently. Here every setting
is read back from the built trainer, and all pairs are written to effective_settings.json.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from trl import GRPOTrainer

from harness.config.schema import Config
from harness.models import full_finetuning
from harness.models.lora import lora_config
from harness.runs.training import Setting
from harness.train import rewards, trl_rollouts
from harness.util.errors import HarnessError

# Settings that are not in the experiment file because no experiment here varies them; the effective settings show them.
PINNED = {
    "log_completions": False,
    "shuffle_dataset": False,  # grpo.in_order does
    "disable_dropout": False,
    "multi_objective_aggregation": "sum_then_normalize",
    "top_entropy_quantile": 1.0,
    "entropy_coef": 0.0,
    "repetition_penalty": 1.0,
    "sync_ref_model": False,
    "fp16": False,
    "vllm_importance_sampling_correction": False,  # for rollouts by vllm; the tutorial has no such weight
}
LORA = ("r", "alpha", "dropout", "bias")
QUANTIZED = {"Params4bit": "4bit", "Int8Params": "8bit"}  # bitsandbytes' classes for a model's parameters


def check_settings(trainer: GRPOTrainer, config: Config, seed: int, end: str) -> dict[str, Setting]:
    """Compare every setting of the built trainer with the one asked for, and return them by name.

    Raises HarnessError naming the settings that differ.
    """
    effective = _effective(trainer, config)
    asked = _asked(config, seed, end)
    if not config.model.full_finetuning:
        asked |= _asked_adapter(trainer, config)
    settings = {name: Setting(asked.get(name, effective[name]), effective[name]) for name in sorted(effective)}
    wrong = [
        f"{name} (asked {pair.asked!r}, got {pair.effective!r})"
        for name, pair in settings.items()
        if pair.asked != pair.effective
    ]
    if wrong:
        raise HarnessError(f"train: the trainer's settings are not those that were asked for: {', '.join(wrong)}")
    return settings


def _asked(config: Config, seed: int, end: str) -> dict[str, Any]:
    t = config.train
    same = (
        "learning_rate", "adam_beta1", "adam_beta2", "adam_epsilon", "weight_decay", "max_grad_norm", "loss_type",
        "beta", "scale_rewards", "epsilon", "num_iterations", "mask_truncated_completions", "temperature", "top_p",
        "top_k", "gradient_checkpointing", "logging_steps",
    )  # fmt: skip
    return (
        {name: getattr(t, name) for name in same}
        | PINNED
        | {
            "seed": seed,
            "steps": t.steps,
            "optimizer": t.optimizer,
            "lr_scheduler": t.lr_scheduler,
            "warmup_steps": config.warmup_steps,
            "processes": t.processes,
            "completions_per_step": config.completions_per_step,
            "completions_per_rollout": config.completions_per_step,
            "generations": t.generations,
            "max_completion_tokens": t.max_completion_tokens,
            "importance_sampling": t.importance_sampling,
            "kl_importance_weighted": t.kl_importance_weighted,
            "epsilon_high": t.epsilon,
            "delta": None,
            "off_policy_mask_threshold": None,
            "min_p": t.min_p or None,
            "rewards": rewards.names(config),
            "reward_weights": torch.tensor([f.weight for f in config.rewards.functions]).tolist(),  # float32 there
            "adapters": [] if config.model.full_finetuning else ["default"],
            "bf16": config.model.precision == "bf16",
            "quantized": _asked_bits(config),
            "stop_token": end,
            "use_vllm": t.rollouts == "vllm",
            "vllm_sampling_params": None,
            "vllm_shares_weights": t.backend == "unsloth",
            "vllm_takes_adapter": True,
            "vllm_tokens": config.model.max_seq_length,
            "vision_trained": [],
        }
    )


def _asked_adapter(trainer: GRPOTrainer, config: Config) -> dict[str, Any]:
    """The adapter's settings, the modules that its pattern names, and that nothing else is trained."""
    pattern = lora_config(config).target_modules
    named = sum(bool(re.fullmatch(pattern, name)) for name, _ in trainer.model.named_modules())
    asked = {f"lora_{name}": getattr(config.lora, name) for name in LORA}
    asked |= {"lora_rslora": False, "lora_dora": False, "lora_modules": named, "lora_modules_unasked": []}
    # In bf16 small updates are rounded away, and vLLM, which scales B in place, would scale the training's B.
    return asked | {"lora_dtype": ["float32"], "trained_beside_lora": []}


def _asked_bits(config: Config) -> str | None:
    if config.model.load_in_4bit:
        return "4bit"
    return "8bit" if config.model.load_in_8bit else None


def _effective(trainer: GRPOTrainer, config: Config) -> dict[str, Any]:
    """The settings that the trainer will use, read from where it reads them: its attributes before its arguments."""
    args = trainer.args
    parameters = list(trainer.model.parameters())
    whole = config.model.full_finetuning
    base = next(p for p in parameters if p.dim() > 1 and p.requires_grad == whole)
    pinned = {name: getattr(trainer, name, getattr(args, name)) for name in PINNED if name != "sync_ref_model"}
    return (
        pinned
        | _rollouts(trainer, config)
        | (_whole(trainer) if whole else _adapters(trainer, config))
        | {
            "sync_ref_model": args.sync_ref_model,
            "seed": args.seed,
            "steps": args.max_steps,
            "learning_rate": args.learning_rate,
            "adam_beta1": args.adam_beta1,
            "adam_beta2": args.adam_beta2,
            "adam_epsilon": args.adam_epsilon,
            "weight_decay": args.weight_decay,
            "max_grad_norm": args.max_grad_norm,
            "optimizer": str(getattr(args.optim, "value", args.optim)),
            "lr_scheduler": str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type)),
            "warmup_steps": args.get_warmup_steps(args.max_steps),
            "processes": args.world_size,
            "completions_per_step": args.train_batch_size * args.gradient_accumulation_steps * args.world_size,
            "completions_per_rollout": args.generation_batch_size,
            "generations": trainer.num_generations,
            "loss_type": trainer.loss_type,
            "beta": trainer.beta,
            "scale_rewards": trainer.scale_rewards,
            "importance_sampling": trainer.importance_sampling_level,
            "kl_importance_weighted": args.use_bias_correction_kl,
            "epsilon": trainer.epsilon_low,
            "epsilon_high": trainer.epsilon_high,
            "delta": args.delta,
            "off_policy_mask_threshold": trainer.off_policy_mask_threshold,
            "num_iterations": trainer.num_iterations,
            "mask_truncated_completions": trainer.mask_truncated_completions,
            "rewards": list(trainer.reward_func_names),
            "reward_weights": trainer.reward_weights.tolist(),
            # By autocast, or by bf16 weights if all of them are trained.
            "bf16": args.bf16 or (base.requires_grad and base.dtype == torch.bfloat16),
            "use_vllm": trainer.use_vllm,
            "gradient_checkpointing": args.gradient_checkpointing,
            "logging_steps": args.logging_steps,
            "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
            "weights": str(base.dtype).removeprefix("torch."),
            "attention": trainer.model.config._attn_implementation,
            "quantized": next((QUANTIZED[name] for p in parameters if (name := type(p).__name__) in QUANTIZED), None),
        }
    )


def _rollouts(trainer: GRPOTrainer, config: Config) -> dict[str, Any]:
    """How the rollouts are sampled, and by which engine."""
    rollout = trainer.vllm_generation if trainer.use_vllm else trainer.generation_config
    sampling = {name: getattr(rollout, name) for name in ("temperature", "top_p", "min_p", "repetition_penalty")}
    sampling["top_k"] = max(rollout.top_k, 0)  # vLLM's "off" is -1
    if trainer.use_vllm:
        return sampling | _vllm(trainer, config)
    stop = trainer.processing_class.convert_ids_to_tokens(rollout.eos_token_id)
    return sampling | {"max_completion_tokens": rollout.max_new_tokens, "stop_token": stop}


def _vllm(trainer: GRPOTrainer, config: Config) -> dict[str, Any]:
    """Where vLLM ends a completion, and whether it is the training's own engine with the training's adapter.

    Unsloth starts no engine if it believes that vLLM cannot run, and TRL then starts one of its own, which was not
    asked for. Unsloth also shortens the engine's context to what it believes to fit in memory.
    """
    rollout = trainer.vllm_generation
    ours = getattr(trainer.model, "vllm_engine", None)
    stops = rollout.generation_kwargs
    ids = stops.get("stop_token_ids") if stops.get("ignore_eos") else None  # otherwise the model's own apply too
    return {
        "max_completion_tokens": rollout.max_completion_length,
        "stop_token": ", ".join(trainer.processing_class.convert_ids_to_tokens(ids)) if ids else None,
        "vllm_sampling_params": getattr(trainer.args, "vllm_sampling_params", None),
        "vllm_shares_weights": rollout.llm is ours and getattr(ours, "shared_weights", False),
        "vllm_takes_adapter": bool(getattr(rollout, "_unsloth_load_lora", None)) or trl_rollouts.follows(rollout),
        "vllm_tokens": min(rollout.llm.llm_engine.model_config.max_model_len, config.model.max_seq_length),
    }


def _whole(trainer: GRPOTrainer) -> dict[str, Any]:
    """What is trained if all weights are: no adapter, and nothing of the vision tower."""
    trained = [name for name, p in trainer.model.named_parameters() if p.requires_grad]
    return {
        "adapters": sorted(getattr(trainer.model, "peft_config", {})),
        "vision_trained": [name for name in trained if full_finetuning.is_vision(name)],
    }


def _adapters(trainer: GRPOTrainer, config: Config) -> dict[str, Any]:
    """The adapter: its settings, the modules that have it, and what else is trained."""
    found = getattr(trainer.model, "peft_config", {})
    effective: dict[str, Any] = {"adapters": sorted(found)}
    for adapter in found.values():
        effective |= {"lora_r": adapter.r, "lora_alpha": adapter.lora_alpha}
        effective |= {"lora_dropout": adapter.lora_dropout, "lora_bias": adapter.bias}
        effective |= {"lora_rslora": adapter.use_rslora, "lora_dora": adapter.use_dora}
    if found:
        carrying = [name for name, module in trainer.model.named_modules() if getattr(module, "lora_A", None)]
        pattern = lora_config(config).target_modules
        effective["lora_modules"] = len(carrying)
        effective["lora_modules_unasked"] = [name for name in carrying if not re.fullmatch(pattern, name)]
        trained = {name: p for name, p in trainer.model.named_parameters() if p.requires_grad}
        effective["trained_beside_lora"] = [name for name in trained if ".lora_" not in name]
        dtypes = {str(p.dtype).removeprefix("torch.") for name, p in trained.items() if ".lora_" in name}
        effective["lora_dtype"] = sorted(dtypes)
    return effective
