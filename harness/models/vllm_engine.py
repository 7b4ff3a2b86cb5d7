"""The vLLM engine: all prompts in one continuous batch, completions yielded in the order in which they finish.

vLLM runs inside this process: an engine core in a separate process outlives a kill and keeps the GPU's memory. Its
import takes half a minute, so it happens when an engine is started.
"""

from __future__ import annotations

import atexit
import gc
import math
import os
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from harness.config.compatibility import VLLM_RANKS
from harness.config.schema import EvalSection
from harness.models.checkpoint import Checkpoint
from harness.models.engine import Request, Sampling, Work
from harness.models.hf_engine import DTYPES
from harness.models.lora import adapter_weights, module_name, scaling
from harness.models.prompts import quiet
from harness.runs import machine
from harness.tasks.records import Completion
from harness.util.console import hushed, say
from harness.util.errors import BusyError, HarnessError, in_short
from harness.util.files import file_hash

# Raised whenever a change of this module could change a completion.
VERSION = "3"

QUIET = "ERROR"  # level of vLLM's log, unless the user sets another
DEFAULTS = {
    "VLLM_LOGGING_LEVEL": QUIET,
    "VLLM_NO_USAGE_STATS": "1",
    # FlashInfer's sampler is compiled at the first start, for minutes; greedy and seeded requests do not use it.
    "VLLM_USE_FLASHINFER_SAMPLER": "0",
}
HARMLESS = {  # variables that change no completion, or that the evaluation section sets
    "VLLM_LOGGING_LEVEL", "VLLM_NO_USAGE_STATS", "VLLM_DO_NOT_TRACK", "VLLM_CACHE_ROOT", "VLLM_CONFIG_ROOT",
    "VLLM_LOGGING_PREFIX", "VLLM_ENABLE_V1_MULTIPROCESSING", "VLLM_BATCH_INVARIANT",
}  # fmt: skip

# Compilation and CUDA graph capture take a minute or more at the start, which pays off only for many tokens.
COMPILE_FROM = 200_000  # tokens to be generated at most
LENGTH_STEP = 512  # tokens; lengths are rounded up to a multiple, so that similar experiments share a compile cache
CONTEXT_GIB = 2.0  # more than this process's CUDA context and a desktop take; who holds more is at work
WORKSPACE_GIB = 2.0  # for activations and the smallest useful KV cache, in addition to the weights

# With vLLM 0.26's batch-invariant kernels, completions of one request in a large and in a small batch were equal with
# this attention alone (by FlashAttention 3, 58% of 659 were), and in compiled models alone: its own kernels for the
# normalization, which run eagerly, depend on the batch (results/reference/h200.md).
INVARIANT_ATTENTION = "TRITON_ATTN"

# On a large GPU vLLM 0.26 runs 1,024 requests at a time, but captures CUDA graphs for at most 512: above that, steps
# wait for the CPU. With graphs for all, 1,319 completions took 23 to 36% less time. Fewer sizes than vLLM's own keep
# the start about as short as it was (results/reference/h200.md).
LARGE_GPU_GIB = 70
RUNNING = 1024
GRAPH_SIZES = [1, 2, 4, 8, 16, 32, 48, 64, *range(96, 257, 32), *range(320, RUNNING + 1, 64)]


def eager(section: EvalSection, work: Work) -> bool:
    """Whether the model runs without compilation and CUDA graphs: as the section says, or by the amount of work.

    This counts the whole evaluation, also when it is resumed: the two modes differ in the last bits. What has to be
    batch-invariant is compiled.
    """
    if section.enforce_eager is not None:
        return section.enforce_eager
    return not section.batch_invariant and work.completions * section.max_new_tokens < COMPILE_FROM


def describe(section: EvalSection, work: Work) -> str:
    """The engine with everything that its completions depend on."""
    try:
        installed = version("vllm")
    except PackageNotFoundError:
        installed = "not installed"
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU"
    how = "eager" if eager(section, work) else "compiled"
    invariant = ", batch-invariant" if section.batch_invariant else ""
    switches = "".join(f", {name}={value}" for name, value in sorted(_switches().items()))
    return f"vllm engine {VERSION}, vllm {installed} ({how}{invariant}{switches}), torch {torch.__version__}, {gpu}"


def llm_settings(section: EvalSection, checkpoint: Checkpoint, work: Work) -> dict[str, Any]:
    """The arguments of vLLM's LLM: text only, no more context than needed, as much memory as allowed.

    Raises HarnessError if there is not enough memory.
    """
    longest = math.ceil(work.longest / LENGTH_STEP) * LENGTH_STEP
    settings: dict[str, Any] = {
        "model": str(checkpoint.path),
        "dtype": str(DTYPES[section.precision]).removeprefix("torch."),
        "load_format": "safetensors",
        "max_model_len": min(longest, checkpoint.context),
        "gpu_memory_utilization": memory_share(section, checkpoint),
        "enforce_eager": eager(section, work),
        "generation_config": "vllm",  # ignore the checkpoint's own sampling settings
        "language_model_only": "vision_config" in checkpoint.config,
        "use_tqdm_on_load": False,
        "seed": 0,
    }
    if section.batch_invariant:
        settings["attention_backend"] = INVARIANT_ATTENTION
    if not settings["enforce_eager"] and torch.cuda.mem_get_info()[1] >= LARGE_GPU_GIB * 2**30:
        settings["max_num_seqs"] = RUNNING
        settings["compilation_config"] = {"cudagraph_capture_sizes": GRAPH_SIZES}
    if (part := machine.gpu_share()) < 1:
        # An absolute size: what is free depends on what the others on this GPU have taken already.
        allowed = section.gpu_memory_utilization * part * torch.cuda.mem_get_info()[1]
        settings["kv_cache_memory_bytes"] = int(allowed - needed_gib(checkpoint) * 2**30)
    if work.lora_rank:
        rank = next(rank for rank in VLLM_RANKS if rank >= work.lora_rank)
        settings |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": rank}
    return settings


@contextmanager
def starting(section: EvalSection, checkpoint: Checkpoint, work: Work) -> Iterator[dict[str, Any]]:
    """The context in which vLLM is imported and started: its environment set, output dropped, errors in one line.

    Yields the arguments of vLLM's LLM. Raises HarnessError if there is not enough memory.
    """
    environment(section)
    quiet()
    how = "eager" if eager(section, work) else "compiled, with CUDA graphs: minutes the first time"
    say(f"Starting vLLM ({how}).")
    began = time.perf_counter()
    atexit.register(_leave)
    try:
        with (
            memory_told("eval.gpu_memory_utilization", section.gpu_memory_utilization, "eval.max_new_tokens"),
            hushed(os.environ.get("VLLM_LOGGING_LEVEL") == QUIET),
        ):
            yield llm_settings(section, checkpoint, work)
    except ImportError as error:
        raise HarnessError(f'eval.engine: vllm cannot be imported ({error}); pip install -e ".[gpu]"') from None
    except (ValueError, RuntimeError, AssertionError) as error:
        raise _start_error(error) from error
    say(f"vLLM is ready after {time.perf_counter() - began:.0f} s.")


class VllmEngine:
    def __init__(
        self, section: EvalSection, checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase, work: Work
    ) -> None:
        self.section, self.tokenizer = section, tokenizer
        with starting(section, checkpoint, work) as settings:
            from vllm import LLM

            self.llm = LLM(**settings)
        self._adapters: dict[str, int] = {}

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, adapter: Path | None, done: Collection[tuple[int, int]]
    ) -> Iterator[list[Completion]]:
        """As Engine.generate. A completion's seconds run from the request to its end, including time in the queue."""
        wanted = [request for request in requests if (request.index, request.sample) not in done]
        began = time.perf_counter()
        params = [self._params(sampling, request.seed) for request in wanted]
        waiting = self._ask(wanted, params, adapter)
        try:
            while waiting:
                if ended := self._step():
                    seconds = time.perf_counter() - began
                    pairs = [(waiting.pop(output.request_id), output.outputs[0].token_ids) for output in ended]
                    yield self._completions(pairs, sampling, seconds)
        finally:
            self.llm.llm_engine.abort_request(list(waiting))

    def log_probs(self, sequences: Sequence[Sequence[int]], adapter: Path | None) -> list[list[float]]:
        """As Engine.log_probs: vLLM's prompt log-probabilities."""
        from vllm import SamplingParams

        params = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)
        requests = [Request(i, 0, tuple(sequence), 0) for i, sequence in enumerate(sequences)]
        waiting = self._ask(requests, [params] * len(requests), adapter)
        rows: dict[int, list[float]] = {}
        while waiting:
            for output in self._step():
                request = waiting.pop(output.request_id)
                tokens = zip(request.ids[1:], output.prompt_logprobs[1:], strict=True)
                rows[request.index] = [table[token].logprob for token, table in tokens]
        return [rows[i] for i in range(len(requests))]

    def adapter_modules(self, adapter: Path) -> set[str]:
        """As Engine.adapter_modules: those whose matrices are in vLLM's LoRA layers on the GPU, bit for bit."""
        request = self._request(adapter)
        try:
            self.llm.llm_engine.add_lora(request)
        except ValueError as error:
            reason = str(error).strip().splitlines()[0]
            raise HarnessError(f"{adapter}: vLLM cannot load it ({reason}); use eval.engine=transformers") from None
        weights = adapter_weights(adapter)
        scale = scaling(adapter)
        (found,) = self.llm.apply_model(lambda model: loaded_modules(model, request.lora_int_id, weights, scale))
        return found

    def _params(self, sampling: Sampling, seed: int) -> Any:
        from vllm import SamplingParams

        return SamplingParams(
            max_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            seed=seed if sampling.temperature else None,
            stop_token_ids=list(sampling.stop_ids),
            ignore_eos=True,  # stop only on our stop ids
            detokenize=False,
        )

    def _ask(self, requests: Sequence[Request], params: Sequence[Any], adapter: Path | None) -> dict[str, Request]:
        """Queue the requests; returns them by the id in vLLM's outputs."""
        lora = None if adapter is None else self._request(adapter)
        prompts = [{"prompt_token_ids": list(request.ids)} for request in requests]
        ids = self.llm.enqueue(prompts, params, lora_request=lora, use_tqdm=False)
        # enqueue's ids have a random suffix that keeps them unique; outputs have none.
        return {name.rpartition("-")[0] or name: request for name, request in zip(ids, requests, strict=True)}

    def _step(self) -> list[Any]:
        """One step of the engine; returns the outputs of the requests that it finished."""
        engine = self.llm.llm_engine
        if not engine.has_unfinished_requests():
            raise RuntimeError("vLLM has lost requests: it has none left, and completions are still missing")
        try:
            ended = [output for output in engine.step() if output.finished]
        except torch.OutOfMemoryError as error:
            raise _overrun(error, "eval.gpu_memory_utilization", self.section.gpu_memory_utilization) from error
        for output in ended:
            if (reason := output.outputs[0].finish_reason) not in ("stop", "length"):
                raise RuntimeError(f"vLLM ended a request with reason {reason!r}; expected 'stop' or 'length'")
        return ended

    def _completions(
        self, pairs: Sequence[tuple[Request, Sequence[int]]], sampling: Sampling, seconds: float
    ) -> list[Completion]:
        stopped = [bool(tokens) and tokens[-1] in sampling.stop_ids for _, tokens in pairs]
        kept = [list(tokens[:-1] if stop else tokens) for (_, tokens), stop in zip(pairs, stopped, strict=True)]
        texts = self.tokenizer.batch_decode(kept, skip_special_tokens=True)
        return [
            Completion(request.index, request.sample, text, "stop" if stop else "length", len(tokens), seconds)
            for (request, tokens), text, stop in zip(pairs, texts, stopped, strict=True)
        ]

    def _request(self, adapter: Path) -> Any:
        """The adapter as a vLLM request, named by content, because vLLM caches adapters by name."""
        from vllm.lora.request import LoRARequest

        name = file_hash(adapter / "adapter_model.safetensors") + file_hash(adapter / "adapter_config.json")
        number = self._adapters.setdefault(name, len(self._adapters) + 1)
        return LoRARequest(name, number, str(adapter.resolve()))


def loaded_modules(model: Any, lora_id: int, weights: dict[str, torch.Tensor], scale: float) -> set[str]:
    """Which of an adapter's modules are in the active slot of vLLM's LoRA layers exactly as in its file.

    vLLM packs q, k, v and gate, up into one layer each, with one slice for each module, and multiplies the scale into
    B. It silently ignores a module whose name it does not know; this check finds that.
    """
    from vllm.lora.utils import parse_fine_tuned_lora_name

    manager = model.lora_manager
    slot = manager.lora_index_to_id.index(lora_id)
    mapper = getattr(model, "hf_to_vllm_mapper", None)
    mapper = mapper.get_unstacked_mapper() if mapper else None
    places = {
        name: (layer, i)
        for layer_name, layer in manager.modules.items()
        for i, name in enumerate(manager.packed_modules.get(layer_name, [layer_name]))
    }
    same: dict[str, bool] = {}
    for key, weight in weights.items():
        name, is_a = parse_fine_tuned_lora_name(key, mapper)
        layer, i = places.get(name, (None, 0))
        equal = False
        if layer is not None:
            held = (layer.lora_a_stacked if is_a else layer.lora_b_stacked)[i][slot, 0]
            rows, columns = weight.shape
            given = weight.to(held.dtype)
            if not is_a:
                given = given * scale
            equal = torch.equal(held[:rows, :columns].cpu(), given)
        same[module_name(key)] = same.get(module_name(key), True) and equal
    return {module for module, equal in same.items() if equal}


def _leave() -> None:
    if torch.distributed.is_initialized():  # vLLM does not destroy it, which causes a warning at exit
        torch.distributed.destroy_process_group()


# --- memory -------------------------------------------------------------------------------------------------


def memory_share(section: EvalSection, checkpoint: Checkpoint) -> float:
    """The share of the GPU's memory that vLLM may take: the section's share of the free memory.

    Of a GPU that others share, it is the section's share of this process's part, whatever is free. Raises HarnessError
    if the weights and a KV cache do not fit.
    """
    if not torch.cuda.is_available():
        raise HarnessError("eval.engine: vllm needs an NVIDIA GPU, and torch finds none; use eval.engine=transformers")
    gc.collect()
    torch.cuda.empty_cache()  # held by an earlier part of this process
    free, total = (number / 2**30 for number in torch.cuda.mem_get_info())
    # A share of the free memory, not of the total: CUDA's context and work areas come on top of vLLM's share. With
    # 23 of 24 free GiB for vLLM, a 4 B model ran out of memory at the start.
    part = machine.gpu_share()
    share = math.floor(100 * section.gpu_memory_utilization * (part if part < 1 else free / total)) / 100
    needed = needed_gib(checkpoint)
    if share * total < needed:
        raise HarnessError(
            f"eval.gpu_memory_utilization: {checkpoint.id} needs about {needed:.1f} GiB and vLLM may take "
            f"{share * total:.1f} (of {total:.1f} GiB {free:.1f} are free, {section.gpu_memory_utilization:g} of which "
            f"may be used); end other programs on the GPU, raise the setting, or take a smaller model"
        )
    return share


def needed_gib(checkpoint: Checkpoint) -> float:
    """What the weights in bf16, activations and a small KV cache take, in GiB."""
    return 2 * checkpoint.parameters / 2**30 + WORKSPACE_GIB


@contextmanager
def memory_told(setting: str, share: float, length: str) -> Iterator[None]:
    """The context in which vLLM starts with this setting's share of the free memory: its words about memory in a line.

    It waits until no other process of this user starts one on this GPU. length: the setting of the longest completion.
    Raises BusyError if other programs that use the GPU may be the cause, and HarnessError if vLLM needs more than it
    may take.
    """
    with machine.engine_start():
        others = _others_gib()
        try:
            yield
        except torch.OutOfMemoryError as error:
            raise _overrun(error, setting, share) from error
        except (ValueError, RuntimeError, AssertionError) as error:
            reason = str(error).strip().partition("\n")[0]
            lacking = any(words in reason for words in ("cache blocks", "KV cache"))
            crowded = max(others, _others_gib() - others) > CONTEXT_GIB  # before, or since then
            changing = any(words in reason for words in ("Free memory on device", "memory profiling"))
            if changing or (lacking and crowded):
                raise BusyError(
                    f"{setting}: another program takes or frees GPU memory while vLLM starts ({reason}); run again, or "
                    f"lower the setting (now {share:g})"
                ) from error
            if lacking:
                raise HarnessError(
                    f"{setting}: vLLM does not get the memory it needs ({reason}); raise the setting (now {share:g}), "
                    f"end other programs on the GPU, or lower {length}"
                ) from error
            raise


def _others_gib() -> float:
    """What other programs hold of the GPU's memory, and the drivers' contexts, GiB."""
    if not torch.cuda.is_available():
        return 0.0
    free, total = torch.cuda.mem_get_info()
    return (total - free - torch.cuda.memory_reserved()) / 2**30


def _overrun(error: Exception, setting: str, share: float) -> HarnessError:
    return HarnessError(
        f"{setting}: the GPU ran out of memory outside the share that vLLM reserves ({share:g} of what was free; "
        f"{in_short(error)}); lower the setting or end other programs on the GPU"
    )


def _start_error(error: Exception) -> Exception:
    """The one line for a configuration or a GPU that vLLM does not support; other errors unchanged."""
    if isinstance(error, ValueError):
        reason = " ".join(str(error).split())[:300]
        return HarnessError(f"eval.engine: vLLM does not start ({reason}); use eval.engine=transformers")
    return error


def _switches() -> dict[str, str]:
    """vLLM's environment variables that the user has set and that may change a completion."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith("VLLM_") and name not in HARMLESS and value != DEFAULTS.get(name)
    }


def environment(section: EvalSection) -> None:
    """Set vLLM's environment variables, which it reads on import. The user's values stay, except for the first two."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ["VLLM_BATCH_INVARIANT"] = str(int(section.batch_invariant))
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
