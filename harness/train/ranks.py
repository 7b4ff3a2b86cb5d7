"""One training in several processes, each on a GPU of its own: data parallel, by accelerate in TRL's trainer.

Each process ("rank") has its share of a step's prompts and makes their completions; advantages, gradients and logged
numbers are of all. The first writes every file. They find each other as torch does by default, through variables of
the environment, which accelerate's launcher would set too; that launcher also reads a configuration of the user's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

from harness.runs import machine
from harness.util import console, interrupts, locks, processes, startup
from harness.util.errors import HarnessError

RANK, COUNT = "RANK", "WORLD_SIZE"  # as torch and accelerate read them
OURS = "HARNESS_RANKS"  # set: this process is one of several that were started here
POLL = 0.2  # seconds


def is_one() -> bool:
    """Whether this process is one of several of a training."""
    return OURS in os.environ


def is_first() -> bool:
    """Whether this process writes the files: the first of several, or the only one."""
    return not is_one() or os.environ[RANK] == "0"


_kept: list[object] = []


def keep(trainer: object) -> None:
    """Keep the trainer of one of several processes to the end of the process: see leave."""
    if is_one():
        _kept.append(trainer)


def leave(code: int) -> NoReturn:
    """End this process with an exit code; one of several ends without taking its objects apart.

    torch's gloo group waits in its destructor, holding Python's lock, for a thread that may be waiting for that lock
    (seen with torch 2.13).
    """
    if is_one():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


class Failed(NamedTuple):
    rank: int
    code: int  # the exit code; -n: by signal n


def run(arguments: Sequence[str], environment: Mapping[str, str], count: int, threads: int) -> Failed | None:
    """Run `python ARGUMENTS` in so many processes; None if all of them succeed, else the first that failed.

    threads: of each, for torch on a CPU. If one fails, the others, which would wait for it, are killed. Only the first
    process prints. Raises HarnessError if there are GPUs, but too few.
    """
    gpus = machine.given_gpus()
    if gpus and len(gpus) < count:
        raise HarnessError(f"train.processes: {count} need as many GPUs, and there are {len(gpus)}; lower it")
    told = {
        OURS: "1",
        COUNT: str(count),
        "LOCAL_RANK": "0",  # each sees one GPU
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(processes.free_port()),
        "OMP_NUM_THREADS": str(threads),
        interrupts.COMMAND: interrupts.command(),
        startup.TIED_TO: str(os.getpid()),
    }
    if not gpus:
        told["ACCELERATE_TORCH_DEVICE"] = "cpu"  # its own choice, cpu:0, is none that torch loads an optimizer to
    inherited = dict(environment) | told
    inherited.pop(locks.TOKEN, None)  # this process has the lock
    started = []
    for rank in range(count):
        if rank == 1:
            inherited.pop(console.SHOWN, None)
        own = {RANK: str(rank)} | ({"CUDA_VISIBLE_DEVICES": gpus[rank]} if gpus else {})
        printed = subprocess.DEVNULL if rank else None
        started.append(
            subprocess.Popen([sys.executable, *arguments], env=inherited | own, stdout=printed, stderr=printed)
        )
    try:
        while None in (codes := [process.poll() for process in started]) and not any(codes):
            time.sleep(POLL)
        return next((Failed(rank, code) for rank, code in enumerate(codes) if code), None)
    except interrupts.Stopped as stopped:
        for process in started:
            process.send_signal(stopped.number)
        started[0].wait(timeout=processes.SECONDS)
        stopped.said = started[0].returncode in interrupts.STOPPED
        raise
    finally:
        for process in started:
            process.kill()
            process.wait()
