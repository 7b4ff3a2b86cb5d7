"""What a model card says of an experiment, and the card of its adapter.

Of a local path only the last part is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from harness.config.schema import Config
from harness.util.text import on_hub, visible, without_folders

NAME = "README.md"  # where the hub looks for it


def trained(config: Config, seed: int, step: int, *, over: bool = False) -> str:
    """The card of a training's result, or of the adapter after one of its kept steps, before it is scored.

    over: whether the training took no further step.
    """
    full, name = config.model.full_finetuning, config.run_name()
    what = "All weights" if full else "A LoRA adapter"
    body = [
        f"# {name}, seed {seed}\n",
        f"{what} of {without_folders(config.model.id)}, trained with GRPO on {without_folders(config.data.path)}: the "
        f"state after step {step} of {config.train.steps}.",
        "\n## Scores\n",
        f"They are in report.md of the run {name}, before and after, with intervals. `python -m harness.export` writes "
        "a checkpoint whose card has them.",
        "\n## Training\n",
        *training(config, seed, step, over=over),
        "\n## Use\n",
        *asked_with(config),
        LICENCE,
    ]
    return text(front(config, "transformers" if full else "peft", "finetune" if full else "adapter"), body)


def text(front: dict[str, Any], body: Iterable[str]) -> str:
    """A card in Markdown, with the hub's front matter."""
    head = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n" + visible("\n".join(body)) + "\n"


def front(config: Config, library: str, relation: str) -> dict[str, Any]:
    """The hub's front matter; relation: of the model to its base."""
    found: dict[str, Any] = {}
    if on_hub(config.model.id):
        found |= {"base_model": config.model.id, "base_model_relation": relation}
    found |= {"library_name": library, "pipeline_tag": "text-generation"}
    if on_hub(config.data.path):
        found["datasets"] = [config.data.path]
    method = "full-finetuning" if config.model.full_finetuning else "lora"
    return found | {"tags": ["grpo", "reinforcement-learning", "math", method]}


def training(config: Config, seed: int, steps: int, *chosen: str, over: bool) -> Iterator[str]:
    """How it was trained, as a list; steps, over: as in `trained`; chosen: lines on the choice of the weights."""
    train, lora = config.train, config.lora
    what = "all weights" if config.model.full_finetuning else f"LoRA r {lora.r}, alpha {lora.alpha}"
    weights = "4-bit" if config.model.load_in_4bit else "8-bit" if config.model.load_in_8bit else config.model.precision
    rewards = ", ".join(f"{_reward(f.name)} × {f.weight:g}" for f in config.rewards.functions)
    yield f"- {what}, trained in {weights}, seed {seed}"
    if over and steps < train.steps:
        yield f"- stopped after step {steps}, because the reward rose while the accuracy of the completions fell"
    yield (
        f"- {steps} steps of {train.prompts_per_step} prompts × {train.generations} completions, of at "
        f"most {train.max_completion_tokens} tokens, at temperature {train.temperature:g}"
    )
    yield from chosen
    yield (
        f"- learning rate {train.learning_rate:g} ({train.lr_scheduler}, warm-up {train.warmup_ratio:g}), "
        f"{train.optimizer}, loss {train.loss_type}, beta {train.beta:g}, rewards scaled by {train.scale_rewards}"
    )
    yield f"- rewards ({config.rewards.profile}): {rewards}"


def _reward(name: str) -> str:
    path, colon, function = name.rpartition(":")
    return f"{Path(path).name}{colon}{function}" if colon else name


def asked_with(config: Config) -> Iterator[str]:
    yield "Questions were asked with the model's chat template and this system prompt:\n"
    yield from ("```text", config.prompt.system.replace("```", "'''"), "```\n")


LICENCE = "\n## Licence\n\nThat of the base model, whose terms apply to derived models. This card grants none."
