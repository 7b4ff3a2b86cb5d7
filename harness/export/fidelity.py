"""How well an export keeps a training: its log-prob changes on probe prompts, compared with the training's own.

Stored weights are rounded, and what a short training added to a weight can be smaller than the distance to the next
number of the format: such an export answers as the base does. So the change by the stored weights (exported minus
base, the base rounded in the same way) is compared, token by token, with the change by the training. Both are computed
in float32: this is a check of the weights, and the rounding of activations in 16 bits would hide their effect.
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

# An export passes if its changes correlate at least KEPT with the training's and have the same size, within SIZE. The
# correlation alone would not show if half of many small changes were missing, nor a bias of the rounding: a base's
# weights are exact in its format, and the training adds less than half a step to many of them.
KEPT = 0.9
SIZE = (0.8, 1.25)
ROWS = 4096  # rows of a matrix that are rounded at a time: rounding a whole embedding would take gigabytes more

Probes = Sequence[Sequence[int]]


def probes(trained: Trained) -> list[list[int]]:
    """The first of the evaluation's prompts, as token ids. Raises HarnessError if the data cannot be loaded."""
    config = trained.run.config
    questions = prompts.prepare(config, plugins.task(config).load(config.data.source()))
    return [list(prompt.ids) for prompt in questions.prompts[:PROBES]]


def measure(
    trained: Trained,
    exported: Callable[[], torch.nn.Module | None],
    rounded: Callable[[torch.Tensor], torch.Tensor],
    asked: Probes,
) -> Check | None:
    """Compare an export with the training; None if it cannot be loaded. Only one model is in memory at a time.

    `exported` loads it, in float32, or returns None; `rounded` rounds a weight of the base, in float32, as the format
    of the export does.
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
    """The log-prob changes by the training, and the log-probs of the base rounded to the export's format."""
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
    gc.collect()  # the previous model may be held by a reference cycle
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
