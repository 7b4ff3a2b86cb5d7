"""What a trainer backend is: the library whose model and kernels TRL's GRPO trainer uses.

To add one: a file with a TrainerBackend, and a row in harness.config.plugins. Its module must import model libraries
only inside its methods: some have to be imported before TRL.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.config.plugins import BACKENDS, Plugin
from harness.config.schema import Config
from harness.models.checkpoint import Checkpoint
from harness.runs import machine

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedTokenizerBase
    from trl import GRPOTrainer


class TrainerBackend(Plugin):
    name = ""  # as in the experiment file
    compiles = False  # the first step takes minutes, and a line says so

    def unavailable(self, config: Config) -> str | None:
        """As Plugin.unavailable: here, for rollouts by vllm."""
        reason = machine.lacks("vllm") if config.train.rollouts == "vllm" else None
        return reason and f"train.rollouts: vllm {reason}; use train.rollouts=hf"

    def ready(self, config: Config, caches: Path) -> TrainerBackend:
        """Prepare this process, before TRL is imported, and return the backend that trains: this one or another.

        caches: a folder for compiled code. Raises HarnessError if it cannot run and no other can take over.
        """
        return self

    def load(
        self, config: Config, checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase
    ) -> tuple[Any, LoraConfig | None]:
        """The model, and the adapter that the trainer adds to it; None if it has it already or all weights are trained.

        tokenizer: the training's. Raises HarnessError if the model cannot be trained as asked.
        """
        raise NotImplementedError

    def arguments(self, config: Config) -> dict[str, Any]:
        """Arguments of TRL's GRPOConfig that it needs in addition to those of the experiment, or instead of them."""
        return {}

    @contextmanager
    def building(self, config: Config) -> Iterator[None]:
        """The context in which TRL's trainer is built, with TRL's engine for rollouts if the backend has none."""
        yield

    def built(self, trainer: GRPOTrainer) -> None:
        """Change what cannot be set by arguments in the trainer that was built."""

    def tidy(self) -> None:
        """Remove what a training leaves behind in the process and the working directory."""

    def less_memory(self, config: Config) -> list[str]:
        """Ways of its own to need less memory, as imperatives."""
        return []


def chosen(config: Config) -> TrainerBackend:
    return BACKENDS.get(config.train.backend)


def less_memory(config: Config) -> str:
    """What a user can do if there is not enough memory for the training."""
    train = config.train
    ways = ["end other programs on the GPU"]
    if train.rollouts == "vllm":
        ways.append(f"lower train.gpu_memory_utilization (now {train.gpu_memory_utilization:g})")
    if not train.gradient_checkpointing:
        ways.append("set train.gradient_checkpointing to true")
    ways += chosen(config).less_memory(config)
    ways.append("lower train.prompts_per_step or train.max_completion_tokens")
    return ", ".join(ways[:-1]) + f", or {ways[-1]}"
