"""Unsloth in the place of transformers and PEFT: its kernels for the model, its trainer under TRL's names.

Its loss is TRL's but for two things: the KL term clamps a token's log ratio to ±20 and the term to 10, and a padding
token that was sampled inside a completion is taken for padding and left out (which Gemma hardly ever samples).
Importing unsloth patches trl, transformers and peft, and only what is imported after it: harness.train calls patch()
before it imports harness.train.grpo.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.config.plugins import BACKENDS
from harness.config.schema import Config
from harness.models.checkpoint import Checkpoint
from harness.runs import machine
from harness.train.backend import TrainerBackend
from harness.util.console import hushed, say
from harness.util.errors import HarnessError

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedTokenizerBase

LOGGING = "UNSLOTH_ENABLE_LOGGING"  # "1": Unsloth and vLLM say what they do
# Its variables that a person may set: how it compiles. Others change the loss, or how rollouts are sampled.
KEPT = {LOGGING, "UNSLOTH_COMPILE_DISABLE", "UNSLOTH_BLOCK_COMPILE", "UNSLOTH_FORCE_SINGLE_COMPILE_WORKER"}
# Completions a forward pass; the loss still averages over the whole step. Left alone, Unsloth takes as many as the
# free memory holds, so that the same training adds up in another order on another card, and compiles one graph that
# repeats itself four times a completion: for 64 of them that takes minutes.
PASS = 4
ROLLOUT_ADAPTERS = "vllm_gen_lora*"  # folders that Unsloth leaves in the working directory


class Unsloth(TrainerBackend):
    name = "unsloth"
    compiles = True

    def refusals(self, config: Config) -> Iterator[str]:
        train, step = config.train, config.completions_per_step
        if config.model.precision == "fp32":
            yield "model.precision: unsloth trains in bf16; set bf16, or train.backend to trl"
        if train.loss_type == "bnpo" and train.micro_batch not in (None, step):
            yield "train.micro_batch: unsloth averages bnpo over the whole step; set null, or train.backend to trl"

    def unavailable(self, config: Config) -> str | None:
        needed_for = _only_here(config)
        if not needed_for:  # otherwise TRL takes over
            return None
        found = machine.gpus()
        if not found:
            return f"train.backend: {needed_for} needs unsloth and an NVIDIA GPU; this machine shows none"
        if reason := machine.unfit(found[0]):
            return f"train.backend: {needed_for} needs unsloth, which cannot run here ({reason})"
        if not machine.installed("unsloth"):
            return f'train.backend: {needed_for} needs unsloth; pip install -e ".[gpu]"'
        return None

    def ready(self, config: Config, caches: Path) -> TrainerBackend:
        """As TrainerBackend.ready: itself, or TRL and PEFT, with a line, where it cannot run and they can."""
        try:
            patch(caches / "unsloth")
            return self
        except HarnessError as error:
            if _only_here(config):
                raise
            say(f"{error}. Training with TRL and PEFT instead.")
            return BACKENDS.get("trl")

    def load(
        self, config: Config, checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase
    ) -> tuple[Any, LoraConfig | None]:
        return load(config, checkpoint, tokenizer), None

    def arguments(self, config: Config) -> dict[str, Any]:
        return arguments(config)

    def tidy(self) -> None:
        tidy()

    def less_memory(self, config: Config) -> list[str]:
        model = config.model
        whole = model.load_in_4bit or model.load_in_8bit or model.full_finetuning
        return [] if whole else ["set model.load_in_4bit to true"]


def _only_here(config: Config) -> str | None:
    """What of the experiment TRL and PEFT cannot take over; None where they can."""
    if config.model.load_in_4bit or config.model.load_in_8bit:
        return "training on quantized weights"
    return "rollouts by vllm" if config.train.rollouts == "vllm" else None


def patch(caches: Path) -> None:
    """Import unsloth, with all that it and torch compile kept under `caches`. Raises HarnessError where it cannot run.

    Nothing of it goes into the working directory or to its makers.
    """
    if (found := machine.gpus()) and (reason := machine.unfit(found[0])):
        raise HarnessError(f"train.backend: unsloth cannot run here ({reason})")
    if early := [name for name in ("trl", "peft", "transformers") if name in sys.modules]:
        raise RuntimeError(f"{', '.join(early)} imported before unsloth, which would leave them unpatched")
    caches = caches.resolve()
    set_environment(caches)
    # nvcc would compile FlashInfer at the first rollout, for minutes. Unsloth's own switch against it also pins vLLM to
    # FlashAttention, which refuses Gemma 3's images; hidden like this, vLLM chooses among the rest.
    sys.modules.setdefault("flashinfer", None)
    try:
        with hushed(not _loud()):
            import unsloth  # noqa: F401
    except (ImportError, NotImplementedError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise HarnessError(f"train.backend: unsloth cannot run here ({reason})") from None
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(caches / "inductor")  # unsloth's import removes it


def set_environment(caches: Path) -> None:
    """Decide every variable that Unsloth reads; what a person set beside KEPT and these is dropped, with a line."""
    for name in ("sources", "mega", "inductor"):
        (caches / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    ours = {
        "UNSLOTH_COMPILE_LOCATION": str(caches / "sources"),
        "UNSLOTH_MEGA_CACHE_DIR": str(caches / "mega"),
        "UNSLOTH_DISABLE_STATISTICS": "1",
        # Both accept log-probs that differ from the plain forward's by up to 0.7.
        "UNSLOTH_GRPO_SEQ_PACKING": "0",
        "UNSLOTH_GRPO_PREFIX_GROUPER": "0",
        # The loss computes a chunk's logits again in the backward: less memory, and one small graph to compile in
        # the place of one that repeats itself a chunk, whose backward took over four minutes for 4 B parameters.
        "UNSLOTH_GRPO_LOGPROB_RECOMPUTE": "1",
        # For Gemma 3 it would take flex attention, which compiles its kernels for each shape: with it the tiny model's
        # first two steps took 128 and 93 s. Our sequences are short, and what plain attention keeps of them small.
        "UNSLOTH_ENABLE_FLEX_ATTENTION": "0",
        "VLLM_USE_FLASHINFER_SAMPLER": "0",
        "VLLM_NO_USAGE_STATS": "1",
    }
    theirs = {name for name in os.environ if name.startswith("UNSLOTH_")} - KEPT
    if dropped := sorted(theirs - set(ours)):
        say(f"Not used, as the experiment file alone says what is trained: {', '.join(dropped)}.")
    for name in theirs:
        del os.environ[name]
    os.environ |= ours


def load(config: Config, checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase) -> Any:
    """The model with the experiment's LoRA adapter on it, unless all weights are trained.

    For rollouts by vllm it holds the engine too, which shares its weights. The tokenizer is the training's: its
    padding token is neither its end token nor past the vocabulary. Raises HarnessError where Unsloth changes the model.
    """
    import torch
    from unsloth import FastModel

    model, lora, train = config.model, config.lora, config.train
    engine: dict[str, Any] = {}
    if train.rollouts == "vllm":
        engine = {
            "fast_inference": True,
            "gpu_memory_utilization": train.gpu_memory_utilization,
            "max_lora_rank": lora.r,
            "max_num_seqs": config.completions_per_step,
        }
    inductor = os.environ["TORCHINDUCTOR_CACHE_DIR"]
    with hushed(not _loud()), _tokenizer_folder(checkpoint, tokenizer) as folder:
        loaded, _ = FastModel.from_pretrained(
            model_name=str(checkpoint.path.resolve()),
            tokenizer_name=folder,
            max_seq_length=model.max_seq_length,
            dtype=torch.bfloat16,
            load_in_4bit=model.load_in_4bit,
            load_in_8bit=model.load_in_8bit,
            load_in_16bit=not (model.load_in_4bit or model.load_in_8bit or model.full_finetuning),
            full_finetuning=model.full_finetuning,
            use_exact_model_name=True,  # otherwise the name may be exchanged for another repository's
            local_files_only=True,
            offload_embedding=False,
            # "unsloth" would also move activations to the host's memory.
            use_gradient_checkpointing=train.gradient_checkpointing,
            **engine,
        )
        if engine and not hasattr(loaded, "vllm_engine"):  # it prints why, and goes on without
            raise HarnessError("train.rollouts: Unsloth does not run vLLM on this machine; set train.rollouts to hf")
        _same_vocabulary(loaded, checkpoint)
        trained = loaded if model.full_finetuning else _with_adapter(config, loaded)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = inductor  # which vLLM has pointed into its own cache
    if not _loud():
        logging.getLogger("vllm").setLevel(logging.ERROR)  # which Unsloth has set to INFO
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # a line a layer and pass about 8-bit's casts
    return trained


@contextmanager
def _tokenizer_folder(checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase) -> Iterator[str]:
    """A folder with this tokenizer and, of a multimodal checkpoint, the rest of its processor.

    Given the checkpoint's own tokenizer, Unsloth looks for another padding token where that is none or the end token.
    Finding none it adds one, and a row to embedding and head for it, under torch.inference_mode: the new weights can
    take no part in a training ("Inference tensors cannot be saved for backward"), and the model has a token more.
    """
    with tempfile.TemporaryDirectory() as folder:
        for file in [*checkpoint.path.glob("*.json"), *checkpoint.path.glob("*.jinja")]:
            if not file.name.endswith(".index.json"):
                shutil.copy(file, folder)
        tokenizer.save_pretrained(folder)
        yield folder


def _same_vocabulary(model: Any, checkpoint: Checkpoint) -> None:
    """Raise HarnessError where Unsloth has given the model more or fewer tokens than its checkpoint has."""
    from transformers import AutoConfig

    asked = AutoConfig.from_pretrained(checkpoint.path).get_text_config().vocab_size
    rows = model.get_input_embeddings().weight.shape[0]
    if rows != asked:
        raise HarnessError(
            f"train.backend: Unsloth made {rows} tokens of {checkpoint.id}'s {asked}; set train.backend to trl"
        )


def _with_adapter(config: Config, model: Any) -> Any:
    """The adapter has the modules and, for the same seed, the very A matrices that TRL and PEFT give it."""
    from unsloth import FastModel

    from harness.models.lora import lora_config

    lora = config.lora
    return FastModel.get_peft_model(
        model,
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        bias=lora.bias,
        target_modules=lora_config(config).target_modules,
        finetune_vision_layers=lora.finetune_vision_layers,
        finetune_language_layers=lora.finetune_language_layers,
        finetune_attention_modules=lora.finetune_attention_modules,
        finetune_mlp_modules=lora.finetune_mlp_modules,
        random_state=lora.seed,
        use_gradient_checkpointing=config.train.gradient_checkpointing,
    )


def _loud() -> bool:
    return os.environ.get(LOGGING) == "1"


def arguments(config: Config) -> dict[str, Any]:
    """Trainer arguments that Unsloth would otherwise choose or change."""
    together = config.train.micro_batch or config.completions_per_step
    chosen: dict[str, Any] = {
        "unsloth_grpo_mini_batch": math.ceil(together / PASS),  # a number of passes
        "unsloth_logit_chunk_multiplier": 1,  # chunks of logits a completion
    }
    if config.train.loss_type == "dr_grpo" and config.train.scale_rewards == "group":
        chosen["scale_rewards"] = None  # how it spells "group" there; "group" itself it makes "none"
    return chosen


def tidy() -> None:
    """Remove what rollouts by vllm leave: folders in the working directory, and a process group."""
    import torch

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    for folder in Path().glob(ROLLOUT_ADAPTERS):
        shutil.rmtree(folder, ignore_errors=True)


BACKEND = Unsloth()
