"""What this machine has, and what of an experiment it cannot run. GPUs are asked through NVML: no torch is loaded."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.config.plugins import BACKENDS, ENGINES
from harness.config.schema import Config
from harness.util.errors import HarnessError, in_short

GIB = 2**30
BF16 = (8, 0)  # compute capability from which a GPU has bf16
# How torch, its CPU allocator, cuBLAS and vLLM say that memory does not suffice: their error classes are too many.
OUT_OF_MEMORY = (
    "out of memory", "can't allocate memory", "ALLOC_FAILED", "Free memory on device", "No available memory",
    "KV cache is needed",
)  # fmt: skip


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
    """The NVIDIA GPUs that CUDA_VISIBLE_DEVICES leaves, in its order or NVML's; none where there is no driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    found = []
    try:
        for handle, whole in _visible(pynvml):
            try:
                found.append(_gpu(pynvml, handle, whole))
            except pynvml.NVMLError:  # a container may see a device and not be allowed to ask about it
                continue
    finally:
        pynvml.nvmlShutdown()
    return found


def _visible(pynvml: Any) -> list[tuple[Any, Any]]:
    """The handles that CUDA will see, up to the first name that stands for none, each with its whole GPU's."""
    handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return [(handle, handle) for handle in handles]
    chosen = []
    for name in map(str.strip, wanted.split(",")):
        if (pair := _named(pynvml, name, handles)) is None:
            break
        chosen.append(pair)
    return chosen


def _named(pynvml: Any, name: str, handles: list[Any]) -> tuple[Any, Any] | None:
    """As _visible, of one name: a number, a GPU's UUID or the beginning of one, the UUID of a part of a GPU (MIG)."""
    if name.startswith("MIG-"):
        try:
            part = pynvml.nvmlDeviceGetHandleByUUID(name)
            return part, pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(part)
        except pynvml.NVMLError:
            return None
    if name.startswith("GPU-"):
        fitting = [handle for handle in handles if pynvml.nvmlDeviceGetUUID(handle).startswith(name)]
    else:
        fitting = [handle for i, handle in enumerate(handles) if str(i) == name]
    return (fitting[0], fitting[0]) if len(fitting) == 1 else None


def _gpu(pynvml: Any, handle: Any, whole: Any) -> Gpu:
    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        total, free = memory.total / GIB, memory.free / GIB
    except pynvml.NVMLError_NotSupported:  # the GPU has no memory of its own
        total = free = ram()
    cuda = pynvml.nvmlSystemGetCudaDriverVersion()
    return Gpu(
        name=pynvml.nvmlDeviceGetName(whole),
        total=total,
        free=free,
        capability=tuple(pynvml.nvmlDeviceGetCudaComputeCapability(whole)),
        driver=pynvml.nvmlSystemGetDriverVersion(),
        cuda=(cuda // 1000, cuda % 1000 // 10),
    )


def ram() -> float:
    """This machine's memory, GiB."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB


def torch_cuda() -> tuple[int, int] | None:
    """The CUDA that the installed torch is built for; None for one without. Read from its files: nothing is loaded."""
    spec = find_spec("torch")
    for folder in (spec and spec.submodule_search_locations) or []:
        file = Path(folder) / "version.py"
        if file.is_file() and (found := re.search(r"^cuda\b.*'(\d+)\.(\d+)'", file.read_text(), re.MULTILINE)):
            return int(found[1]), int(found[2])
    return None


def unfit(gpu: Gpu) -> str | None:
    """Why neither vLLM nor Unsloth can run on this GPU; None where nothing speaks against it."""
    if gpu.capability < BF16:
        return f"bf16 needs compute capability {dotted(BF16)}, and {gpu.name} has {dotted(gpu.capability)}"
    built = torch_cuda()
    if built and gpu.cuda[0] < built[0]:  # one of the same major version runs it
        return (
            f"torch is built for CUDA {dotted(built)} and the driver, {gpu.driver}, runs up to {dotted(gpu.cuda)}: "
            f"update the driver"
        )
    return None


def installed(package: str) -> bool:
    """Whether a package can be imported, without importing it."""
    return find_spec(package) is not None


def dotted(version: tuple[int, int]) -> str:
    """A version or compute capability as it is written."""
    return ".".join(map(str, version))


def cannot_run(config: Config) -> str | None:
    """What of the experiment cannot be done on this machine or by this version, and what to say instead; else None."""
    return ENGINES.get(config.eval.engine).unavailable(config) or cannot_train(config)


def cannot_train(config: Config) -> str | None:
    """As cannot_run, of the training alone."""
    return BACKENDS.get(config.train.backend).unavailable(config)


@contextmanager
def within_memory(remedy: str) -> Iterator[None]:
    """Raise a HarnessError that names this remedy where memory, of a GPU or a CPU, does not suffice."""
    try:
        yield
    except (MemoryError, RuntimeError, ValueError) as error:
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in OUT_OF_MEMORY):
            raise
        raise HarnessError(f"memory does not suffice ({in_short(error)}); {remedy}") from error
