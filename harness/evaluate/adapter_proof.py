"""The adapter proof: evidence that the engine applies the adapter, and all of it, before a tuned score counts.

An engine can silently ignore an adapter (names that match nothing), and after a short training the adapter's own
effect can be smaller than rounding, so "differs from the base" proves nothing. Therefore the names of the loaded
modules must equal the adapter's; an amplified copy must change the engine's log-probs as it changes PEFT's; and a
zeroed and a wrongly named copy must fail that same test.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel
from transformers import GenerationConfig

from harness.models.checkpoint import Checkpoint
from harness.models.engine import Engine, Request, Sampling
from harness.models.hf_engine import left_padded, load_base
from harness.models.lora import adapter_weights, module_name, save_copy, with_b_scaled
from harness.models.lora import modules as adapter_modules
from harness.models.probes import PROBES, common_prefix, correlation, log_probs, tail
from harness.runs.proof import AdapterProof
from harness.util.errors import HarnessError

CHANGE = 0.5  # nats: B is scaled until PEFT's mean absolute log-prob change on the probes is at least this
AGREEMENT = 0.95  # correlation of the engine's per-token changes with PEFT's that counts as "applied"
DOUBLINGS = 40
GENERATED = 8  # probes for which completions are generated as well
NEW_TOKENS = 16


@dataclass(frozen=True)
class Reference:
    """The effect of an adapter on the probes in PEFT, to compare the engine with."""

    probes: list[list[int]]  # token ids
    start: int  # position of the first token that is compared: the tokens before are common to all probes
    stop_ids: tuple[int, ...]
    scale: float  # of B in the amplified copy
    changes: np.ndarray  # log-prob changes (nats), amplified copy − base, per compared token
    moved: list[int]  # probes whose greedy completion the amplified copy changes


def reference(
    checkpoint: Checkpoint, adapter: Path, prompts: Sequence[Sequence[int]], stop_ids: tuple[int, ...], precision: str
) -> Reference:
    """PEFT's part of the proof, on up to 16 prompts. It loads the whole model: call it before an engine starts.

    Raises HarnessError for an adapter that does not match the checkpoint or changes nothing.
    """
    probes = [list(ids) for ids in prompts[:PROBES]]
    start = common_prefix(probes)
    peft = _Peft(checkpoint, adapter, precision)
    scale, changes = peft.amplify(probes, start)
    pairs = peft.completions(probes[:GENERATED], stop_ids)
    moved = [i for i, (before, after) in enumerate(pairs) if before != after]
    return Reference(probes, start, stop_ids, scale, changes, moved)


def prove(engine: Engine, adapter: Path, peft: Reference) -> AdapterProof:
    """Compare the engine with PEFT and return the proof; raise HarnessError if it fails.

    The log-probs compared are those of the tokens after the prompts' common beginning (the system text), so
    that every probe counts once. Completions are generated too, because an engine may score with an adapter and
    generate without it.
    """
    probes = peft.probes
    weights = adapter_weights(adapter)
    modules = {module_name(key) for key in weights}

    def changes(copy: Path) -> np.ndarray:
        return tail(engine.log_probs(probes, copy), peft.start) - base

    base = tail(engine.log_probs(probes, None), peft.start)
    again = tail([engine.log_probs([probe], None)[0] for probe in probes], peft.start)
    loaded = check_loaded(engine, adapter)
    own = changes(adapter)
    copies = {
        "amplified": with_b_scaled(weights, peft.scale),
        "zeroed": with_b_scaled(weights, 0),
        "renamed": {k.replace("base_model.model.", "base_model.model.elsewhere."): w for k, w in weights.items()},
    }
    correlations = {}
    for name, copy in copies.items():
        with tempfile.TemporaryDirectory(prefix="adapter-proof-") as place:
            folder = save_copy(adapter, copy, Path(place))
            correlations[f"correlation_{name}"] = correlation(changes(folder), peft.changes)
            if name == "amplified":
                texts = [_generate(engine, probes[:GENERATED], peft.stop_ids, which) for which in (None, folder)]
    given = AdapterProof(
        modules=len(modules),
        modules_loaded=len(loaded),
        probes=len(probes),
        tokens=len(base),
        scale=peft.scale,
        amplified_change=float(np.abs(peft.changes).mean()),
        adapter_change=float(np.abs(own).mean()),
        rerun_change=float(np.abs(again - base).mean()),
        **correlations,
        completions_changed_by_peft=len(peft.moved),
        completions_changed=sum(texts[0][i] != texts[1][i] for i in peft.moved),
    )
    _judge(adapter, given)
    return given


def check_loaded(engine: Engine, adapter: Path) -> set[str]:
    """The names of the modules that the engine loaded. Raises HarnessError unless they are those of the adapter."""
    loaded, modules = engine.adapter_modules(adapter), adapter_modules(adapter)
    if loaded != modules:
        raise HarnessError(
            f"{adapter}: the engine loaded {len(loaded & modules)} of the adapter's {len(modules)} modules: "
            f"{_example(modules - loaded)} is not in the engine's model, so the tuned scores would be the base's; "
            f"train the adapter on this checkpoint"
        )
    return loaded


def _example(names: set[str]) -> str:
    return min(names, default="a module").removeprefix("base_model.model.")


def _generate(
    engine: Engine, probes: Sequence[Sequence[int]], stop_ids: tuple[int, ...], adapter: Path | None
) -> list[str]:
    requests = [Request(i, 0, tuple(probe), 0) for i, probe in enumerate(probes)]
    greedy = Sampling(NEW_TOKENS, temperature=0.0, top_p=1.0, top_k=0, min_p=0.0, stop_ids=stop_ids)
    finished = {c.index: c.text for batch in engine.generate(requests, greedy, adapter, ()) for c in batch}
    return [finished[i] for i in range(len(probes))]


def _judge(adapter: Path, given: AdapterProof) -> None:
    if given.correlation_amplified < AGREEMENT:
        raise HarnessError(
            f"{adapter}: the engine does not apply the adapter: with B scaled by {given.scale:g} its log-probs change "
            f"with a correlation of {given.correlation_amplified:.3f} with PEFT's, expected at least {AGREEMENT}"
        )
    changed, by_peft = given.completions_changed, given.completions_changed_by_peft
    if 2 * changed < by_peft:
        raise HarnessError(
            f"{adapter}: the engine scores with the adapter but generates without it: of {by_peft} completions that "
            f"the amplified copy changes in PEFT, it changes {changed} in the engine"
        )
    for name, found in (("zeroed", given.correlation_zeroed), ("renamed", given.correlation_renamed)):
        if found >= AGREEMENT:
            raise HarnessError(
                f"{adapter}: the adapter proof cannot tell adapters apart: a {name} copy passes it too (correlation "
                f"{found:.3f}); the engine does not score what it was asked to"
            )


class _Peft:
    """The model with the adapter in PEFT."""

    def __init__(self, checkpoint: Checkpoint, adapter: Path, precision: str) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.adapter = adapter
        base = load_base(checkpoint, precision)
        base.generation_config = GenerationConfig()
        self.model = PeftModel.from_pretrained(base, adapter).to(self.device).eval()
        known = {module_name(key) for key in self.model.state_dict() if ".lora_" in key}
        if strange := adapter_modules(adapter) - known:
            raise HarnessError(
                f"{adapter}: {len(strange)} of the adapter's modules are not in {checkpoint.id}, such as "
                f"{_example(strange)}; an adapter trained on another class of the model changes nothing: train it on "
                f"this checkpoint"
            )

    def amplify(self, probes: Sequence[Sequence[int]], start: int) -> tuple[float, np.ndarray]:
        """Scale B by the first power of two that changes the log-probs enough; returns it and the changes per token."""
        with self.model.disable_adapter():
            base = log_probs(self.model, probes, start)
        b_matrices = [weight for name, weight in self.model.named_parameters() if ".lora_B." in name]
        scale = 1.0
        for _ in range(DOUBLINGS):
            changes = log_probs(self.model, probes, start) - base
            if np.abs(changes).mean() >= CHANGE:
                return scale, changes
            scale *= 2
            with torch.no_grad():
                for weight in b_matrices:
                    weight.mul_(2)
        raise HarnessError(
            f"{self.adapter}: the adapter has no effect: with B scaled by {scale:g} PEFT's log-probs still do not "
            f"change; train it again"
        )

    @torch.inference_mode()
    def completions(self, probes: Sequence[Sequence[int]], stop_ids: tuple[int, ...]) -> list[tuple[list, list]]:
        """The greedy completion of each probe without and with the adapter as currently scaled, as token ids."""
        settings = GenerationConfig(max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=list(stop_ids))
        settings.pad_token_id = stop_ids[0]
        ids, mask = left_padded(probes, stop_ids[0], self.device)

        def completed() -> list[list[int]]:
            output = self.model.generate(input_ids=ids, attention_mask=mask, generation_config=settings)
            rows = output[:, ids.shape[1] :].tolist()
            return [list(takewhile(lambda token: token not in stop_ids, row)) for row in rows]

        with self.model.disable_adapter():
            before = completed()
        return list(zip(before, completed(), strict=True))
