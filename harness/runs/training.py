"""Files that a training writes next to its weights: metrics, dropped prompts, and its effective settings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.stats.drift import Drift, drift
from harness.util import files, typed
from harness.util.errors import HarnessError, in_short

EQUAL_GROUPS = "groups/equal_rewards"  # share of a rollout's groups without two rewards that differ: nothing to learn
UNREWARDED = "completions/unrewarded"  # share of a rollout's completions to which no function gave a reward
ROLLOUT = "rollout/"  # before the quantities of harness.stats.scores, in the metrics: shares of a rollout's completions
Numbers = dict[str, int | float | bool | None]  # by the trainer's names; None: not a finite number


@dataclass(frozen=True, slots=True)
class Metrics:
    """What the trainer logged for one step."""

    step: int  # from 1
    numbers: Numbers


@dataclass(frozen=True, slots=True)
class LongPrompt:
    """A training prompt over the limit."""

    id: str  # of the problem
    tokens: int


@dataclass(frozen=True, slots=True)
class DroppedPrompts:
    """The training prompts that were left out because they are too long."""

    limit: int  # tokens
    of: int  # training problems
    dropped: tuple[LongPrompt, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of the trainer, as asked for and as its libraries have it; values as JSON."""

    asked: object
    effective: object


@dataclass(frozen=True, slots=True)
class Stopped:
    """stopped.json: a training that ended before its last step because its reward rose while accuracy fell."""

    step: int  # the last that was done, from 1
    drift: Drift


class Watched:
    """Reward and accuracy of the rollouts, step by step: what is watched while a training runs, and read afterwards.

    A step without a rollout of its own (num_iterations), or whose reward is not a finite number, is left out.
    """

    def __init__(self, rows: Iterable[Metrics] = ()) -> None:
        self.steps: list[int] = []
        self.rewards: list[float] = []
        self.accuracies: list[float] = []
        for row in rows:
            self.add(row)

    def add(self, row: Metrics) -> bool:
        """Take a step in; whether it has both numbers."""
        reward, accuracy = row.numbers.get("reward"), row.numbers.get(f"{ROLLOUT}accuracy")
        if reward is None or accuracy is None:
            return False
        self.steps.append(row.step)
        self.rewards.append(reward)
        self.accuracies.append(accuracy)
        return True

    def drift(self, steps: int) -> Drift | None:
        """As stats.drift.drift, in a training of `steps` rollouts; its step is one of the training."""
        found = drift(self.rewards, self.accuracies, steps)
        return found and replace(found, step=self.steps[found.step - 1])


def metrics_log(folder: Path) -> Path:
    """Where the training in this folder logs its metrics."""
    return folder / "metrics.jsonl"


def read_metrics(log: Path, after: int = 0) -> list[Metrics]:
    """The rows of a metrics.jsonl without its first `after`. Raises HarnessError naming a line that is not a row."""
    rows = []
    for number, row in enumerate(typed.read_lines(Numbers, log, after), after + 1):
        step = row.pop("step", None)
        if not isinstance(step, int):
            raise HarnessError(f"{log} line {number}: step is missing; delete the file and run again")
        rows.append(Metrics(step, row))
    return rows


def append_metrics(log: Path, row: Metrics) -> None:
    files.append_lines(log, [_line(row)])


def write_metrics(log: Path, rows: list[Metrics]) -> None:
    """Replace the log by these rows, atomically."""
    files.write_lines(log, [_line(row) for row in rows])


def _line(row: Metrics) -> Numbers:
    return {"step": row.step} | row.numbers


def rollouts_file(folder: Path) -> Path:
    """Where the training in this folder keeps some of its completions."""
    return folder / "completions.parquet"


def read_rollouts(folder: Path, after: int = 0) -> list[dict[str, Any]]:
    """The completions that the training in this folder kept, of the steps after this one.

    A row has step, problem_id, question, gold, completion, tokens, reward and a column for each reward function; a
    function that gave none has None there, and a completion without any has the reward None. Raises HarnessError if the
    file cannot be read.
    """
    import pyarrow.parquet  # not at the top: it takes a quarter of a second

    file = rollouts_file(folder)
    try:
        return pyarrow.parquet.read_table(file, filters=[("step", ">", after)]).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise HarnessError(f"{file}: cannot be read ({in_short(error)}); run the experiment again to make it") from None


def read_dropped(folder: Path) -> DroppedPrompts:
    """Which prompts the training in this folder left out. Raises HarnessError as typed.read."""
    return typed.read(DroppedPrompts, folder / "dropped_prompts.json")


def write_dropped(folder: Path, dropped: DroppedPrompts) -> None:
    files.write_json(folder / "dropped_prompts.json", typed.plain(dropped))


def read_stopped(folder: Path) -> Stopped | None:
    """How the training in this folder was stopped; None if it was not. Raises HarnessError as typed.read."""
    file = stopped_file(folder)
    return typed.read(Stopped, file) if file.exists() else None


def write_stopped(folder: Path, stopped: Stopped | None) -> None:
    if stopped is None:  # an earlier attempt may have been
        stopped_file(folder).unlink(missing_ok=True)
    else:
        files.write_json(stopped_file(folder), typed.plain(stopped))


def stopped_file(folder: Path) -> Path:
    return folder / "stopped.json"


def write_settings(folder: Path, settings: dict[str, Setting]) -> None:
    files.write_json(folder / "effective_settings.json", typed.plain(settings))
