"""What this machine has, and what of an experiment it cannot run. GPUs are asked through NVML: no torch is loaded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec

from harness.config import Config

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA GPU that this process may use; memory in GiB."""

    name: str
    total: float
    free: float
    capability: tuple[int, int]  # compute capability
    driver: str
    cuda: tuple[int, int]  # the newest CUDA that the driver runs


def gpus() -> list[Gpu]:
    """The NVIDIA GPUs, in NVML's order, that CUDA_VISIBLE_DEVICES leaves; none where there is no driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return [_gpu(pynvml, handle) for handle in _visible(handles)]
    finally:
        pynvml.nvmlShutdown()


def _visible(handles: list) -> list:
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return handles
    numbers = [part.strip() for part in wanted.split(",") if part.strip()]
    if not all(number.lstrip("-").isdigit() for number in numbers):  # UUIDs: CUDA knows, NVML's order does not tell
        return handles
    return [handles[int(number)] for number in numbers if 0 <= int(number) < len(handles)]


def _gpu(pynvml, handle) -> Gpu:
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    cuda = pynvml.nvmlSystemGetCudaDriverVersion()
    return Gpu(
        name=pynvml.nvmlDeviceGetName(handle),
        total=memory.total / GIB,
        free=memory.free / GIB,
        capability=tuple(pynvml.nvmlDeviceGetCudaComputeCapability(handle)),
        driver=pynvml.nvmlSystemGetDriverVersion(),
        cuda=(cuda // 1000, cuda % 1000 // 10),
    )


def cannot_run(config: Config) -> str | None:
    """What of the experiment cannot be done on this machine or by this version, and what to say instead; else None."""
    if config.eval.engine == "vllm":
        instead = "use eval.engine=transformers (on a CPU, with eval.precision=fp32)"
        if not gpus():
            return f"eval.engine: vllm needs an NVIDIA GPU, and this machine shows none; {instead}"
        if not find_spec("vllm"):
            return f'eval.engine: vllm is not installed; pip install -e ".[gpu]" (README: Install), or {instead}'
    if config.train.backend == "unsloth":
        return "train.backend: unsloth is not in this version; use train.backend=trl (on a CPU, model.precision=fp32)"
    return None
