"""The stages of a run, one after the other, each in its own process, and then the report."""

from __future__ import annotations

import time

from harness.cluster import parallel, pool
from harness.cost import estimate
from harness.report import write
from harness.run.inputs import asked, check_inputs, local_inputs
from harness.runs import comparable, directory, machine, provenance, seals
from harness.runs.directory import RunDir
from harness.runs.manifest import Seeds
from harness.runs.stages import complete, free_memory, stages, start
from harness.track import follow
from harness.util import files, locks, logs
from harness.util.console import say, working
from harness.util.interrupts import command
from harness.util.logs import LOG
from harness.util.text import one_line


def run(run: RunDir) -> int:
    """Check the inputs, then do what is missing under the run's lock; returns the exit code. Raises HarnessError.

    A complete run is only shown.
    """
    if is_done(run):
        say(f"{one_line(str(run.path))}: complete, nothing to do.\n")
        write.show(run)
        return 0
    comparable.check_choice(run)
    if run.config.cluster.scheduler == "ray":
        pool.check_installed()
    if new := not run.settings.exists():
        data = check_inputs(run.config)
        directory.begin(run)
    with locks.lock(run.path) as held:
        if not new:
            data = check_inputs(run.config)
        logs.keep(run.path, "run")
        LOG.info("started: %s", command())
        for line in estimate.lines(run.config, data, machine.gpus()):
            say(line)
        say(f"Evaluation: {asked(run.config, data)}, before and after the training.")
        seals.mend(run)
        run.pin_control()
        # Settings outside the digest may have changed since the run began: the stages read them from here.
        files.write_text(run.settings, run.config.to_yaml())
        return follow.following(run, held, lambda: execute(run, held))


def is_done(run: RunDir) -> bool:
    """Whether a run is complete and whole. Raises HarnessError if it is, and what its numbers are valid for changed."""
    if not (complete(run) and seals.whole(run)):
        return False
    comparable.check_choice(run)
    run.pin(local_inputs(run.config))
    run.pin_control()
    return True


def execute(run: RunDir, held: int | None) -> int:
    """Run the missing stages, and report; returns the exit code of the first that failed.

    `held` is the descriptor of the run's lock, which the stages inherit or share.
    """
    began = time.perf_counter()
    run.note("seeds", Seeds(tuple(run.config.train.seeds), run.config.lora.seed, run.config.eval.seed))
    if run.config.cluster.scheduler == "ray":
        with pool.joined(run.config.cluster, run.path.parent) as workers:
            parallel.run_stages(run, held, workers, stages(run))
    elif code := _one_by_one(run, held):
        return code
    count = len(stages(run)) + 1
    say(f"[{count}/{count}] report")
    with working("report"):
        write.write(run)
    say(f"All stages: {time.perf_counter() - began:.0f} s.\n")
    write.show(run)
    return 0


def _one_by_one(run: RunDir, held: int | None) -> int:
    """Run the missing stages on this machine, one after the other; returns the exit code of the first that failed."""
    planned = stages(run)
    for number, stage in enumerate(planned, 1):
        place = f"[{number}/{len(planned) + 1}]"
        if stage.done:
            say(f"{place} {stage.name}: done already.")
            continue
        say(f"{place} {stage.name}{free_memory()}")
        if not stage.trains:  # a training notes it itself, also where it goes on
            run.note("made_with", {stage.name: provenance.made_with()})
        if code := start(run, held, stage):
            return code
    return 0
