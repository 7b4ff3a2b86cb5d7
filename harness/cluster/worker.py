"""What a Ray worker does: it starts a stage as a process, waits for it, and takes it along when it dies.

The stage meets the others on disk, as everywhere: nothing but its exit code goes through Ray.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from harness.runs import machine, provenance, stages
from harness.util import locks, processes, startup
from harness.util.errors import BUSY
from harness.util.logs import names_secret

# What can change a number, or is said to our libraries by the user: a stage has these as the command has them, on every
# machine. Ray sets OMP_NUM_THREADS, and a run that is resumed with another number of threads is refused.
COMMANDS_OWN = re.compile(
    r"(OMP|GOMP|KMP|MKL|OPENBLAS|NUMEXPR|VECLIB|TORCH|PYTORCH|CUBLAS|CUDNN|NVIDIA|TRITON|VLLM|UNSLOTH|HF|TOKENIZERS|HARNESS)_"
    r"|PYTHONPATH$|PYTHONHASHSEED$|PYTHONWARNINGS$"
)


class Killed(Exception):
    """The stage was killed, or its machine has no room for it; another worker may do better."""


@dataclass(frozen=True)
class Order:
    """A stage to be run."""

    arguments: tuple[str, ...]  # of Python
    folder: str  # the working directory
    environment: dict[str, str]  # of those variables that are the command's own
    errors: str  # the file for what it writes to standard error


@dataclass(frozen=True)
class Ended:
    code: int  # the exit code
    seconds: float  # wall time of the process


def environment() -> dict[str, str]:
    """The variables of this process that every stage has to have alike; keys and passwords stay where they are."""
    return {name: value for name, value in os.environ.items() if COMMANDS_OWN.match(name) and not names_secret(name)}


def work(order: Order) -> Ended:
    """Run a stage. Raises Killed if it was ended by SIGKILL, or by itself because another program is in its way."""
    own = {name: value for name, value in os.environ.items() if not COMMANDS_OWN.match(name) or names_secret(name)}
    own.setdefault("CUDA_VISIBLE_DEVICES", "")  # Ray gave it none
    # NVML numbers the GPUs by bus, and Ray goes by NVML; so must CUDA.
    tied = {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        startup.GIVEN_GPUS: own["CUDA_VISIBLE_DEVICES"],
        startup.TIED_TO: str(os.getpid()),
    }
    processes.adopt_orphans()
    # What another stage takes of a shared GPU is not this one's to give back.
    gpus = machine.gpus() if float(order.environment.get(machine.SHARE, 1)) == 1 else []
    before, began = processes.descendants(), time.perf_counter()
    with Path(order.errors).open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, *order.arguments],
            cwd=order.folder,
            env=own | order.environment | tied,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
    try:
        code = process.wait()
    finally:
        process.kill()
        stages.clear_up(gpus, before)
    if code == -signal.SIGKILL:
        raise Killed("ended by SIGKILL; the machine may be out of memory")
    if code == BUSY:
        raise Killed(Path(order.errors).read_text(errors="replace").strip().removeprefix("error: "))
    return Ended(code, time.perf_counter() - began)


@dataclass(frozen=True)
class Node:
    """What a machine of the cluster has."""

    sees: bool  # the results folder, with what the command has just written there
    locks: bool  # it is told that the command holds a lock
    versions: dict[str, str]  # of the packages that change a number


def look(folder: str, token: str) -> Node:
    """Whether this machine has the results folder, its locks, and the command's packages."""
    file = Path(folder) / locks.NAME
    sees = file.is_file() and token in file.read_text()
    return Node(sees, sees and locks.holder(file) is not None, provenance.versions())
