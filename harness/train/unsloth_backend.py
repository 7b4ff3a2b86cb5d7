"""Unsloth instead of transformers and PEFT: its kernels for the model, its trainer under TRL's names.

Its loss is TRL's with two differences: the KL term clamps a token's log ratio to ±20 and the term to 10, and a padding
token that was sampled inside a completion is treated as padding and left out (Gemma hardly ever samples
its <pad>; Qwen2.5's is <|endoftext|>).
Importing unsloth patches trl, transformers and peft, but only if they are imported after it: harness.train calls
patch() before it imports harness.train.grpo.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
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
# Its environment variables that a user may set, for compilation. Others change the loss or the sampling of rollouts.
KEPT = {LOGGING, "UNSLOTH_COMPILE_DISABLE", "UNSLOTH_BLOCK_COMPILE", "UNSLOTH_FORCE_SINGLE_COMPILE_WORKER"}
# Completions in a forward pass; the loss still averages over the whole step. By default Unsloth takes as many as fit in
# the free memory, so that sums have another order on another GPU, and compiles a graph with four repetitions for each
# completion, which takes minutes for 64 of them.
PASS = 4
ROLLOUT_ADAPTERS = "vllm_gen_lora*"  # folders that Unsloth leaves in the working directory


class Unsloth(TrainerBackend):
    name = "unsloth"
    compiles = True

    def refusals(self, config: Config) -> Iterator[str]:
        train, step = config.train, config.completions_per_step
        if train.processes > 1:
            yield "train.processes: unsloth trains in one process; set 1, or train.backend to trl"
        if config.model.precision == "fp32":
            yield "model.precision: unsloth trains in bf16; set bf16, or train.backend to trl"
        if train.loss_type == "bnpo" and train.micro_batch not in (None, step):
            yield "train.micro_batch: unsloth averages bnpo over the whole step; set null, or train.backend to trl"

    def unavailable(self, config: Config) -> str | None:
        if not _only_here(config):  # TRL can take over, so that only what it needs too is missing
            return super().unavailable(config)
        reason = machine.lacks("unsloth")
        return reason and f"train.backend: training on quantized weights needs unsloth, which {reason}"

    def ready(self, config: Config, caches: Path) -> TrainerBackend:
        """As TrainerBackend.ready: itself, or, with a line that says so, TRL and PEFT if only they can run."""
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


def _only_here(config: Config) -> bool:
    """Whether TRL and PEFT cannot take over."""
    return config.model.load_in_4bit or config.model.load_in_8bit


def patch(caches: Path) -> None:
    """Import unsloth, with the caches of its and torch's compilers under `caches`. HarnessError if it cannot run.

    It writes nothing into the working directory and sends no statistics.
    """
    if (found := machine.gpus()) and (reason := machine.unfit(found[0])):
        raise HarnessError(f"train.backend: unsloth cannot run here ({reason})")
    if early := [name for name in ("trl", "peft", "transformers") if name in sys.modules]:
        raise RuntimeError(f"{', '.join(early)} imported before unsloth, which would leave them unpatched")
    caches = caches.resolve()
    set_environment(caches)
    # FlashInfer would be compiled at the first rollout, for minutes. Unsloth's switch against that also pins vLLM to
    # FlashAttention, which refuses Gemma 3's images; hidden like this, vLLM chooses among the other backends.
    sys.modules.setdefault("flashinfer", None)
    try:
        with hushed(not _loud()):
            import unsloth  # noqa: F401
    except (ImportError, NotImplementedError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise HarnessError(f"train.backend: unsloth cannot run here ({reason})") from None
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(caches / "inductor")  # unsloth's import removes it


def set_environment(caches: Path) -> None:
    """Set every variable that Unsloth reads; others that the user set, except KEPT, are dropped with a line."""
    for name in ("sources", "mega", "inductor"):
        (caches / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    ours = {
        "UNSLOTH_COMPILE_LOCATION": str(caches / "sources"),
        "UNSLOTH_MEGA_CACHE_DIR": str(caches / "mega"),
        "UNSLOTH_DISABLE_STATISTICS": "1",
        # Both tolerate log-probs that differ from those of the plain forward pass by up to 0.7.
        "UNSLOTH_GRPO_SEQ_PACKING": "0",
        "UNSLOTH_GRPO_PREFIX_GROUPER": "0",
        # The loss recomputes a chunk's logits in the backward pass: less memory, and one small graph to compile instead
        # of one with a repetition for each chunk, whose backward took over four minutes for 4 B parameters.
        "UNSLOTH_GRPO_LOGPROB_RECOMPUTE": "1",
        # For Gemma 3 it would use flex attention, which compiles its kernels for each shape: with it the tiny model's
        # first two steps took 128 and 93 s. Our sequences are short, so plain attention needs little memory.
        "UNSLOTH_ENABLE_FLEX_ATTENTION": "0",
        "VLLM_USE_FLASHINFER_SAMPLER": "0",
        "VLLM_NO_USAGE_STATS": "1",
    }
    theirs = {name for name in os.environ if name.startswith("UNSLOTH_")} - KEPT
    if dropped := sorted(theirs - set(ours)):
        say(f"Ignored environment variables (only the experiment file sets the training): {', '.join(dropped)}.")
    for name in theirs:
        del os.environ[name]
    os.environ |= ours


def load(config: Config, checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase) -> Any:
    """The model with the experiment's LoRA adapter on it, unless all weights are trained.

    For rollouts by vllm it also has the engine, which shares its weights. The tokenizer is the training's: its
    padding token is neither its end token nor outside the vocabulary. Raises HarnessError if Unsloth changes the model.
    """
    import torch
    from transformers import GenerationConfig
    from unsloth import FastModel

    from harness.models.vllm_engine import memory_told

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
    starts = memory_told("train.gpu_memory_utilization", train.gpu_memory_utilization, "model.max_seq_length")
    with (
        starts if engine else nullcontext(),
        hushed(not _loud()),
        _tokenizer_folder(checkpoint, tokenizer) as folder,
    ):
        loaded, _ = FastModel.from_pretrained(
            model_name=str(checkpoint.path.resolve()),
            tokenizer_name=folder,
            max_seq_length=model.max_seq_length,
            dtype=torch.bfloat16,
            load_in_4bit=model.load_in_4bit,
            load_in_8bit=model.load_in_8bit,
            load_in_16bit=not (model.load_in_4bit or model.load_in_8bit or model.full_finetuning),
            full_finetuning=model.full_finetuning,
            use_exact_model_name=True,  # otherwise the name may be replaced by another repository's
            local_files_only=True,
            offload_embedding=False,
            # "unsloth" would also move activations to the host's memory.
            use_gradient_checkpointing=train.gradient_checkpointing,
            **engine,
        )
        if engine and not hasattr(loaded, "vllm_engine"):  # it prints why, and continues without vLLM
            raise HarnessError("train.rollouts: Unsloth cannot run vLLM on this machine; set train.rollouts to hf")
        _same_vocabulary(loaded, checkpoint)
        # Else generate takes from it what the trainer leaves unset; Unsloth prevents that for transformers 4 alone.
        loaded.generation_config = GenerationConfig()
        trained = loaded if model.full_finetuning else _with_adapter(config, loaded)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = inductor  # vLLM has set it to its own cache
    if not _loud():
        logging.getLogger("vllm").setLevel(logging.ERROR)  # Unsloth has set it to INFO
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # a line for each layer and pass about 8-bit casts
    return trained


@contextmanager
def _tokenizer_folder(checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase) -> Iterator[str]:
    """A folder with this tokenizer and, for a multimodal checkpoint, the rest of its processor.

    With the checkpoint's own tokenizer, Unsloth looks for another padding token if that is missing or the end token. If
    it finds none, it adds one, with a row in embedding and head, under torch.inference_mode: the new weights cannot be
    trained ("Inference tensors cannot be saved for backward"), and the model has one more token.
    """
    with tempfile.TemporaryDirectory() as folder:
        for file in [*checkpoint.path.glob("*.json"), *checkpoint.path.glob("*.jinja")]:
            if not file.name.endswith(".index.json"):
                shutil.copy(file, folder)
        tokenizer.save_pretrained(folder)
        yield folder


def _same_vocabulary(model: Any, checkpoint: Checkpoint) -> None:
    """Raise HarnessError if Unsloth has given the model more or fewer tokens than its checkpoint has."""
    from transformers import AutoConfig

    asked = AutoConfig.from_pretrained(checkpoint.path).get_text_config().vocab_size
    rows = model.get_input_embeddings().weight.shape[0]
    if rows != asked:
        raise HarnessError(
            f"train.backend: Unsloth changed the vocabulary of {checkpoint.id} from {asked} to {rows} tokens; set "
            f"train.backend to trl"
        )


def _with_adapter(config: Config, model: Any) -> Any:
    """Add the adapter: for the same seed it has the same modules and A matrices as with TRL and PEFT."""
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
        chosen["scale_rewards"] = None  # means "group" here: Unsloth turns "group" itself into "none"
    return chosen


def tidy() -> None:
    """Remove what rollouts by vllm leave behind: folders in the working directory, and a process group."""
    import torch

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    for folder in Path().glob(ROLLOUT_ADAPTERS):
        shutil.rmtree(folder, ignore_errors=True)


BACKEND = Unsloth()
