"""The stages of a run: the files that each makes, and how one is run as a process under the run's lock."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.runs import curve, machine
from harness.runs.directory import RunDir
from harness.util import locks, processes
from harness.util.console import say, show_cursor
from harness.util.errors import HarnessError
from harness.util.interrupts import Stopped
from harness.util.logs import LOG

RELEASE_SECONDS = 15  # for the driver to free the memory of a stage that has ended
HELD_GIB = 0.3  # allowance for memory that other programs take in the meantime


@dataclass(frozen=True)
class Stage:
    name: str
    outcomes: list[Path]  # the stage is done when all of them exist
    command: list[str]  # module and options

    @property
    def trains(self) -> bool:
        return self.command[0] == "harness.train"

    @property
    def done(self) -> bool:
        return all(outcome.exists() for outcome in self.outcomes)


def stages(run: RunDir) -> list[Stage]:
    """The stages before the report, in order."""
    seeds, section = run.config.train.seeds, run.config.eval
    asked = [run, *run.further]
    base = [each.base / "result.json" for each in asked]
    found = [Stage("base evaluation", base, ["harness.evaluate", "--side", "base"])]
    if section.noise_floor:  # the base evaluation makes it too; this is for a base that was evaluated without it
        found.append(Stage("base again", [run.again / "result.json"], ["harness.evaluate", "--side", "again"]))
    if section.elicit:
        found.append(Stage("elicited base", [run.elicited / "result.json"], ["harness.evaluate", "--side", "elicit"]))
    for arm in run.arms:
        option = ["--control"] if arm is not run else []
        for seed in seeds:
            name = f"training ({arm.label(seed)})" if len(seeds) > 1 or option else "training"
            found.append(Stage(name, [arm.adapter(seed)], ["harness.train", "--seed", str(seed), *option]))
    if section.curve:
        curves = [run.curve(seed) / curve.NAME for seed in seeds]
        found.append(Stage("learning curve", curves, ["harness.evaluate", "--side", "curve"]))
    tuned = [each.tuned(seed) / "result.json" for each in (*run.arms, *run.further) for seed in seeds]
    return [*found, Stage("tuned evaluation", tuned, ["harness.evaluate", "--side", "tuned"])]


def complete(run: RunDir) -> bool:
    return run.report.exists() and run.summary.exists() and all(stage.done for stage in stages(run))


def state_of(run: RunDir) -> str:
    """How far the run is: "complete", "begun" or "new"."""
    return "complete" if complete(run) else "begun" if run.settings.exists() else "new"


def free_memory() -> str:
    """The free memory of the first GPU, which all stages use, for the line that announces a stage."""
    return "".join(f"; {gpu.name}: {gpu.free:.1f} of {gpu.total:.1f} GiB free" for gpu in machine.gpus()[:1])


def clear_up(before: list[machine.Gpu], ours: set[psutil.Process]) -> None:
    """End the processes that a stage left running, and return when its GPU memory is free again.

    `ours` are the processes from before the stage; they are not ended. If the memory is not freed after a while, a
    line says so: then another program has taken it, and the next stage may still fit.
    """
    if left := processes.end_descendants(spared=ours):
        say(f"Ended processes that the stage had left running: {', '.join(left)}.")
    deadline = time.monotonic() + RELEASE_SECONDS
    while before and (now := machine.gpus()) and (held := before[0].free - now[0].free) > HELD_GIB:
        if time.monotonic() > deadline:
            say(
                f"{before[0].name}: {held:.1f} GiB less memory is free than before the stage; "
                f"nvidia-smi shows which process holds it."
            )
            return
        time.sleep(0.2)


def start(run: RunDir, held: int | None, stage: Stage) -> int:
    """Run one stage as a process under the run's lock, note its time, and clear up after it; returns its exit code.

    Raises HarnessError if it was killed or did not write its outcome.
    """
    module, *options = stage.command
    processes.adopt_orphans()
    began, gpus, ours = time.perf_counter(), machine.gpus(), processes.descendants()
    code = None
    try:
        code = processes.run(
            ["-m", module, str(run.path), *options],
            stage_environment(run),
            pass_fds=[held] if held is not None else [],
        )
    except Stopped as stopped:
        stopped.where = stage.name
        raise
    finally:
        seconds = time.perf_counter() - began
        # A stage that found the disk full has said so.
        with contextlib.suppress(OSError) if code != 0 else contextlib.nullcontext():
            note_seconds(run, stage.name, seconds)
        show_cursor()
        clear_up(gpus, ours)
    LOG.info("%s: %.1f s, exit code %d", stage.name, seconds, code)
    if code < 0:
        cause = signal.Signals(-code).name
        hint = "; the machine may be out of memory" if cause == "SIGKILL" else ""
        raise HarnessError(f"the {stage.name} was ended by {cause}{hint}; the same command resumes from here")
    if not code and not stage.done:
        raise HarnessError(f"the {stage.name} ended without writing {stage.outcomes[0]}; run again")
    return code


def note_seconds(run: RunDir, name: str, seconds: float) -> None:
    """Add to the wall time that a stage has taken."""
    before = run.read_manifest().wall_seconds.get(name, 0)
    run.note("wall_seconds", {name: round(before + seconds, 1)})


def stage_environment(run: RunDir) -> dict[str, str]:
    """The environment of a stage that is started under the run's lock."""
    return os.environ | {locks.HELD: str((run.path / ".lock").resolve())}
