"""Estimates as files hold them: rates and differences, each with its 95% interval, as proportions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from harness.util import typed
from harness.util.typed import OMITTED

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Compared(Generic[T]):
    """One value for each quantity of harness.stats.scores.COMPARED."""

    accuracy: T
    strict: T
    format: T


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value and the ends of its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate(Estimate):
    """The mean of one score over the questions."""

    method: str  # of the interval
    # Only with one sample per question: low and high are then Wilson's, and the exact bootstrap's are given too.
    k: int | None = field(default=None, metadata=OMITTED)  # questions with the outcome
    n: int | None = field(default=None, metadata=OMITTED)  # questions
    bootstrap_low: float | None = field(default=None, metadata=OMITTED)
    bootstrap_high: float | None = field(default=None, metadata=OMITTED)

    def by(self, intervals: str) -> Estimate:
        """With the interval that is asked for, "wilson" or "bootstrap"; with several samples there is only one."""
        if intervals == "bootstrap" and self.bootstrap_low is not None and self.bootstrap_high is not None:
            return Estimate(value=self.value, low=self.bootstrap_low, high=self.bootstrap_high)
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference(Estimate):
    """Tuned minus base on the same questions: of one pair, or of the mean over several training seeds."""

    base: float
    tuned: float
    method: str  # of the interval
    n: int  # questions
    se: float | None  # standard error; None for n = 1; 0 does not mean certainty
    detectable: float | None  # smallest difference that this design finds with 80% power; None: none, or not known


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedRecord(Difference):
    """A `stats.paired.PairedDifference`."""

    gained: int  # questions whose score rose
    lost: int  # questions whose score fell
    # Every change is one from wrong to right or back; files say it only where it is not so.
    whole: bool = field(default=True, metadata=OMITTED)
    mid_p: float
    exact_p: float
    correlation: float | None  # of base and tuned over the questions; None if either is constant

    @property
    def p(self) -> float:
        """The p to go by."""
        return self.mid_p


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedsRecord(Difference):
    """A `stats.seeds.SeedsDifference`; counts and tests belong to single pairs and are null here."""

    gained: None = None
    lost: None = None
    mid_p: None = None
    exact_p: None = None
    p: float  # two-sided
    se_question: float  # what the questions contribute to se
    se_seed: float  # what the trainings contribute
    per_seed: tuple[float, ...]  # the difference of each seed


# Only the JSON objects of several seeds have `per_seed`.
AnyDifference = typed.either(PairedRecord, SeedsRecord, "per_seed")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPair(PairedRecord):
    """A pair with its verdict."""

    kind: str  # "detected", "borderline" or "not detected"
    direction: str  # "up", "down" or "none"
