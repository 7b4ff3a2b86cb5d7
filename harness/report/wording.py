"""Numbers of a summary in the words, cells and marks that report, page and comparison share."""

from __future__ import annotations

from typing import Any

from harness.report.charts import Mark
from harness.stats.seeds import SATTERTHWAITE
from harness.stats.verdict import spell_p

LABELS = {"accuracy": "Accuracy", "strict": "Strict accuracy", "format": "Format"}


def points(difference: dict[str, Any]) -> str:
    """A difference in points with its interval, with real minus signs."""
    return points_text(difference).replace("-", "−")


def mark(series: str, estimate: dict[str, Any], text: str) -> Mark:
    return Mark(series, *(100 * estimate[name] for name in ("value", "low", "high")), text)


def interval_of(rate: dict[str, Any], intervals: str) -> dict[str, float]:
    """A rate with the ends of its "wilson" or "bootstrap" interval, as `summary.rate_text` chooses them."""
    prefix = "bootstrap_" if intervals == "bootstrap" and "bootstrap_low" in rate else ""
    return {"value": rate["value"], "low": rate[f"{prefix}low"], "high": rate[f"{prefix}high"]}


def certainty(difference: dict[str, Any]) -> str:
    """How a chart shows a difference: "unclear" where its interval holds 0."""
    return "difference" if difference["low"] > 0 or difference["high"] < 0 else "unclear"


def p_value(difference: dict[str, Any]) -> float:
    """The p to go by: mid-p, or over training seeds `seeds.SeedsDifference.p`."""
    return difference["p"] if difference["mid_p"] is None else difference["mid_p"]


def p_text(difference: dict[str, Any]) -> str:
    return spell_p(p_value(difference)) + (" (t)" if difference["method"] == SATTERTHWAITE else "")


def counts(numbers: dict[str, Any], quantity: str, name: str) -> list[int]:
    """How many questions gained or lost ("gained", "lost"): one count, or one a training seed."""
    each = [entry["difference"] for entry in numbers.get("seeds", [])] or [numbers["difference"]]
    return [difference[quantity][name] for difference in each]


def counts_text(numbers: dict[str, Any], quantity: str, name: str) -> str:
    return " / ".join(str(count) for count in counts(numbers, quantity, name))


def rate_text(rate: dict[str, Any], intervals: str = "wilson") -> str:
    """A rate of a summary in percent with its interval; with one sample a question the bootstrap's on request."""
    prefix = "bootstrap_" if intervals == "bootstrap" and "bootstrap_low" in rate else ""
    return f"{100 * rate['value']:.1f}% [{100 * rate[prefix + 'low']:.1f}, {100 * rate[prefix + 'high']:.1f}]"


def points_text(difference: dict[str, Any]) -> str:
    """A difference of a summary in points with its interval."""
    value, low, high = (100 * difference[name] for name in ("value", "low", "high"))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"
