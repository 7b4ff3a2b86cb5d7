"""`python -m harness.bench coverage`: do our 95% intervals cover 95%, and do our tests err in 5%?

If a design has few enough outcomes (one sample a question), all of them are enumerated with their probabilities: those
figures have no error. The others are simulated, with a seed, and have the simulation's standard error. All figures are
for the functions that a report uses. The requirements are:

    interval   94 to 96% coverage if at least 10 questions are expected to change; never below 94%
    mid-p      4 to 6% type I error if at least 10 are expected to change; never above 6%
    exact p    never above 5%
    over seeds 94 to 98.5% coverage, since a sum of parts each with its own quantile errs on the safe side; where both
               sides have seeds, which adds a part, only never below 94%
    sup-t band never below 94% coverage of the whole curve; it errs on the safe side where few questions differ

A second table is about power: of the differences said to be detected with 80% (harness.bench.power).

Exceptions are listed at the end. Rows in brackets are rules that no report uses, for comparison.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from harness.bench import common, designs, outcomes, power, seed_designs
from harness.bench.designs import SLOW, Design, Draw, N, Simulated
from harness.stats import paired, rates
from harness.stats.intervals import ALPHA
from harness.util import console
from harness.util.cli import Parser
from harness.util.errors import HarnessError

REPLICATIONS = 4000
QUICK = 200  # replications with --quick, and its largest n
SAFE = (
    ("over seeds, both", 100.0),
    ("over seeds", 98.5),
    ("sup-t", 100.0),
)  # the highest coverage allowed, where it is not 96%
ENOUGH = 10  # from this expected number of changed questions on, coverage must also not be too high
ROUNDING = 1e-12  # tolerance for a limit that equals the truth


@dataclass(frozen=True, slots=True)
class Row:
    """One method under one design; in percent, except the counts."""

    design: str
    n: int
    changed: float  # expected number of questions that change
    method: str
    coverage: float | None  # None for a test
    type_one: float | None  # None if there is a difference to find
    error: float | None  # standard error of the figure; None: enumerated
    width: float | None

    @property
    def exception(self) -> str:
        """The requirement that was missed, in words; empty if there is none or the rule is only for comparison."""
        if self.method.startswith("("):
            return ""
        if self.coverage is not None:
            asked = next((most for name, most in SAFE if self.method.startswith(name)), 96.0)
            most = asked if self.changed >= ENOUGH else 100.0
            figure, low, high, what = self.coverage, 94.0, most, "coverage"
        elif self.type_one is None:
            return ""
        elif self.method.startswith("exact"):
            figure, low, high, what = self.type_one, 0.0, 5.0, "type I error"
        else:
            figure, low, high, what = self.type_one, 4.0 if self.changed >= ENOUGH else 0.0, 6.0, "type I error"
        return outcomes.missed(what, figure, low, high, self.error)


def simulated() -> Iterator[Simulated]:
    yield from designs.simulated()
    yield from seed_designs.simulated()


def study(replications: int, largest: int) -> Iterator[list[Row]]:
    """The rows of all designs with up to `largest` questions, design by design, the enumerated ones first."""
    for n, p in ((N, 0.75), (N, 0.99), (N, 0.998), (200, 0.75), (200, 0.97), (50, 0.75), (50, 0.01)):
        if n <= largest:
            yield rate(n, p)
    for n, psi, share in PAIRED:
        if n <= largest:
            yield flips(f"paired, ψ {psi:g}, δ {share:g}ψ", n, psi * (1 + share) / 2, psi * (1 - share) / 2)
    for name, n, before, after, phi in CORRELATED:
        if n <= largest:
            both = before * after + phi * math.sqrt(before * (1 - before) * after * (1 - after))
            yield flips(name, n, after - both, before - both)
    for design, times, draw in simulated():
        if design.n <= largest:
            rng = outcomes.own_rng(design)
            count = max(1, round(replications * times))
            yield tally(design, ((1.0, draw(rng)) for _ in range(count)), simulations=count)


# n, discordance ψ, and the difference as a share of it
PAIRED = (
    (N, 0.002, 0.0), (N, 0.005, 0.0), (N, 0.01, 0.0), (N, 0.02, 0.0), (N, 0.05, 0.0), (N, 0.2, 0.0),
    (N, 0.003, 0.9), (N, 0.01, 0.5), (N, 0.02, 0.25), (N, 0.03, 1.0), (N, 0.1, 0.25),
    (200, 0.01, 0.0), (200, 0.02, 0.0), (200, 0.05, 0.0), (200, 0.1, 0.0), (200, 0.2, 0.0),
    (200, 0.025, 0.5), (200, 0.1, 0.9), (50, 0.04, 0.0), (50, 0.2, 0.0), (50, 0.3, 0.9),
)  # fmt: skip
CORRELATED = (("paired, .70 → .74, φ .8", N, 0.70, 0.74, 0.8), ("paired, .985 → .995, φ 0", 50, 0.985, 0.995, 0.0))


def rate(n: int, p: float) -> list[Row]:
    """A single rate p of n questions, enumerated: Wilson's interval and the bootstrap's."""

    def outcome(k: int) -> Draw:
        found = rates.proportion(np.arange(n) < k)
        intervals = {"Wilson": (found.low, found.high), "bootstrap": (found.bootstrap_low, found.bootstrap_high)}
        return Draw(n * min(p, 1 - p), intervals)

    chances = outcomes.multinomial(n, np.arange(n + 1)[None], (p,))
    likely = np.flatnonzero(chances > outcomes.NEGLIGIBLE)
    return tally(Design(f"rate {p:g}", n, p, False), ((chances[k], outcome(int(k))) for k in likely))


def flips(name: str, n: int, gain: float, loss: float) -> list[Row]:
    """One sample per question, gained or lost with these probabilities, enumerated over (gained, lost)."""
    draws = ((chance, outcomes.flipped(*counts, n)) for chance, *counts in outcomes.of_flips(n, gain, loss))
    return tally(Design(name, n, gain - loss, gain == loss), draws)


def tally(design: Design, draws: Iterable[tuple[float, Draw]], simulations: int = 0) -> list[Row]:
    """The rows of a design from its weighted outcomes; simulations: their number, 0 for an enumeration."""
    total = changed = 0.0
    covered: dict[str, float] = {}
    found: dict[str, float] = {}
    width: dict[str, float] = {}
    for weight, draw in draws:
        total += weight
        changed += weight * draw.changed
        for method, (low, high) in draw.intervals.items():
            inside = low - ROUNDING <= design.truth <= high + ROUNDING
            covered[method] = covered.get(method, 0.0) + weight * inside
            found[method] = found.get(method, 0.0) + weight * (low > 0 or high < 0)
            width[method] = width.get(method, 0.0) + weight * (high - low)
        for method, (holds, mean_width) in draw.bands.items():
            covered[method] = covered.get(method, 0.0) + weight * holds
            width[method] = width.get(method, 0.0) + weight * mean_width
        for method, p in draw.p.items():
            found[method] = found.get(method, 0.0) + weight * (p < ALPHA)

    def percent(sums: dict[str, float], method: str) -> float | None:
        return 100 * sums[method] / total if method in sums else None

    rows = []
    for method in found if design.is_null else covered:
        coverage, type_one = percent(covered, method), percent(found, method) if design.is_null else None
        error = None
        if simulations:
            error = outcomes.standard_error((type_one if coverage is None else coverage) / 100, simulations)
        rows.append(
            Row(design.name, design.n, changed / total, method, coverage, type_one, error, percent(width, method))
        )
    return rows


def speed() -> list[tuple[str, float]]:
    """Milliseconds of a paired interval with its tests at n = 1,319, fastest of many, by samples per question."""
    rng, found = np.random.default_rng(outcomes.SEED), []
    p = rng.beta(2, 1, N)
    for count in (1, 8):
        base, tuned = rng.binomial(count, p) / count, rng.binomial(count, p) / count
        found.append((f"K = {count}", common.milliseconds(partial(paired.paired_difference, base, tuned), repeats=50)))
    return found


def main(argv: list[str]) -> None:
    """Print the table, the exceptions, and the time of an interval."""
    parser = Parser("bench coverage", __doc__)
    parser.add_argument("--replications", type=int, default=REPLICATIONS, metavar="N", help=f"default {REPLICATIONS:,}")
    parser.add_argument("--quick", action="store_true", help=f"at most {QUICK} replications and {QUICK} questions")
    args = parser.parse(argv)
    if args.replications < 1:
        raise HarnessError(f"--replications: found {args.replications}, allowed: 1 or more")
    replications = min(args.replications, QUICK) if args.quick else args.replications
    print(
        f"Nominal: coverage 95%, type I error 5%. ± is the standard error of {replications:,} simulations "
        f"({max(1, replications // SLOW):,} where each resamples 10,000 times); exact: all outcomes enumerated.\n"
    )
    print(f"| {'design':34} |     n |   n·ψ | {'method':27} | coverage % | type I % |     ± | width, points |")
    print("|---|---|---|---|---|---|---|---|")
    exceptions = []
    for rows in study(replications, QUICK if args.quick else N):
        for row in rows:
            print(_line(row), flush=True)
            exceptions += [f"{row.design}, n {row.n:,}, {row.method}: {row.exception}"] * bool(row.exception)
    print(f"\n| {'design':34} |     n | {'difference of':30} | points | power % |     ± | 80% or more in % |     ± |")
    print("|---|---|---|---|---|---|---|---|")
    for found in power.study(replications, QUICK if args.quick else N):
        print(power.line(found), flush=True)
        exceptions += [f"{found.design}, n {found.n:,}, {found.of}: {found.exception}"] * bool(found.exception)
    print(f"\n{len(exceptions) or 'No'} exceptions to what is asked (see --help)" + ":" * bool(exceptions))
    for exception in exceptions:
        console.say(f"- {exception}")
    print(
        "\nA paired interval with its tests at n = 1,319: " + ", ".join(f"{ms:.2f} ms ({name})" for name, ms in speed())
    )


def _line(row: Row) -> str:
    coverage, type_one, width = (
        "" if value is None else f"{value:.2f}" for value in (row.coverage, row.type_one, row.width)
    )
    error = "exact" if row.error is None else f"{row.error:.2f}"
    return (
        f"| {row.design:34} | {row.n:5,} | {row.changed:5.1f} | {row.method:27} | {coverage:>10} | {type_one:>8} "
        f"| {error:>5} | {width:>13} |"
    )
