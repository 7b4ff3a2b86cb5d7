"""The stages of a run on a cluster: trainings side by side, and evaluations in parts side by side."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.cluster import watch, worker
from harness.cluster.pool import Pool
from harness.cluster.watch import Shown
from harness.cluster.worker import Ended, Order
from harness.models import registry
from harness.runs import machine, provenance
from harness.runs.completions import Part
from harness.runs.directory import RunDir
from harness.runs.stages import Stage, note_seconds
from harness.util import console, locks, logs
from harness.util.console import board, say
from harness.util.errors import HarnessError
from harness.util.interrupts import COMMAND, command, interruption
from harness.util.logs import LOG

BASE_MADE = "HARNESS_BASE_MADE"  # set: another run of the sweep has made the base's completions
TICK = 1.0  # seconds between two looks at the stages
END_SECONDS = 30  # for stages to end after Ctrl-C


@dataclass(frozen=True)
class Unit:
    """What one worker does: a stage, or a part of one."""

    stage: Stage
    part: Part | None = None

    @property
    def name(self) -> str:
        return self.stage.name if self.part is None else f"{self.stage.name}, part {self.part}"

    @property
    def options(self) -> list[str]:
        return [] if self.part is None else ["--part", str(self.part)]


def run_stages(run: RunDir, held: int, pool: Pool, planned: Sequence[Stage]) -> None:
    """Run those of the stages that are missing on the pool's workers, which share the run's lock (`held`, descriptor).

    Raises HarnessError if one fails; those that run beside it are not stopped.
    """
    with locks.shared(run.path, held) as token:
        for name, phase in _phases(planned):
            missing = [stage for stage in phase if not stage.done]
            if not missing:
                say(f"{name}: done already.")
                continue
            units = [unit for stage in missing for unit in _parts(run, stage, pool)]
            at_once = min(len(units), pool.room())
            say(f"{name}: {len(units)}, {at_once} at a time" if len(units) > 1 else name)
            for stage in missing:
                if not stage.trains:  # a training notes it itself, also where it goes on
                    run.note("made_with", {stage.name: provenance.made_with()})
            _work(run, units, token, pool)
            # Parts of another run, of the same base, may have kept the last of ours from joining them.
            _work(run, [Unit(stage) for stage in missing if not stage.done], token, pool)
            if lost := next((stage for stage in missing if not stage.done), None):
                raise HarnessError(f"the {lost.name} ended without writing {lost.outcomes[0]}; run again")


def _phases(planned: Sequence[Stage]) -> Iterator[tuple[str, list[Stage]]]:
    """The stages that may run side by side, in order, each group with its name."""
    for training, group in itertools.groupby(planned, lambda stage: stage.trains):
        together = list(group)
        if training:
            yield ("trainings" if together[1:] else together[0].name), together
        else:
            yield from ((stage.name, [stage]) for stage in together)


def _parts(run: RunDir, stage: Stage, pool: Pool) -> list[Unit]:
    section = run.config.eval
    if stage.command[0] != "harness.evaluate" or not registry.kind(section).divides(section):
        return [Unit(stage)]
    if stage.command[-1] == "elicit" or (stage.command[-1] == "base" and BASE_MADE in os.environ):
        return [Unit(stage)]
    count = run.config.cluster.parts or pool.room()
    return [Unit(stage, Part(number, count)) for number in range(1, count + 1)] if count > 1 else [Unit(stage)]


def _work(run: RunDir, units: Sequence[Unit], token: str, pool: Pool) -> None:
    """Run units side by side and wait for all. Raises HarnessError for the first that failed."""
    if not units:
        return
    since = logs.size(run.path)
    waiting = {pool.start(_order(run, unit, token, pool.share), _gpus(run, unit)): unit for unit in units}
    failed: dict[str, str] = {}
    try:
        with board("") as show:
            while waiting:
                for task, how in pool.ended(list(waiting), TICK):
                    unit = waiting.pop(task)
                    if reason := _ended(run, unit, how, since):
                        failed[unit.name] = reason
                show(watch.rows([Shown(run.path.name, run, "waiting for a worker")]))
    except BaseException:
        pool.stop(list(waiting))
        _wait_for_the_end(run)
        if stopped := interruption():
            stopped.where = stopped.where or ", ".join(unit.name for unit in waiting.values())
        raise
    if failed:
        name, reason = next(iter(failed.items()))
        others = f" ({len(failed)} of {len(units)} failed)" if len(failed) > 1 else ""
        raise HarnessError(f"the {name} failed{others}: {reason}")


def _gpus(run: RunDir, unit: Unit) -> int:
    """The GPUs of a unit, or, for one, the share of a GPU that every unit has."""
    return run.config.train.processes if unit.stage.command[0] == "harness.train" else 1


def _order(run: RunDir, unit: Unit, token: str, share: float) -> Order:
    file = locks.part_file(run.path, unit.name).resolve()
    file.parent.mkdir(exist_ok=True)
    shown = file.with_suffix(".json")
    shown.unlink(missing_ok=True)  # of an earlier attempt
    module, *options = unit.stage.command
    told = {
        locks.HELD: str((run.path / locks.NAME).resolve()),
        locks.TOKEN: token,
        locks.PART: unit.name,
        console.SHOWN: str(shown),
        machine.SHARE: str(share),
        COMMAND: command(),
    }
    return Order(
        arguments=("-m", module, str(run.path.resolve()), *options, *unit.options),
        folder=os.getcwd(),
        environment=worker.environment() | told,
        errors=str(file.with_suffix(".err")),
    )


def _ended(run: RunDir, unit: Unit, how: Ended | str, since: int) -> str | None:
    """Note what a unit took; returns why it failed, None if it did not."""
    if isinstance(how, str):
        return how
    note_seconds(run, unit.name, how.seconds)
    LOG.info("%s: %.1f s, exit code %d", unit.name, how.seconds, how.code)
    if not how.code:
        return None
    errors = locks.part_file(run.path, unit.name).with_suffix(".err")
    return logs.last_error(run.path, since) or f"exit code {how.code}; {errors} may say why"


def _wait_for_the_end(run: RunDir) -> None:
    """Return when no stage of the run is left, so that the same command can begin at once."""
    deadline = time.monotonic() + END_SECONDS
    while locks.parts(run.path) and time.monotonic() < deadline:
        time.sleep(0.1)
