"""Log-probs of a few prompts, and how far two models' changes of them agree; for adapter proof and export check."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

PROBES = 16  # prompts scored


@torch.inference_mode()
def log_probs(model: torch.nn.Module, probes: Sequence[Sequence[int]], start: int) -> np.ndarray:
    """Log-probs (nats) of the tokens from position `start` on, of all probes in one row; run one by one, unpadded."""
    rows = []
    for probe in probes:
        ids = torch.tensor([list(probe)], device=next(model.parameters()).device)
        table = torch.log_softmax(model(input_ids=ids, use_cache=False).logits[0, :-1].float(), -1)
        rows.append(table.gather(-1, ids[0, 1:, None])[:, 0].tolist())
    return tail(rows, start)


def common_prefix(probes: Sequence[Sequence[int]]) -> int:
    """How many leading tokens all probes share; at most all but one of the shortest."""
    shared = 0
    for column in zip(*probes, strict=False):
        if len(set(column)) > 1:
            break
        shared += 1
    return min(shared, min(map(len, probes)) - 1) if len(probes) > 1 else 1


def tail(rows: Sequence[Sequence[float]], start: int) -> np.ndarray:
    """The log-probs of the tokens from position `start` on; a row's first value is that of token 1."""
    return np.concatenate([np.asarray(row[max(start, 1) - 1 :], dtype=float) for row in rows])


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's r; 0 if one of the two does not vary."""
    if x.std() == 0 or y.std() == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])
