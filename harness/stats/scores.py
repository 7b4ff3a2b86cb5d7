"""From scored completions to one number per question, by quantity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.stats import intervals, pass_at_k, rates, seeds
from harness.stats.records import Rate
from harness.util import typed


class Judged(Protocol):
    """The fields of a scored completion that are used here."""

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

    @property
    def marked(self) -> bool: ...


class Quantity(NamedTuple):
    """One thing that is measured on every completion."""

    label: str  # in tables
    score: str  # the attribute of a scored completion whose mean it is


# By their names in files, which are also attribute names of records with one value for each.
QUANTITIES = {
    "accuracy": Quantity("Accuracy", "correct"),
    "strict": Quantity("Strict accuracy", "strict"),
    "format": Quantity("Format", "exact_format"),
    "tags": Quantity("Tags", "tags_ok"),
    "marked": Quantity("Marked answer", "marked"),
}
RIGHT_AND_MARKED = "right and marked"  # a column beside the quantities
COMPARED = ("accuracy", "strict", "format")  # those in which base and tuned are compared

# The scores of one model by quantity, and RIGHT_AND_MARKED: shape (n,), or for tuned models (s, n) with a row for each
# of several seeds.
Columns = dict[str, NDArray[np.float64]]
Scores = Sequence[Judged]  # one model's, such as `scores` of an evaluation


def per_question(scores: Scores) -> Columns:
    """Per-question scores for each quantity, shape (n,): means over the samples of a question."""
    columns = {name: [getattr(s, quantity.score) for s in scores] for name, quantity in QUANTITIES.items()}
    columns[RIGHT_AND_MARKED] = [s.correct and s.marked for s in scores]
    return {name: means(scores, values) for name, values in columns.items()}


def means(scores: Scores, values: Sequence[bool]) -> NDArray[np.float64]:
    """One value per completion as means over the samples of a question, shape (n,)."""
    return pass_at_k.question_means([score.id for score in scores], values)


def rate(values: NDArray[np.float64], count: int) -> Rate:
    """The mean of a column with its 95% interval; count: samples per question.

    The interval is Wilson's for one sample per question, else the bootstrap's of the question means, or over seeds that
    of t.
    """
    if values.ndim == 1 and count == 1:
        return Rate(method=intervals.WILSON, **typed.fields(rates.proportion(values)))
    mean = seeds.mean(values) if values.ndim == 2 else rates.mean(values)
    return Rate(value=mean.value, low=mean.low, high=mean.high, method=mean.method)
