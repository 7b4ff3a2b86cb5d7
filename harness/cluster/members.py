"""The runs of a sweep side by side: each a harness.run of its own, all on the workers of one Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO

from harness.cluster import parallel, pool, watch
from harness.cluster.pool import Pool
from harness.cluster.watch import Shown
from harness.runs.directory import RunDir
from harness.util import interrupts, startup
from harness.util.console import board, say
from harness.util.interrupts import Stopped

DECIDED_LATER = {"train", "lora", "rewards"}  # sections without a say in the base's completions
END_SECONDS = parallel.END_SECONDS + 30  # for runs to end after Ctrl-C


@dataclass(frozen=True)
class Member:
    """A run of the sweep."""

    label: str
    run: RunDir
    arguments: list[str]  # of harness.run

    @property
    def base(self) -> str:
        """Equal for runs that share their base's completions."""
        deciding = self.run.config.deciding()
        return json.dumps({name: deciding[name] for name in deciding.keys() - DECIDED_LATER}, sort_keys=True)


def run_all(members: Sequence[Member], workers: Pool) -> dict[int, str]:
    """Run all members, as many at a time as there are workers; returns why each that failed did, by position.

    Of those that share the base's completions the first makes them, and the others begin when it has.
    """
    limit, waiting = workers.room(), list(range(len(members)))
    running: dict[int, subprocess.Popen] = {}
    states, failed, errors = ["waiting"] * len(members), {}, {}
    with ExitStack() as open_files, board("") as show:
        try:
            while waiting or running:
                for number in list(waiting):
                    if len(running) < limit and _may_begin(members, number, running):
                        waiting.remove(number)
                        errors[number] = open_files.enter_context(tempfile.TemporaryFile())
                        running[number] = _start(members, number, workers.address, errors[number])
                        states[number] = "begun"
                for number, process in list(running.items()):
                    if (code := process.poll()) is not None:
                        del running[number]
                        if code:
                            failed[number] = _reason(errors[number], code)
                        states[number] = "failed" if code else "complete"
                        say(f"{states[number].capitalize()}: {members[number].label}")
                pairs = zip(members, states, strict=True)
                show(watch.rows([Shown(each.label, each.run, state) for each, state in pairs]))
                time.sleep(parallel.TICK)
        except Stopped as stopped:
            stopped.where = f"sweep, {states.count('complete')} of {len(members)} runs complete"
            _end(list(running.values()), stopped.number)
            raise
    return failed


def _may_begin(members: Sequence[Member], number: int, running: dict[int, subprocess.Popen]) -> bool:
    ours = members[number].base
    return not any(
        members[other].base == ours and not (members[other].run.base / "result.json").exists() for other in running
    )


def _base_is_made(members: Sequence[Member], number: int) -> bool:
    return any(each.base == members[number].base and (each.run.base / "result.json").exists() for each in members)


def _start(members: Sequence[Member], number: int, address: str, errors: IO[bytes]) -> subprocess.Popen:
    told = {pool.ADDRESS: address, interrupts.COMMAND: interrupts.command(), startup.TIED_TO: str(os.getpid())}
    if _base_is_made(members, number):
        told[parallel.BASE_MADE] = "1"
    return subprocess.Popen(
        [sys.executable, "-m", "harness.run", *members[number].arguments],
        env=os.environ | told,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
    )


def _reason(errors: IO[bytes], code: int) -> str:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").splitlines()
    return lines[-1].removeprefix("error: ") if lines else f"exit code {code}"


def _end(running: Sequence[subprocess.Popen], number: int) -> None:
    """Pass a signal on to runs and wait until they have ended; after a while, or a second Ctrl-C, they are killed."""
    try:
        for process in running:
            process.send_signal(number)
        deadline = time.monotonic() + END_SECONDS
        for process in running:
            process.wait(timeout=max(0.1, deadline - time.monotonic()))
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        for process in running:
            process.kill()
            process.wait()
