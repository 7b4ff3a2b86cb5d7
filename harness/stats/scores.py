"""From scored completions to one number a question, by quantity."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.stats import intervals, pass_at_k, rates, seeds
from harness.stats.records import Rate


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


class Quantity(NamedTuple):
    """One thing that is asked of every completion."""

    label: str  # in tables
    score: str  # the attribute of a scored completion that it is the mean of


# By the name that they have in files, and as attributes of what holds one value for each.
QUANTITIES = {
    "accuracy": Quantity("Accuracy", "correct"),
    "strict": Quantity("Strict accuracy", "strict"),
    "format": Quantity("Format", "exact_format"),
    "tags": Quantity("Tags", "tags_ok"),
}
COMPARED = ("accuracy", "strict", "format")  # those of which base and tuned are compared

# The scores of a side by quantity: shape (n,), or of tuned models (s, n) with a row for each of several seeds.
Columns = dict[str, NDArray[np.float64]]
Scores = Sequence[Judged]  # one side's, such as `scores` of an evaluation


def per_question(scores: Scores) -> Columns:
    """Per-question scores for each quantity, shape (n,): means over the samples of a question."""
    return {name: means(scores, [getattr(s, quantity.score) for s in scores]) for name, quantity in QUANTITIES.items()}


def means(scores: Scores, values: Sequence[bool]) -> NDArray[np.float64]:
    """One value a completion as means over the samples of a question, shape (n,)."""
    return pass_at_k.question_means([score.id for score in scores], values)


def rate(values: NDArray[np.float64], count: int) -> Rate:
    """The mean of a column with its 95% interval; count: samples a question.

    The interval is Wilson's for one sample a question, else the bootstrap's of question means, or t over seeds.
    """
    if values.ndim == 1 and count == 1:
        return Rate(method=intervals.WILSON, **dataclasses.asdict(rates.proportion(values)))
    mean = seeds.mean(values) if values.ndim == 2 else rates.mean(values)
    return Rate(value=mean.value, low=mean.low, high=mean.high, method=mean.method)
