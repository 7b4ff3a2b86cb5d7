"""What an export kept of a training: its log-prob changes on probe prompts, held against the training's own.

Stored weights are rounded, and what a short training added to a weight can be smaller than the distance to the next
number of the format: such an export answers as the base does. So the change that the stored weights make (exported
minus base, the base rounded in the same way) is compared, token by token, with the change that was trained.
Both are computed in float32: what is asked is what the weights hold, and the rounding of activations, which every model
in 16 bits has, would hide it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence

import numpy as np
import torch
from peft import PeftModel

from harness.config import plugins
from harness.export.record import Check
from harness.models import prompts
from harness.models.hf_engine import load_base
from harness.models.probes import PROBES, common_prefix, correlation, log_probs
from harness.models.trained import Trained

# An export still is what was trained where its changes correlate at least KEPT with the training's and are as large,
# within SIZE. Of small changes the correlation alone does not see half of them missing, nor rounding's bias: a base's
# own weights are numbers of its format, and what is added stays below half a step of many of them.
KEPT = 0.9
SIZE = (0.8, 1.25)
ROWS = 4096  # of a matrix that are rounded at a time: the whole of an embedding, rounded, would take gigabytes more

Probes = Sequence[Sequence[int]]


def probes(trained: Trained) -> list[list[int]]:
    """The first of the evaluation's prompts, as token ids. Raises HarnessError where the data cannot be had."""
    config = trained.run.config
    questions = prompts.prepare(config, plugins.task(config).load(config.data.source()))
    return [list(prompt.ids) for prompt in questions.prompts[:PROBES]]


def measure(
    trained: Trained,
    exported: Callable[[], torch.nn.Module | None],
    rounded: Callable[[torch.Tensor], torch.Tensor],
    asked: Probes,
) -> Check | None:
    """Hold an export against what was trained; None where it cannot be loaded. One model is in memory at a time.

    `exported` loads it, in float32, or returns None; `rounded` does to a weight of the base, in float32, what the
    format of the export does to it.
    """
    start = common_prefix(asked)
    if (model := exported()) is None:
        return None
    again = log_probs(_placed(model), asked, start)
    del model
    own, base_rounded = _changes(trained, rounded, asked, start)
    kept = again - base_rounded
    return Check(
        probes=len(asked),
        tokens=len(own),
        correlation=correlation(own, kept),
        size=float(own @ kept / (own @ own)) if own.any() else 0.0,
        trained_change=float(np.abs(own).mean()),
        exported_change=float(np.abs(kept).mean()),
    )


def _changes(
    trained: Trained, rounded: Callable[[torch.Tensor], torch.Tensor], asked: Probes, start: int
) -> tuple[np.ndarray, np.ndarray]:
    """The log-prob changes that were trained, and the log-probs of the base as the export's format rounds it."""
    model = _placed(load_base(trained.base, "fp32"))
    before = log_probs(model, asked, start)
    if not trained.full:
        with_adapter = PeftModel.from_pretrained(model, trained.path).eval()
        after = log_probs(with_adapter, asked, start)
        model = with_adapter.unload()
    with torch.no_grad():
        for weight in model.parameters():
            for rows in weight.split(ROWS):
                rows.copy_(rounded(rows))
    base_rounded = log_probs(model, asked, start)
    if trained.full:
        del model
        after = log_probs(_placed(load_base(trained.model, "fp32")), asked, start)
    return after - before, base_rounded


def _placed(model: torch.nn.Module) -> torch.nn.Module:
    gc.collect()  # what held the model before this one may be a cycle
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
