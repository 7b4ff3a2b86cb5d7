"""Lines on this machine: its GPUs, its packages compared with the pins, and which experiments fit."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from harness.config import loading
from harness.config.schema import Config
from harness.cost import memory
from harness.runs import machine
from harness.runs.machine import Gpu
from harness.util.errors import HarnessError

CUDA = (13, 0)  # the version that the gpu extra's torch is built for


def lines() -> Iterator[str]:
    found = machine.gpus()
    yield from (*_machine(found), "", *_packages(bool(found)), "", *_experiments(found))


def _machine(found: list[Gpu]) -> Iterator[str]:
    yield (
        f"Machine: {platform.system()} {platform.machine()}, {os.cpu_count()} cores, {machine.ram():.0f} GiB memory, "
        f"Python {platform.python_version()}"
    )
    if not found:
        yield "GPU: no NVIDIA GPU (NVML finds none): evaluation by transformers, training by TRL, on the CPU"
    for gpu in found:
        yield (
            f"GPU: {gpu.name}, {gpu.total:.1f} GiB ({gpu.free:.1f} free), compute capability "
            f"{machine.dotted(gpu.capability)}, driver {gpu.driver}, CUDA up to {machine.dotted(gpu.cuda)}"
        )
        if gpu.cuda < CUDA:
            yield f"  driver too old for the gpu extra, whose torch is built for CUDA {machine.dotted(CUDA)}; update it"
        if gpu.capability < machine.BF16:
            yield "  no bf16: neither vLLM nor Unsloth runs on it"


def _packages(gpu: bool) -> Iterator[str]:
    """Each direct requirement that is missing or not the pinned version; those of the gpu extra only with a GPU."""
    try:
        wanted = [Requirement(text) for text in requires("grpo-harness") or []]
    except PackageNotFoundError:
        yield 'Packages: the harness is not installed; pip install -e . (with a GPU: pip install -e ".[gpu]")'
        return
    extras = ["", "gpu"] if gpu else [""]
    chosen = [r for r in wanted if not r.marker or any(r.marker.evaluate({"extra": extra}) for extra in extras)]
    wrong = []
    for requirement in chosen:
        try:
            there = version(requirement.name)
        except PackageNotFoundError:
            wrong.append(f"  {requirement.name}: missing, expected {requirement.specifier or 'any version'}")
            continue
        if not requirement.specifier.contains(there, prereleases=True):
            wrong.append(f"  {requirement.name}: {there} is installed, expected {requirement.specifier}")
    yield f"Packages: {len(chosen) - len(wrong)} of {len(chosen)} as pinned" + (
        f'; pip install -e ".{"[gpu]" if gpu else ""}" installs the others' if wrong else ""
    )
    yield from wrong


def _experiments(found: list[Gpu]) -> Iterator[str]:
    yield "Experiments:"
    files = loading.experiments()
    answers: dict[str, list[str]] = {}  # most of those that cannot run have one reason
    for name, file in files.items():
        try:
            answer = _fits(loading.load(file), found)
        except HarnessError as error:
            answer = f"no: {error}"
        answers.setdefault(answer, []).append(name)
    for answer, names in answers.items():
        yield f"  {', '.join(names)}"
        yield f"    {answer}"


def _fits(config: Config, found: list[Gpu]) -> str:
    if reason := machine.cannot_run(config):
        return f"no: {reason}"
    count = memory.parameters(config)
    if count is None:
        return f"yes, if it fits: the size of {config.model.id} is unknown until it is on this machine"
    need, here = memory.needed(config, count).about, memory.room(config, found)
    listed = " and ".join(f"{gib:.1f} GiB for the {stage}" for stage, gib in need.items())
    if max(need.values()) > here.gib:
        return f"no: it needs about {listed}, and this machine has {here.gib:.1f} GiB of {here.where}"
    return f"yes: about {listed}, of {here.gib:.1f} GiB of {here.where}"
