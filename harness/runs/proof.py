"""proof.json of a tuned evaluation: evidence that the engine used the trained weights, and all of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.runs.source import Source
from harness.util import files, typed


@dataclass(frozen=True, slots=True)
class AdapterProof:
    """How the engine's log-probs change with an adapter, compared with PEFT's.

    amplified, zeroed, renamed: copies of the adapter, with B scaled, with B zero, and with names that match nothing.
    A change is the mean absolute change of a token's log-prob, in nats.
    """

    modules: int  # of the adapter
    modules_loaded: int  # modules that the engine loaded
    probes: int  # prompts given to both
    tokens: int  # of the probes that are compared: those after their common beginning
    scale: float  # of B in the amplified copy
    amplified_change: float  # by the amplified copy in PEFT
    adapter_change: float  # by the adapter itself in the engine
    rerun_change: float  # of the base in the engine, asked again one prompt at a time
    correlation_amplified: float  # of the engine's changes with PEFT's, by copy
    correlation_zeroed: float
    correlation_renamed: float
    completions_changed_by_peft: int  # greedy completions of probes that the amplified copy changes in PEFT
    completions_changed: int  # of those, in the engine


@dataclass(frozen=True, slots=True)
class WeightsProof:
    """How many of the base's weights a training of all weights changed, in the precision of the evaluation."""

    tensors: int
    tensors_changed: int
    changed: float  # share of all numbers


Proof = AdapterProof | WeightsProof


def read(folder: Path, *, full: bool) -> Proof:
    """The proof of a tuned evaluation; full: all weights were trained. Raises HarnessError as typed.read."""
    return typed.read(WeightsProof if full else AdapterProof, folder / "proof.json")


def write(folder: Path, proof: Proof, source: Source) -> None:
    files.write_json(folder / "proof.json", typed.plain(proof) | typed.plain(source))
