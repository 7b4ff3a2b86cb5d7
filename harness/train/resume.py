"""Resume points of a training: when one is saved, which are kept, and the last complete one."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from transformers import TrainerCallback

from harness.config.schema import Config
from harness.train.recorder import Recorder
from harness.util import files

COMPLETE = "complete"  # a resume point without this file was being written when the process died


# --- resume points --------------------------------------------------------------------------------------------


class ResumePoints(TrainerCallback):
    """Saves every resume_every and every save_steps steps; of the former only the last is kept."""

    def __init__(self, config: Config, folder: Path, recorder: Recorder) -> None:
        t = config.train
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
        self.recorder.save()
        current = self.folder / f"checkpoint-{state.global_step}"
        files.write_text(current / COMPLETE, "")
        for other in self.folder.glob("checkpoint-*"):
            step = step_of(other)
            if other != current and (step % self.keep or step > state.global_step):
                shutil.rmtree(other)


def step_of(point: Path) -> int:
    """The step after which a checkpoint-<step> folder was saved."""
    return int(point.name.partition("-")[2])


def last_resume_point(folder: Path) -> Path | None:
    """The last complete resume point; incomplete ones are removed."""
    points = {step_of(point): point for point in folder.glob("checkpoint-*")}
    for step in [step for step, point in points.items() if not (point / COMPLETE).exists()]:
        shutil.rmtree(points.pop(step))
    return points[max(points)] if points else None
