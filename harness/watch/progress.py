"""How far a run is, read from what its stages have written: it disturbs none of them."""

from __future__ import annotations

from dataclasses import dataclass

from harness.runs import training
from harness.runs.directory import RunDir
from harness.runs.stages import Stage, complete, stages
from harness.util import locks, logs


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands."""

    state: str  # "complete", "running" or "stopped"
    stages: tuple[tuple[str, bool], ...]  # the name of each, the report last, and whether it is done
    detail: str  # how far the stage is that runs or is next; empty if nothing is known of it
    share: float | None  # of the steps that are made, if it is a training
    rewards: dict[int, list[training.Metrics]]  # the steps so far, by training seed

    @property
    def stage(self) -> str:
        """The stage that runs or is next, with its place among all; empty if the run is complete."""
        missing = [(place, name) for place, (name, done) in enumerate(self.stages, 1) if not done]
        return f"{missing[0][0]}/{len(self.stages)} {missing[0][1]}" if missing else ""


def of(run: RunDir) -> Progress:
    """Where the run stands now. Raises HarnessError if a file of it is damaged."""
    whole, planned = complete(run), stages(run)
    listed = (*((stage.name, stage.done) for stage in planned), ("report", whole))
    logged = {seed: training.metrics_log(run.train(seed)) for seed in run.config.train.seeds}
    rewards = {seed: training.read_metrics(log) for seed, log in logged.items() if log.exists()}
    running = locks.is_locked(run.path)
    state = "complete" if whole else "running" if running else "stopped"
    last = None if whole else _last_step(run, next((s for s in planned if not s.done), None), rewards)
    if last is None:
        return Progress(state, listed, logs.last_message(run.path) if state == "running" else "", None, rewards)
    steps, reward = run.config.train.steps, last.numbers.get("reward")
    detail = f"{last.step} of {steps} steps" + (f", reward {reward:.2f}" if reward is not None else "")
    return Progress(state, listed, detail, last.step / steps, rewards)


def _last_step(run: RunDir, stage: Stage | None, rewards: dict[int, list[training.Metrics]]) -> training.Metrics | None:
    """The last step that a training has made; None if the stage is none, or has made no step."""
    for seed, rows in rewards.items():
        if stage is not None and stage.outcomes == [run.adapter(seed)] and rows:
            return rows[-1]
    return None
