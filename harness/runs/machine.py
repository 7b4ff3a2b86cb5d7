"""What this machine has, and why it cannot run an experiment. GPUs are queried through NVML, without loading torch."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.config.plugins import BACKENDS, ENGINES
from harness.config.schema import Config
from harness.util import locks, startup
from harness.util.errors import HarnessError, in_short

GIB = 2**30
SHARE = "HARNESS_GPU_SHARE"  # the share of its GPU that this process has; unset: all of it
BF16 = (8, 0)  # lowest compute capability with bf16
# How torch, its CPU allocator, cuBLAS and vLLM report too little memory; their error classes are too many to list.
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "ALLOC_FAILED")


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
    """The NVIDIA GPUs visible under CUDA_VISIBLE_DEVICES, in its order or NVML's; none without a driver."""
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
            except pynvml.NVMLError:  # a container may see a device without permission to query it
                continue
    finally:
        pynvml.nvmlShutdown()
    return found


def _visible(pynvml: Any) -> list[tuple[Any, Any]]:
    """The handles that CUDA will see, up to the first unknown name, each with the handle of its whole GPU."""
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
    """The same for one name: an index, a GPU's UUID or its beginning, or the UUID of a part of a GPU (MIG)."""
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


def gpu_share() -> float:
    """The share of its GPU that this process may use: below 1 if others, started with it, use the rest."""
    return float(os.environ.get(SHARE, 1))


@contextmanager
def engine_start() -> Iterator[None]:
    """The context in which an engine takes its memory: a user's processes on one GPU go one after the other.

    An engine measures what is free while it starts, and another start beside it would change that.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":  # one of several that wait for each other while their engines start
        yield
        return
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
    with locks.in_turn(Path(tempfile.gettempdir()) / f"harness-{os.getuid()}-gpu-{gpu}"):
        yield


def ram() -> float:
    """This machine's memory, GiB."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB


def torch_cuda() -> tuple[int, int] | None:
    """The CUDA version that torch is built for; None without CUDA. Read from torch's files, without importing it."""
    spec = find_spec("torch")
    for folder in (spec and spec.submodule_search_locations) or []:
        file = Path(folder) / "version.py"
        if file.is_file() and (found := re.search(r"^cuda\b.*'(\d+)\.(\d+)'", file.read_text(), re.MULTILINE)):
            return int(found[1]), int(found[2])
    return None


def unfit(gpu: Gpu) -> str | None:
    """Why neither vLLM nor Unsloth can run on this GPU; None if they can."""
    if gpu.capability < BF16:
        return f"bf16 needs compute capability {dotted(BF16)}, and {gpu.name} has {dotted(gpu.capability)}"
    built = torch_cuda()
    if built and gpu.cuda[0] < built[0]:  # a driver of the same major version runs it
        return (
            f"torch is built for CUDA {dotted(built)} and the driver, {gpu.driver}, runs up to {dotted(gpu.cuda)}: "
            f"update the driver"
        )
    return None


def installed(package: str) -> bool:
    """Whether a package can be imported, without importing it."""
    return find_spec(package) is not None


def lacks(package: str) -> str | None:
    """Why a package of the gpu extra cannot run here, as the end of a sentence; None if nothing prevents it."""
    found = gpus()
    if not found:
        return "needs an NVIDIA GPU, and this machine shows none"
    if reason := unfit(found[0]):
        return f"cannot run here ({reason})"
    return None if installed(package) else 'is not installed (pip install -e ".[gpu]")'


def dotted(version: tuple[int, int]) -> str:
    """A version or compute capability as text, such as "8.0"."""
    return ".".join(map(str, version))


def cannot_run(config: Config) -> str | None:
    """Why this machine or version cannot run the experiment, and what to set instead; None if it can."""
    return ENGINES.get(config.eval.engine).unavailable(config) or cannot_train(config) or _too_few_gpus(config)


def _too_few_gpus(config: Config) -> str | None:
    wanted, here = config.train.processes, len(given_gpus())
    if not here or here >= wanted or config.cluster.scheduler != "local":
        return None
    return f"train.processes: {wanted} need as many GPUs, and there are {here}; lower it, or use more"


def given_gpus() -> list[str]:
    """The GPUs that the user gave the command, by their names in CUDA_VISIBLE_DEVICES; none on a machine without."""
    if (given := os.environ.get(startup.GIVEN_GPUS, startup.ALL)) != startup.ALL:
        return given.split(",") if gpus() else []
    visible = os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    try:
        return [str(number) for number in range(len(gpus()))]
    finally:
        if visible is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = visible


def cannot_train(config: Config) -> str | None:
    """As cannot_run, for the training alone."""
    return BACKENDS.get(config.train.backend).unavailable(config)


@contextmanager
def within_memory(remedy: str) -> Iterator[None]:
    """Raise a HarnessError that names this remedy if the memory of the GPU or the machine is too small."""
    try:
        yield
    except (MemoryError, RuntimeError, ValueError) as error:
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in OUT_OF_MEMORY):
            raise
        raise HarnessError(f"not enough memory ({in_short(error)}); {remedy}") from error
