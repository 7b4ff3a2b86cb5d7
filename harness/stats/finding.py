"""What may be said about a difference, in words: detected, borderline or not, and what would have been detected.

Detected: 0 lies strictly outside the interval, and the p-values are below .05. Borderline: the interval and a p-value
disagree. Otherwise "no difference detected", never "no effect", with the smallest difference that this rule finds with
80% power. That is Miller's formula with McNemar's continuity correction, because the rule requires the exact p too: by
enumeration the formula alone has 76 to 79% power at n = 1,319; corrected it has 80 to 83% if at least 25 questions are
expected to change. With fewer the exact test is enumerated instead. With several samples the formula is conservative
(85% at K = 8, n = 1,319, 84% at K = 4, n = 200). These figures are from `python -m harness.bench coverage`. Over
training seeds: `harness.stats.power.over_seeds`.

Sources: Miller 2024, arXiv 2411.00640 (power), Edwards 1948 (continuity correction).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from harness.stats import power, seeds
from harness.stats.intervals import ALPHA
from harness.stats.paired import PairedDifference
from harness.stats.power import POWER
from harness.stats.records import Compared, Difference, Estimate, JudgedPair, PairedRecord, SeedsRecord
from harness.stats.scores import COMPARED, Columns
from harness.stats.seeds import SeedsDifference
from harness.util import typed

ROUNDING = 1e-12  # a proportion nearer to 0 is float64's rounding of 0
CHANGED = {"up": "rose", "down": "fell", "none": "moved"}  # the verb of each direction


class Sentence(NamedTuple):
    """A verdict in English; its parts joined are the text."""

    claim: str  # the finding
    joint: str  # what joins claim and evidence
    evidence: str  # and limits

    def __str__(self) -> str:
        return "".join(self)


@dataclass(frozen=True, slots=True)
class Finding:
    """What may be said about a difference, and how large it would have to be to be detected."""

    kind: str  # "detected", "borderline" or "not detected"
    direction: str  # of the estimate: "up", "down" or "none"
    disagreement: str  # borderline: which test contradicts the interval; else empty
    detectable: float | None  # smallest difference found with 80% power; None: none at this discordance
    one_way: float | None  # the same if all changes had one direction; None if there are too few questions
    discordance: float | None  # observed share of questions that changed (`moved` / n); None over several seeds
    discordance_high: float | None  # its upper 95% Wilson limit, from which `detectable` is computed
    difference: PairedRecord | SeedsRecord

    @property
    def detected(self) -> str | None:
        """The direction of a detected difference, "up" or "down"; None if none is detected."""
        return self.direction if self.kind == "detected" else None

    @property
    def outcome(self) -> str:
        return outcome(self.kind, self.direction)

    @property
    def word(self) -> str:
        """A gain, a loss or neither, as far as it may be claimed: such as "a detected gain"."""
        return self.label if self.kind == "not detected" else f"a {self.label}"

    @property
    def label(self) -> str:
        return label(self.kind, self.direction)

    def sentence(self, quantity: str = "accuracy", *, hint: str = "") -> Sentence:
        """The finding in English; differences in points. hint: added if no difference was detected."""
        change, evidence = self.change(quantity), self.evidence()
        if self.kind == "detected":
            return Sentence(f"{change[:1].upper()}{change[1:]}", " ", f"({evidence}).")
        if self.kind == "borderline":
            return Sentence(f"Borderline: {change}", " ", f"({evidence}), but {self.disagreement}; {self.design()}.")
        return Sentence(f"No difference in {quantity} detected", "; ", f"{self.design()}. {self.observed()}{hint}")

    def change(self, quantity: str) -> str:
        """Such as "accuracy rose by 4.0 points"."""
        return f"{quantity} {CHANGED[self.direction]} by {self._points()[0].lstrip('−')} points"

    def observed(self) -> str:
        """The estimate and its evidence, as a sentence."""
        d = self.difference
        if isinstance(d, PairedRecord) and not d.gained + d.lost:
            return f"Not one of {d.n:,} questions changed."
        plus = "+" if d.value > 0 else ""
        return f"Observed {plus}{self._points()[0]} points ({self.evidence()})."

    def evidence(self) -> str:
        d = self.difference
        _, low, high = self._points()
        interval = f"95% interval {low} to {high}"
        if isinstance(d, SeedsRecord):
            each = ", ".join(signed(*d.per_seed))
            return f"{interval}; mean of {len(d.per_seed)} training seeds, {each}; p {spell_p(d.p)}"
        tests = f"mid-p {spell_p(d.mid_p)}, exact p {spell_p(d.exact_p)}"
        changed = f"gained {d.gained:,}, lost {d.lost:,}"
        if not d.whole:  # a change of some of a question's samples gains or loses no question
            changed = f"the score rose on {d.gained:,} questions and fell on {d.lost:,}"
        return f"{interval}; {changed}; {tests}"

    def design(self, points: str = "points") -> str:
        """What this design would have detected."""
        if self.detectable is not None:
            return f"this design detects ≥ {100 * self.detectable:.2f} {points} with {POWER:.0%} power"
        if isinstance(self.difference, SeedsRecord):
            if len(self.difference.per_seed) < power.FEWEST:
                return "no power is given: two seeds do not bound how much trainings vary"
            return f"this design is not known to detect any difference with {POWER:.0%} power"
        if self.one_way is None:
            return f"with so few questions changed, this design detects no difference with {POWER:.0%} power"
        return (
            f"with so few questions changed, this design detects a difference with {POWER:.0%} power only if all "
            f"changes go in one direction: ≥ {100 * self.one_way:.2f} {points}"
        )

    def _points(self) -> list[str]:
        return in_points(self.difference.value, self.difference.low, self.difference.high)


def of(difference: PairedDifference | SeedsDifference | Difference) -> Finding:
    """What may be said about one difference. Over several seeds, p is from the formula of the interval."""
    d = difference if isinstance(difference, Difference) else record(difference)
    if isinstance(d, SeedsRecord):
        tests, discordance, discordance_high = {"p": d.p}, None, None
    else:
        tests, changed = {"mid-p": d.mid_p, "exact p": d.exact_p}, power.moved(d.n, d.value, d.se)
        discordance, discordance_high = changed / d.n, power.discordance_high(d.n, changed)
    excluded = d.low > 0 or d.high < 0
    against = [name for name, p in tests.items() if (p < ALPHA) != excluded]
    interval, side = ("excludes", "not below") if excluded else ("contains", "below")
    names = " and ".join(against) + (" are" if against[1:] else " is")
    return Finding(
        kind="borderline" if against else "detected" if excluded else "not detected",
        direction="up" if d.value > 0 else "down" if d.value < 0 else "none",
        disagreement=f"the interval {interval} 0 while {names} {side} {ALPHA}" if against else "",
        detectable=d.detectable,
        one_way=power.one_way(d.n),
        discordance=discordance,
        discordance_high=discordance_high,
        difference=d,
    )


def outcome(kind: str, direction: str) -> str:
    """What is found: "up" or "down", the same after "borderline ", or "none"."""
    return {"detected": direction, "borderline": f"borderline {direction}"}.get(kind, "none")


def label(kind: str, direction: str) -> str:
    """The same in a column of a table: such as "detected gain" or "not detected"."""
    return kind if kind == "not detected" else f"{kind} {'gain' if direction == 'up' else 'loss'}"


def differences(before: Columns, after: Columns) -> Compared:
    """The record of each quantity's difference; after: of one model, or with a row for each of several seeds."""
    return Compared(*(record(seeds.difference(before[name], after[name])) for name in COMPARED))


def record(difference: PairedDifference | SeedsDifference) -> PairedRecord | SeedsRecord:
    """A difference as files hold it: its fields, the estimate as `value`, and what was `detectable`.

    Over training seeds the first side is the base.
    """
    d = difference
    shared = {"value": d.estimate, "low": d.low, "high": d.high, "method": d.method, "n": d.n, "se": d.se}
    shared["detectable"] = power.detectable(d)
    if isinstance(d, SeedsDifference):
        names = ("p", "se_question", "se_seed", "per_seed")
        return SeedsRecord(base=d.first, tuned=d.second, **shared, **{name: getattr(d, name) for name in names})
    names = ("base", "tuned", "gained", "lost", "whole", "mid_p", "exact_p", "correlation")
    return PairedRecord(**shared, **{name: getattr(d, name) for name in names})


def judged(difference: PairedDifference) -> JudgedPair:
    """The record of a pair with its verdict."""
    found = of(difference)
    return JudgedPair(**typed.fields(found.difference), kind=found.kind, direction=found.direction)


def change(d: Estimate) -> str:
    """A difference in points with its interval, such as "+4.0 [+2.1, +5.9]"."""
    value, low, high = signed(d.value, d.low, d.high)
    return f"{value} [{low}, {high}]"


def signed(*values: float) -> list[str]:
    """Proportions as points with their signs, to as many decimals as `in_points`."""
    return [text if text.startswith("−") else f"+{text}" for text in in_points(*values)]


def in_points(*values: float) -> list[str]:
    """Proportions as points, with enough decimals (at least one) that none but 0 is shown as 0."""
    exact = [0.0 if abs(v) < ROUNDING else 100 * v for v in values]
    decimals = 1
    while any(v and float(f"{v:.{decimals}f}") == 0 for v in exact):
        decimals += 1
    return [spell(v, decimals) for v in exact]


def spell(number: float, decimals: int = 2) -> str:
    """A number with a real minus sign."""
    return f"{number:.{decimals}f}".replace("-", "−")


def spell_p(p: float) -> str:
    """A p-value to two significant digits, more if rounding would move it across .05."""
    if p < 0.0001:
        return "< 0.0001"
    digits = 2 if p >= 0.1 else 1 - math.floor(math.log10(p))
    while (float(f"{p:.{digits}f}") < ALPHA) != (p < ALPHA):
        digits += 1
    return f"{p:.{digits}f}"
