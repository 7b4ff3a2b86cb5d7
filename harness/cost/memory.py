"""The memory that a run needs, from the size of its weights: what may fit, and what cannot."""

from __future__ import annotations

from dataclasses import dataclass

from harness.config.plugins import ENGINES
from harness.config.schema import Config
from harness.models import checkpoint
from harness.runs import machine
from harness.runs.machine import GIB, Gpu

# Parameters of the checkpoints in the shipped experiments, for use before they are on this machine.
PARAMETERS = {"google/gemma-3-4b-it": 4.30e9, "google/gemma-3-1b-it": 1.00e9}
BYTES = {"4bit": 0.7, "8bit": 1.1, "bf16": 2.0, "fp32": 4.0}  # a parameter, scales and unquantized layers included
BESIDE_WEIGHTS = 2.0  # GiB: activations, adapter, optimizer, the smallest useful KV cache
FULL = 4  # of all weights trained: weights, gradients and Adam's two moments, in units of the weights


@dataclass(frozen=True, slots=True)
class Need:
    """GiB of the weights, and of what always comes in their size, that each stage holds at once."""

    evaluation: float
    training: float

    @property
    def about(self) -> dict[str, float]:
        """With the least beside them."""
        return {"evaluation": self.evaluation + BESIDE_WEIGHTS, "training": self.training + BESIDE_WEIGHTS}


@dataclass(frozen=True, slots=True)
class Room:
    """GiB that a stage may fill."""

    gib: float
    where: str


def parameters(config: Config) -> float | None:
    """The number of the checkpoint's parameters: known by name, or counted in its files if they are on this machine."""
    if config.model.id in PARAMETERS:
        return PARAMETERS[config.model.id]
    found = checkpoint.on_this_machine(config.model)
    return found.parameters if found else None


def needed(config: Config, count: float) -> Need:
    """count: the number of parameters."""
    model, train = config.model, config.train
    trained = "4bit" if model.load_in_4bit else "8bit" if model.load_in_8bit else model.precision
    weights = count * BYTES[trained] / GIB
    copies = FULL if model.full_finetuning else 1
    if train.rollouts == "vllm" and train.backend == "trl":  # Unsloth's engine shares the trainer's weights
        copies += 1
    return Need(count * BYTES[config.eval.precision] / GIB, weights * copies)


def room(config: Config, found: list[Gpu]) -> Room:
    """The smaller of the machine's memory, through which weights are loaded, and what a stage may fill of the GPU."""
    rooms = [Room(machine.ram(), "memory")]
    if found:  # every stage uses the first one
        share = ENGINES.get(config.eval.engine).memory_share(config.eval)
        rooms.append(Room(share * found[0].total, "GPU memory"))
    return min(rooms, key=lambda each: each.gib)


def cannot_fit(config: Config, found: list[Gpu]) -> str | None:
    """Why the run cannot fit, whatever else is on the machine, and what to set; None if it may."""
    if (count := parameters(config)) is None:
        return None
    need, whole = needed(config, count), found[0].total if found else machine.ram()
    share = ENGINES.get(config.eval.engine).memory_share(config.eval) if found else 1
    for stage, gib, most in (("eval", need.evaluation, share * whole), ("train", need.training, whole)):
        if gib > most:
            remedy = "a smaller model.id"
            if stage == "train" and not (config.model.load_in_4bit or config.model.full_finetuning):
                remedy += ", or model.load_in_4bit=true"
            if stage == "train" and config.model.full_finetuning:
                remedy += ", or model.full_finetuning=false"
            return (
                f"{stage}: the weights of {config.model.id} alone take {gib:.1f} GiB, and this machine has "
                f"{most:.1f} GiB of {'GPU memory' if found else 'memory'} for them; set {remedy}"
            )
    return None
