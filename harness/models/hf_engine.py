"""The transformers engine: prompts of similar length share a batch. For a CPU and for small models."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import peft
import torch
import transformers
from peft import PeftModel
from transformers import AutoModelForCausalLM, GenerationConfig, LogitsProcessorList, PreTrainedTokenizerBase
from transformers.generation.logits_process import (
    LogitsProcessor,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.generation.streamers import BaseStreamer

from harness.models.checkpoint import Checkpoint
from harness.models.engine import Request, Sampling
from harness.models.lora import adapter_weights, module_name
from harness.models.prompts import quiet
from harness.tasks.records import Completion

# Raised whenever a change of this module could change a completion.
VERSION = "1"
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def describe() -> str:
    """The engine with everything that its completions depend on."""
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
    libraries = f"transformers {transformers.__version__}, peft {peft.__version__}, torch {torch.__version__}"
    return f"transformers engine {VERSION}, {libraries}, {device}"


def batches(requests: Sequence[Request], size: int) -> list[list[Request]]:
    """The requests in batches of prompts of similar length, the longest first."""
    ordered = sorted(requests, key=lambda r: (-len(r.ids), r.index, r.sample))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


class TransformersEngine:
    def __init__(
        self, checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase, precision: str, batch_size: int
    ) -> None:
        quiet()
        # PEFT lists every adapter key that does not match; the adapter proof reports that in one line.
        warnings.filterwarnings("ignore", message="Found missing adapter keys")
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.batch_size = batch_size
        self.tokenizer = tokenizer
        self.base = load_base(checkpoint, precision).to(self.device).eval()
        self.model: torch.nn.Module = self.base
        # generate() takes settings that a call leaves out from the checkpoint's own (Gemma's say do_sample, top_k 64);
        # here each call gives all of them.
        self.base.generation_config = GenerationConfig()

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, adapter: Path | None, done: Collection[tuple[int, int]]
    ) -> Iterator[list[Completion]]:
        """As Engine.generate, a batch at a time.

        The batches are made from all requests, those in `done` included: the rest of a batch changes the last bits
        of a logit, and with them a near tie, so a resumed evaluation must use the same batches.
        """
        self._use(adapter)
        for batch in batches(requests, self.batch_size):
            wanted = [(r.index, r.sample) not in done for r in batch]
            if any(wanted):
                completions = self._complete(batch, sampling)
                yield [c for c, keep in zip(completions, wanted, strict=True) if keep]

    def stream(self, request: Request, sampling: Sampling, adapter: Path | None, streamer: BaseStreamer) -> Completion:
        """One completion, as generate() makes it from this request alone; the streamer gets its tokens as they come."""
        self._use(adapter)
        return self._complete([request], sampling, streamer)[0]

    @torch.inference_mode()
    def _complete(
        self, batch: Sequence[Request], sampling: Sampling, streamer: BaseStreamer | None = None
    ) -> list[Completion]:
        began = time.perf_counter()
        ids, mask = left_padded([r.ids for r in batch], self.tokenizer.pad_token_id, self.device)
        output = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=GenerationConfig(
                max_new_tokens=sampling.max_new_tokens,
                do_sample=False,
                eos_token_id=list(sampling.stop_ids),
                pad_token_id=self.tokenizer.pad_token_id,
            ),
            logits_processor=_sampler(batch, sampling, self.device),
            streamer=streamer,
        )
        seconds = (time.perf_counter() - began) / len(batch)
        completions = []
        for request, tokens in zip(batch, output[:, ids.shape[1] :].tolist(), strict=True):
            end = next((i for i, token in enumerate(tokens) if token in sampling.stop_ids), None)
            kept = tokens if end is None else tokens[:end]
            text = self.tokenizer.decode(kept, skip_special_tokens=True)
            reason = "length" if end is None else "stop"
            count = len(tokens) if end is None else end + 1
            completions.append(Completion(request.index, request.sample, text, reason, count, seconds))
        return completions

    def log_probs(self, sequences: Sequence[Sequence[int]], adapter: Path | None) -> list[list[float]]:
        """As Engine.log_probs, in float32 from the logits on, in batches with left padding."""
        self._use(adapter)
        parts = [sequences[start : start + self.batch_size] for start in range(0, len(sequences), self.batch_size)]
        return [row for part in parts for row in self._log_probs(part)]

    @torch.inference_mode()
    def _log_probs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        ids, mask = left_padded(sequences, self.tokenizer.pad_token_id, self.device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        logits = self.model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).logits
        table = torch.log_softmax(logits[:, :-1].float(), -1)
        values = table.gather(-1, ids[:, 1:, None])[..., 0]
        return [row[-(len(sequence) - 1) :].tolist() for row, sequence in zip(values, sequences, strict=True)]

    def adapter_modules(self, adapter: Path) -> set[str]:
        """As Engine.adapter_modules: the LoRA modules whose weights all come from the adapter's file."""
        self._use(adapter)
        return self._loaded[_adapter_name(adapter)]

    def _use(self, adapter: Path | None) -> None:
        """Switch the model to the base, or to the base with this adapter (loaded on first use, never merged: in bf16 a
        merge rounds a small adapter away)."""
        if adapter is None:
            if self.model is not self.base:
                self.model.disable_adapter_layers()
            return
        name = _adapter_name(adapter)
        if self.model is self.base:
            self.model = PeftModel.from_pretrained(self.base, adapter, adapter_name=name).eval()
            self._loaded = {name: self._matched(adapter, name)}
        elif name not in self._loaded:
            self.model.load_adapter(adapter, adapter_name=name)
            self._loaded[name] = self._matched(adapter, name)
        self.model.enable_adapter_layers()
        self.model.set_adapter(name)
        self.model.eval()

    def _matched(self, adapter: Path, name: str) -> set[str]:
        """Modules of the model whose weights equal those in the adapter's file, bit for bit."""
        file = adapter_weights(adapter)
        modules: dict[str, bool] = {}
        for key, weight in self.model.state_dict().items():
            if f".{name}." not in key or ".lora_" not in key:
                continue
            stored = file.get(key.replace(f".{name}.", "."))
            same = stored is not None and torch.equal(stored.to(weight), weight)
            module = module_name(key)
            modules[module] = modules.get(module, True) and same
        return {module for module, same in modules.items() if same}


def left_padded(
    sequences: Sequence[Sequence[int]], pad: int, device: torch.device | str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask of shape (sequences, longest), padded at the left for generation."""
    width = max(map(len, sequences))
    ids = torch.tensor([[pad] * (width - len(s)) + list(s) for s in sequences], device=device)
    mask = torch.tensor([[0] * (width - len(s)) + [1] * len(s) for s in sequences], device=device)
    return ids, mask


class _OwnSeeds(LogitsProcessor):
    """Sampling by the Gumbel trick with one generator for each row: argmax(logits + Gumbel noise) is a draw from
    softmax(logits), and a row's draw does not depend on its neighbours, as with one shared generator."""

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        rows = [
            torch.empty(scores.shape[-1], device=scores.device).exponential_(generator=generator)
            for generator in self.generators
        ]
        return scores.float() - torch.stack(rows).log()


def _sampler(batch: Sequence[Request], sampling: Sampling, device: torch.device) -> LogitsProcessorList:
    processors = LogitsProcessorList()
    if sampling.temperature == 0:
        return processors
    processors.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        processors.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        processors.append(TopPLogitsWarper(sampling.top_p))
    if sampling.min_p:
        processors.append(MinPLogitsWarper(sampling.min_p))
    processors.append(_OwnSeeds([r.seed for r in batch], device))
    return processors


def load_base(checkpoint: Checkpoint, precision: str) -> torch.nn.Module:
    """The checkpoint's model, weights from safetensors only, in "bf16" or "fp32"."""
    return AutoModelForCausalLM.from_pretrained(checkpoint.path, dtype=DTYPES[precision], use_safetensors=True)


def _adapter_name(adapter: Path) -> str:
    # PEFT keeps adapters in module dicts, whose keys must not contain a dot.
    return hashlib.sha256(str(adapter.resolve()).encode()).hexdigest()[:12]
