"""The adapter proof: that the engine applied the adapter, and all of it, before a tuned score counts.

An engine can leave an adapter out without a word (names that match nothing), and after a short training the
adapter's own effect can be smaller than rounding, so "differs from the base" proves nothing. Hence: names and
number of the loaded modules must equal the adapter's; an amplified copy must move the engine's log-probs as it
moves PEFT's own; a zeroed and a wrongly named copy must fail that same test.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from safetensors.torch import save_file

from harness.checkpoint import Checkpoint
from harness.engine import Engine, adapter_weights, load_base, module_name
from harness.errors import HarnessError

CHANGE = 0.5  # nats: B is scaled until PEFT's mean absolute log-prob change on the probes is at least this
AGREEMENT = 0.95  # correlation of the engine's per-token changes with PEFT's that counts as "applied"
DOUBLINGS = 40
PROBES = 16


def check_not_zero(adapter: Path) -> None:
    """Raise HarnessError for an adapter that changes nothing because every B is zero, as before training."""
    weights = adapter_weights(adapter)
    b_matrices = [weight for key, weight in weights.items() if ".lora_B." in key]
    if not b_matrices:
        raise HarnessError(f"{adapter}: holds no LoRA B matrices; delete train/ of this run and train again")
    if not any(torch.count_nonzero(weight) for weight in b_matrices):
        raise HarnessError(
            f"{adapter}: every B matrix is zero, so it changes nothing: training did not happen (check the log for "
            f"a learning rate of 0); delete train/ of this run and train again"
        )


def prove(
    engine: Engine, checkpoint: Checkpoint, adapter: Path, prompts: Sequence[Sequence[int]], precision: str
) -> dict[str, Any]:
    """Run the proof on up to 16 prompts and return its figures; raise HarnessError where it fails.

    The log-probs compared are those of the tokens after the prompts' common beginning (the system text), so
    that every probe counts once. Figures: modules, scale (of B in the amplified copy), correlation of the
    amplified, zeroed and renamed copies, and the mean absolute log-prob change (nats) of PEFT's amplified copy,
    of the real adapter in this engine, and of an A/A rerun of the base one prompt at a time.
    """
    probes = [list(ids) for ids in prompts[:PROBES]]
    start = _common_prefix(probes)
    weights = adapter_weights(adapter)
    modules = {module_name(key) for key in weights}

    def changes(copy: Path) -> np.ndarray:
        return _tail(engine.log_probs(probes, copy), start) - base

    base = _tail(engine.log_probs(probes, None), start)
    again = _tail([engine.log_probs([probe], None)[0] for probe in probes], start)
    loaded = engine.adapter_modules(adapter)
    if loaded != modules:
        raise HarnessError(
            f"{adapter}: the engine loaded {len(loaded & modules)} of the adapter's {len(modules)} modules: its names "
            f"do not fit this checkpoint, so a tuned score would be the base's; train it on this checkpoint"
        )
    own = changes(adapter)
    scale, reference = _amplified_reference(checkpoint, adapter, probes, start, precision)
    figures: dict[str, Any] = {
        "modules": len(modules),
        "modules_loaded": len(loaded),
        "probes": len(probes),
        "tokens": len(base),
        "scale": scale,
        "amplified_change": float(np.abs(reference).mean()),
        "adapter_change": float(np.abs(own).mean()),
        "rerun_change": float(np.abs(again - base).mean()),
    }
    copies = {
        "amplified": {k: w * scale if ".lora_B." in k else w for k, w in weights.items()},
        "zeroed": {k: torch.zeros_like(w) if ".lora_B." in k else w for k, w in weights.items()},
        "renamed": {k.replace(".layers.", ".blocks."): w for k, w in weights.items()},
    }
    for name, copy in copies.items():
        with _saved(adapter, copy) as folder:
            figures[f"correlation_{name}"] = _correlation(changes(folder), reference)
    _judge(adapter, figures)
    return figures


def _judge(adapter: Path, figures: dict[str, Any]) -> None:
    if figures["correlation_amplified"] < AGREEMENT:
        raise HarnessError(
            f"{adapter}: the engine does not apply it: with B scaled by {figures['scale']:g} its log-probs change in "
            f"correlation {figures['correlation_amplified']:.3f} with PEFT's, {AGREEMENT} is needed"
        )
    for name in ("zeroed", "renamed"):
        if figures[f"correlation_{name}"] >= AGREEMENT:
            raise HarnessError(
                f"{adapter}: the adapter proof is blind: a {name} copy passes it too (correlation "
                f"{figures[f'correlation_{name}']:.3f}); the engine is scoring something else"
            )


@torch.inference_mode()
def _amplified_reference(
    checkpoint: Checkpoint, adapter: Path, probes: Sequence[Sequence[int]], start: int, precision: str
) -> tuple[float, np.ndarray]:
    """PEFT's own per-token changes under the first power of two for B that moves them enough, and that power.

    Its own model, unpadded, one probe at a time: nothing is shared with the engine but the files.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = PeftModel.from_pretrained(load_base(checkpoint, precision), adapter).to(device).eval()

    def log_probs() -> np.ndarray:
        rows = []
        for probe in probes:
            ids = torch.tensor([list(probe)], device=device)
            table = torch.log_softmax(model(input_ids=ids, use_cache=False).logits[0, :-1].float(), -1)
            rows.append(table.gather(-1, ids[0, 1:, None])[:, 0].tolist())
        return _tail(rows, start)

    with model.disable_adapter():
        base = log_probs()
    b_matrices = [weight for name, weight in model.named_parameters() if ".lora_B." in name]
    scale = 1.0
    for _ in range(DOUBLINGS):
        changes = log_probs() - base
        if np.abs(changes).mean() >= CHANGE:
            return scale, changes
        scale *= 2
        for weight in b_matrices:
            weight.mul_(2)
    raise HarnessError(f"{adapter}: B scaled by {scale:g} still does not move PEFT's log-probs: the adapter is void")


@contextmanager
def _saved(adapter: Path, weights: dict[str, torch.Tensor]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="adapter-proof-") as folder:
        copy = Path(folder)
        shutil.copy(adapter / "adapter_config.json", copy)
        save_file({key: weight.contiguous() for key, weight in weights.items()}, copy / "adapter_model.safetensors")
        yield copy


def _common_prefix(probes: Sequence[Sequence[int]]) -> int:
    """How many leading tokens all probes share; at most all but one of the shortest."""
    shared = 0
    for column in zip(*probes, strict=False):
        if len(set(column)) > 1:
            break
        shared += 1
    return min(shared, min(map(len, probes)) - 1) if len(probes) > 1 else 1


def _tail(rows: Sequence[Sequence[float]], start: int) -> np.ndarray:
    """The log-probs of the tokens from position `start` on; a row's first value is that of token 1."""
    return np.concatenate([np.asarray(row[max(start, 1) - 1 :], dtype=float) for row in rows])


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's r; 0 where a side does not vary: no change agrees with nothing."""
    if x.std() == 0 or y.std() == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])
