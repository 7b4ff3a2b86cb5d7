"""Numbers of a summary as the text, table cells and chart marks that report, page and comparison share."""

from __future__ import annotations

from harness.report.charts import Mark
from harness.report.summary import Summary
from harness.stats.finding import change, in_points, spell_p
from harness.stats.records import Difference, Estimate, PairedRecord, SeedsRecord
from harness.stats.seeds import OVER_SEEDS


def points(difference: Estimate) -> str:
    """A difference in points with its interval, with real minus signs."""
    return change(difference)


def points_text(difference: Estimate) -> str:
    """The same in ASCII."""
    return change(difference).replace("−", "-")


def rate_text(rate: Estimate) -> str:
    """A rate in percent with its interval."""
    value, low, high = in_points(rate.value, rate.low, rate.high)
    return f"{value}% [{low}, {high}]"


def mark(series: str, estimate: Estimate, text: str) -> Mark:
    return Mark(series, 100 * estimate.value, 100 * estimate.low, 100 * estimate.high, text)


def difference_mark(difference: Difference) -> Mark:
    """A mark in a chart of differences: "unclear" if the interval contains 0."""
    certain = difference.low > 0 or difference.high < 0
    return mark("difference" if certain else "unclear", difference, points(difference))


def p_text(difference: PairedRecord | SeedsRecord) -> str:
    return spell_p(difference.p) + (" (seeds)" if difference.method == OVER_SEEDS else "")


def counts(numbers: Summary, quantity: str, way: str) -> list[int]:
    """How many questions were gained or lost (`way`: "gained" or "lost"): one count, or one for each training seed."""
    each = [entry.difference for entry in numbers.seeds or ()] or [numbers.difference]
    return [getattr(getattr(difference, quantity), way) for difference in each]


def counts_text(numbers: Summary, quantity: str, way: str) -> str:
    return " / ".join(map(str, counts(numbers, quantity, way)))
