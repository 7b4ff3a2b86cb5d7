"""A small stand-in for vLLM without a GPU: the part that harness.models.vllm_engine uses, over transformers.

Completions are real ones of the embedded checkpoint, handed over shortest first as a continuous batch would, and
LoRA layers hold what the real ones hold, packed. tests/gpu runs the real vLLM.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import torch
from transformers import GenerationConfig

from harness.models.checkpoint import Checkpoint
from harness.models.hf_engine import TransformersEngine
from harness.models.prompts import load_tokenizer

PACKED = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}


@dataclass
class SamplingParams:
    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop_token_ids: list[int] = field(default_factory=list)
    ignore_eos: bool = False
    detokenize: bool = True
    prompt_logprobs: int | None = None


@dataclass
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str


class LLM:
    started: ClassVar[list[dict[str, Any]]] = []  # the settings of every start

    def __init__(self, model: str, **settings: Any) -> None:
        LLM.started.append({"model": model} | settings)
        checkpoint = Checkpoint("tiny", Path(model))
        self.engine = TransformersEngine(checkpoint, load_tokenizer(checkpoint), "fp32", 8)
        self.llm_engine = self  # both halves of vLLM's interface in one object
        self.queue: list[tuple[str, list[int], SamplingParams, Path | None]] = []
        self.asked = 0
        self.loaded: dict[int, Path] = {}

    def enqueue(self, prompts, params, lora_request=None, use_tqdm=True) -> list[str]:
        ids = [f"{self.asked + i}-0a1b2c3d" for i in range(len(prompts))]
        self.asked += len(prompts)
        path = None if lora_request is None else Path(lora_request.lora_path)
        for name, prompt, one in zip(ids, prompts, params, strict=True):
            self.queue.append((name.partition("-")[0], prompt["prompt_token_ids"], one, path))
        self.queue.sort(key=lambda entry: len(entry[1]))
        return ids

    def step(self) -> list[Any]:
        some, self.queue = self.queue[:3], self.queue[3:]
        return [SimpleNamespace(finished=False), *(self._output(*entry) for entry in some)]

    def has_unfinished_requests(self) -> bool:
        return bool(self.queue)

    def abort_request(self, ids: list[str]) -> None:
        self.queue = [entry for entry in self.queue if entry[0] not in ids]

    def _output(self, name: str, ids: list[int], params: SamplingParams, adapter: Path | None) -> Any:
        self.engine._use(adapter)
        logprobs = None
        if params.prompt_logprobs is not None:
            row = self.engine._log_probs([ids])[0]
            logprobs = [None] + [{t: SimpleNamespace(logprob=v)} for t, v in zip(ids[1:], row, strict=True)]
        settings = GenerationConfig(max_new_tokens=params.max_tokens, do_sample=False, pad_token_id=0)
        settings.eos_token_id = params.stop_token_ids
        prompt = torch.tensor([ids])
        with torch.inference_mode():
            made = self.engine.model.generate(
                prompt, attention_mask=torch.ones_like(prompt), generation_config=settings
            )[0, len(ids) :]
        reason = "stop" if made[-1].item() in params.stop_token_ids else "length"
        output = SimpleNamespace(token_ids=tuple(made.tolist()), finish_reason=reason)
        return SimpleNamespace(request_id=name, finished=True, outputs=[output], prompt_logprobs=logprobs)

    def add_lora(self, request: LoRARequest) -> None:
        self.loaded[request.lora_int_id] = Path(request.lora_path)

    def apply_model(self, function) -> list[Any]:
        return [function(SimpleNamespace(lora_manager=self._manager()))]

    def _manager(self) -> Any:
        """LoRA layers as vLLM keeps them: q, k, v in one, gate, up in one, alpha / r multiplied into B."""
        ((number, adapter),) = list(self.loaded.items())[-1:]
        self.engine._use(adapter)
        modules, packed = {}, {}
        alpha_r = json.loads((adapter / "adapter_config.json").read_text())
        scale = alpha_r["lora_alpha"] / alpha_r["r"]
        layers = {n: m for n, m in self.engine.base.named_modules() if hasattr(m, "lora_A")}
        for name in [n for n in layers if n.rsplit(".", 1)[1] in ("q_proj", "gate_proj", "o_proj", "down_proj")]:
            parent, own = name.rsplit(".", 1)
            merged = next((m for m, parts in PACKED.items() if own in parts), own)
            parts = [f"{parent}.{part}" for part in PACKED.get(merged, (own,))]
            matrices = [[getattr(layers[p], f"lora_{k}") for p in parts] for k in "AB"]
            active = self.engine.model.active_adapter
            a, b = ([list(d.values())[list(d).index(active)].weight.detach() for d in ds] for ds in matrices)
            modules[f"{parent}.{merged}"] = SimpleNamespace(
                lora_a_stacked=[_stacked(m) for m in a], lora_b_stacked=[_stacked(m * scale) for m in b]
            )
            if len(parts) > 1:
                packed[f"{parent}.{merged}"] = parts
        return SimpleNamespace(modules=modules, packed_modules=packed, lora_index_to_id=[number])


def _stacked(matrix: torch.Tensor) -> torch.Tensor:
    """One slot of a LoRA layer, larger than the matrix in both directions as a layer of higher rank is."""
    held = torch.zeros(1, 1, matrix.shape[0] + 4, matrix.shape[1] + 4)
    held[0, 0, : matrix.shape[0], : matrix.shape[1]] = matrix
    return held


def _parse_name(key: str, mapper: Any) -> tuple[str, bool]:
    name, _, letter = key.removeprefix("base_model.model.").removesuffix(".weight").rpartition(".lora_")
    return (mapper(name) if mapper else name), letter == "A"


def install(monkeypatch) -> type[LLM]:
    """Make `import vllm` find this module, on a GPU of 24 GiB; returns the LLM class, which records its requests."""
    from harness.models import vllm_engine

    parts = {
        "vllm": {"LLM": LLM, "SamplingParams": SamplingParams},
        "vllm.lora": {},
        "vllm.lora.request": {"LoRARequest": LoRARequest},
        "vllm.lora.utils": {"parse_fine_tuned_lora_name": _parse_name},
    }
    for name, content in parts.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(vllm_engine, "memory_share", lambda section, checkpoint: 0.9)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (24 * 2**30, 24 * 2**30))
    LLM.started = []
    return LLM
