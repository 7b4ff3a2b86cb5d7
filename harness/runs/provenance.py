"""What a run was made with: commit, uncommitted changes, versions and machine, for the manifest."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness.runs.manifest import Cost, Machine, MadeWith
from harness.util.logs import without_secrets

PACKAGES = (
    "torch", "transformers", "trl", "peft", "accelerate", "datasets", "numpy", "scipy", "safetensors", "tokenizers",
    "vllm", "unsloth", "unsloth-zoo",
)  # fmt: skip


def versions() -> dict[str, str]:
    """The installed version of every package that can change a number."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def made_with() -> MadeWith:
    """The harness's commit, whether there are uncommitted changes, and the versions of the packages."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return MadeWith(commit=None, dirty=None, diff_sha256=None, versions=versions())
    diff = _git(root, "diff", "HEAD", "--", "harness", "pyproject.toml") or ""
    return MadeWith(
        commit=_git(root, "rev-parse", "HEAD"),
        dirty=bool(diff),
        diff_sha256=hashlib.sha256(diff.encode()).hexdigest() if diff else None,
        diff=without_secrets(diff)[:100_000],
        versions=versions(),
    )


def machine() -> Machine:
    """The system, its cores, and its GPU if torch has found one."""
    import torch

    here = Machine(platform.platform(), os.cpu_count(), torch.get_num_threads())
    if not torch.cuda.is_available():
        return here
    properties = torch.cuda.get_device_properties(0)
    return replace(here, gpu=properties.name, gpu_gib=round(properties.total_memory / 2**30, 1))


def inputs(data_hash: str, of: str = "data") -> dict[str, str]:
    """The content hash of the data, for RunDir.pin; `of` names it.

    On a CPU the number of threads is included: it decides the order of sums, and with it the last bits.
    """
    import torch

    found = {of: data_hash}
    if not torch.cuda.is_available():
        found["number of threads (OMP_NUM_THREADS)"] = str(torch.get_num_threads())
    return found


def cost(
    start_seconds: float, seconds: float, tokens: int, *, completions: int | None = None, steps: int | None = None
) -> Cost:
    """The cost of a stage, with the peak memory of this process."""
    import resource

    import torch

    return Cost(
        start_seconds=round(start_seconds, 2),
        seconds=round(seconds, 2),
        tokens=tokens,
        completions=completions,
        steps=steps,
        peak_memory_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        peak_gpu_mib=torch.cuda.max_memory_reserved() // 2**20 if torch.cuda.is_available() else None,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
