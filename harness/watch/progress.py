"""How far a run is, read from what its stages have written: it disturbs none of them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from harness.runs import training
from harness.runs.directory import RunDir
from harness.runs.stages import complete, stages
from harness.util import locks, logs
from harness.util.console import duration


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands."""

    state: str  # "complete", "running" or "stopped"
    stages: tuple[tuple[str, bool], ...]  # the name of each, the report last, and whether it is done
    detail: str  # how far the stage is that runs or is next; empty if nothing is known of it
    share: float | None  # of the steps that are made, if it is a training
    rewards: dict[str, list[training.Metrics]]  # the steps so far, by training

    @property
    def stage(self) -> str:
        """The stage that runs or is next, with its place among all; empty if the run is complete."""
        missing = [(place, name) for place, (name, done) in enumerate(self.stages, 1) if not done]
        return f"{missing[0][0]}/{len(self.stages)} {missing[0][1]}" if missing else ""


def of(run: RunDir) -> Progress:
    """Where the run stands now. Raises HarnessError if a file of it is damaged."""
    whole, planned = complete(run), stages(run)
    listed = (*((stage.name, stage.done) for stage in planned), ("report", whole))
    trained = {arm.label(seed): (arm, seed) for arm in run.arms for seed in run.config.train.seeds}
    logged = {label: training.metrics_log(arm.train(seed)) for label, (arm, seed) in trained.items()}
    rewards = {label: training.read_metrics(log) for label, log in logged.items() if log.exists()}
    running = locks.is_locked(run.path)
    state = "complete" if whole else "running" if running else "stopped"
    missing = next((stage for stage in planned if not stage.done), None)
    now = [label for label, (arm, seed) in trained.items() if missing and missing.outcomes == [arm.adapter(seed)]]
    if not (now and (rows := rewards.get(now[0]))):
        return Progress(state, listed, logs.last_message(run.path) if state == "running" else "", None, rewards)
    steps, reward = run.config.train.steps, rows[-1].numbers.get("reward")
    detail = f"{rows[-1].step} of {steps} steps" + (f", reward {reward:.2f}" if reward is not None else "")
    seconds = [row.numbers["step_time"] for row in rows if row.numbers.get("step_time")]
    if running and seconds:  # the first step is slower than the others
        detail += f", {duration((steps - rows[-1].step) * statistics.median(seconds))} left"
    return Progress(state, listed, detail, rows[-1].step / steps, rewards)
