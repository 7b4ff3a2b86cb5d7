"""From scored completions to one number a question, by quantity."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.stats import intervals, pass_at_k, rates, seeds
from harness.util.typed import OMITTED


class Judged(Protocol):
    """What is asked of a scored completion."""

    @property
    def id(self) -> str:
        """The question that it answers."""

    @property
    def correct(self) -> bool: ...

    @property
    def strict(self) -> bool: ...

    @property
    def exact_format(self) -> bool: ...

    @property
    def tags_ok(self) -> bool: ...


# The attribute of a scored completion that each quantity is the mean of.
QUANTITIES = {"accuracy": "correct", "strict": "strict", "format": "exact_format", "tags": "tags_ok"}
COMPARED = ("accuracy", "strict", "format")

# The scores of a side by quantity: shape (n,), or of tuned models (s, n) with a row for each of several seeds.
Columns = dict[str, NDArray[np.float64]]
Scores = Sequence[Judged]  # one side's, such as `scores` of an evaluation


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What `rate` finds, as files hold it: a mean with its 95% interval, as proportions."""

    value: float
    low: float
    high: float
    method: str  # how the interval was made
    # With one sample a question and one training, else None:
    k: int | None = field(default=None, metadata=OMITTED)  # questions for which it holds, of n
    n: int | None = field(default=None, metadata=OMITTED)
    bootstrap_low: float | None = field(default=None, metadata=OMITTED)  # the exact bootstrap's interval, beside it
    bootstrap_high: float | None = field(default=None, metadata=OMITTED)


def per_question(scores: Scores) -> Columns:
    """Per-question scores for each quantity, shape (n,): means over the samples of a question."""
    return {name: means(scores, [getattr(score, field) for score in scores]) for name, field in QUANTITIES.items()}


def means(scores: Scores, values: Sequence[bool]) -> NDArray[np.float64]:
    """One value a completion as means over the samples of a question, shape (n,)."""
    return pass_at_k.question_means([score.id for score in scores], values)


def rate(values: NDArray[np.float64], count: int) -> dict[str, Any]:
    """The mean of a column with its 95% interval as plain values; count: samples a question.

    The interval is Wilson's for one sample a question, else the bootstrap's of question means, or t over seeds.
    """
    if values.ndim == 1 and count == 1:
        return dataclasses.asdict(rates.proportion(values)) | {"method": intervals.WILSON}
    mean = seeds.mean(values) if values.ndim == 2 else rates.mean(values)
    return {name: getattr(mean, name) for name in ("value", "low", "high", "method")}
