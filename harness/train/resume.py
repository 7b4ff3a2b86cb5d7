"""Resume points of a training: when one is saved, which are kept, and the last one that is whole.

A point is a folder checkpoint-<step> of the trainer. When it is on the disk, `complete` is written into it: size and
SHA-256 of each of its files. A point is whole if they are all as it says, and if the training's own records reach its
step. From one that is not, a resumed training would end with other numbers, so an earlier one is taken instead.
"""

from __future__ import annotations

import math
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from accelerate import PartialState
from transformers import TrainerCallback

from harness.config import card
from harness.config.schema import Config
from harness.runs import training
from harness.train import ranks
from harness.train.recorder import Recorder
from harness.util import files, typed
from harness.util.console import say
from harness.util.errors import HarnessError
from harness.util.files import file_hash

COMPLETE = "complete"  # a resume point without this file was being written when the process died
NAME = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True, slots=True)
class SavedFile:
    size: int  # bytes
    sha256: str  # in hex


@dataclass(frozen=True, slots=True)
class Complete:
    """What a resume point consists of."""

    files: dict[str, SavedFile]  # by name


class ResumePoints(TrainerCallback):
    """Saves every resume_every and every save_steps steps; of the former only the last is kept."""

    def __init__(self, config: Config, seed: int, folder: Path, recorder: Recorder) -> None:
        t = config.train
        self.config, self.seed = config, seed
        # Several steps may share a rollout (num_iterations); between them the trainer has state that is not saved.
        self.every = math.ceil(t.resume_every / t.num_iterations) * t.num_iterations
        self.keep = t.save_steps
        self.folder, self.recorder = folder, recorder

    def on_step_end(self, args, state, control, **kwargs):
        step = state.global_step
        if step % self.every == 0 or step % self.keep == 0:
            control.should_save = True
        return control

    def on_save(self, args, state, control, **kwargs):
        PartialState().wait_for_everyone()  # each process has written its own part
        if not ranks.is_first():
            return
        self.recorder.save()
        current = self.folder / f"checkpoint-{state.global_step}"
        # Instead of PEFT's and TRL's, which are blank and name the base by its local path.
        files.write_text(current / card.NAME, card.trained(self.config, self.seed, state.global_step))
        (self.folder / card.NAME).unlink(missing_ok=True)
        seal(current)
        for step, other in points(self.folder).items():
            if other != current and (step % self.keep or step > state.global_step):
                shutil.rmtree(other)


def seal(point: Path) -> None:
    """Put a resume point on the disk, and then, atomically, the file that says what it consists of."""
    files.sync(point)
    saved = {file.name: SavedFile(file.stat().st_size, file_hash(file)) for file in sorted(point.iterdir())}
    files.write_json(point / COMPLETE, typed.plain(Complete(saved)))


def points(folder: Path) -> dict[int, Path]:
    """The resume points by their step, ascending; what has another name is none."""
    found = [(NAME.fullmatch(point.name), point) for point in folder.glob("checkpoint-*") if point.is_dir()]
    return dict(sorted((int(match[1]), point) for match, point in found if match))


def step_of(point: Path) -> int:
    """The step after which a checkpoint-<step> folder was saved."""
    return int(point.name.partition("-")[2])


def last_resume_point(folder: Path, iterations: int = 1) -> Path | None:
    """The last whole resume point of the training in this folder; those that are not are removed, with a line.

    iterations: steps that share their rollouts (num_iterations). None: the training starts from the beginning.
    """
    found = points(folder / "checkpoints")
    for step, point in reversed(found.items()):
        if (reason := broken(point)) is None and (reason := _unrecorded(folder, step, iterations)) is None:
            return point
        if (point / COMPLETE).exists():  # else the process died while it was written, which needs no line
            earlier = [other for other in found if other < step]
            back = f"from step {max(earlier)}" if earlier else "from the beginning"
            say(f"The resume point of step {step} is not whole ({reason}); the training goes on {back}, if that is.")
        shutil.rmtree(point)
    return None


def broken(point: Path) -> str | None:
    """What of a resume point is not as it was saved; None if it is whole."""
    try:
        saved = typed.read(Complete, point / COMPLETE).files
    except HarnessError as error:
        return str(error).removeprefix(f"{point}/")
    for name, file in saved.items():
        held = point / name
        if not held.is_file():
            return f"{name} is missing"
        if held.stat().st_size != file.size or file_hash(held) != file.sha256:
            return f"{name} has changed"
    return None


def _unrecorded(folder: Path, step: int, iterations: int) -> str | None:
    """Which of the training's records does not hold every step up to this one; None if all do."""
    try:
        logged = [row.step for row in training.read_metrics(training.metrics_log(folder)) if row.step <= step]
        kept = {row["step"] for row in training.read_rollouts(folder) if row["step"] <= step}
    except HarnessError as error:
        return str(error)
    if logged != list(range(1, step + 1)):
        return f"metrics.jsonl has {len(logged)} of its {step} steps"
    if kept != set(range(1, step + 1, iterations)):
        return f"completions.parquet has {len(kept)} of its {math.ceil(step / iterations)} rollouts"
    return None
