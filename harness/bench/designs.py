"""The designs that `python -m harness.bench coverage` simulates: situations with a known truth, one draw at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from harness.stats import paired, paired_tests, pass_at_k, rates, seeds, transfer
from harness.stats.intervals import NORMAL, bootstrap_mean, wilson

N = 1319
SLOW = 10  # designs whose intervals take 10,000 resamples each get this many times fewer replications


@dataclass(frozen=True, slots=True)
class Design:
    """A situation with a known truth."""

    name: str
    n: int
    truth: float  # the true value that the intervals estimate, as a proportion
    is_null: bool  # whether the truth is "no difference", so that a finding is an error


@dataclass(slots=True)
class Draw:
    """The intervals and p-values of one outcome of a design."""

    changed: float  # questions that changed; for a rate, those with the rarer outcome
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    p: dict[str, float] = field(default_factory=dict)
    bands: dict[str, tuple[bool, float]] = field(default_factory=dict)  # whether all of it holds; its mean width


OneDraw = Callable[[np.random.Generator], Draw]
Simulated = tuple[Design, float, OneDraw]  # with its share of the replications


def simulated() -> Iterator[Simulated]:
    """Designs with too many outcomes to enumerate."""
    yield from _question_means()
    yield from _several_runs()
    yield from _pass_at_k()
    yield from _curves()
    yield from _near_one()
    yield from _clusters()


def _question_means() -> Iterator[Simulated]:
    """K = 8 samples per question; a share of the questions is uncertain, the others are always answered right."""

    def rate(rng: np.random.Generator) -> Draw:
        correct = rng.binomial(8, rng.beta(2, 1, N))
        found, pooled = rates.mean(correct / 8), wilson(int(correct.sum()), 8 * N)
        intervals = {
            "bootstrap of question means": (found.low, found.high),
            "(pooled answers)": (pooled.low, pooled.high),
        }
        return Draw(N / 3, intervals)

    yield Design("K 8, rate", N, 2 / 3, False), 1, rate

    def draw(n: int, uncertain: float, better: Callable[..., NDArray[np.float64]]) -> OneDraw:
        def one(rng: np.random.Generator) -> Draw:
            p = rng.beta(2, 1, n)  # mean 2/3
            open_question = rng.random(n) < uncertain
            chances = (np.where(open_question, p, 1.0), np.where(open_question, better(rng, p), 1.0))
            base, tuned = (rng.binomial(8, chance) / 8 for chance in chances)
            found = paired.paired_difference(base, tuned)
            p_values = {"mid-p": found.mid_p, "exact p": found.exact_p}
            p_values["(mid-p, sign test)"] = paired_tests.mcnemar(found.gained, found.lost).mid_p
            intervals = {"interval rule": (found.low, found.high)}
            if uncertain < 0.05:
                plain = bootstrap_mean(tuned - base)
                intervals["(plain bootstrap)"] = plain.low, plain.high
            return Draw(found.gained + found.lost, intervals, p_values)

        return one

    def alike(rng: np.random.Generator, p: NDArray[np.float64]) -> NDArray[np.float64]:
        return p

    def better(rng: np.random.Generator, p: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1 - 0.8 * (1 - p)  # mean 2/3 + 1/15

    def decided(rng: np.random.Generator, p: NDArray[np.float64]) -> NDArray[np.float64]:
        return (rng.random(len(p)) < 2 / 3).astype(float)  # always or never right, and mean 2/3 again

    for n, uncertain in ((N, 1.0), (200, 1.0), (200, 0.1), (200, 0.03)):
        yield Design(f"K 8, alike, {uncertain:.0%} open", n, 0.0, True), 1, draw(n, uncertain, alike)
        yield Design(f"K 8, better, {uncertain:.0%} open", n, uncertain / 15, False), 1, draw(n, uncertain, better)

    def flip_among_steps(rng: np.random.Generator) -> Draw:
        kind = rng.random(200)
        chances = np.where(kind < 0.08, 0.9, 1.0)
        base = rng.binomial(8, np.where(kind > 0.99, 0.0, chances)) / 8
        found = paired.paired_difference(base, rng.binomial(8, chances) / 8)
        return Draw(found.gained + found.lost, {"interval rule": (found.low, found.high)})

    yield Design("K 8, 2 flips among 16 steps", 200, 0.01, False), 1, flip_among_steps

    def gains_among_steps(n: int, gains: int, steps: int) -> OneDraw:
        def one(rng: np.random.Generator) -> Draw:
            kind, up = rng.random(n), rng.random(n) < 0.5
            step = np.where(up, 1, -1) * ((kind >= gains / n) & (kind < (gains + steps) / n)) / 8
            base = np.where(kind < gains / n, 0.0, 0.5)
            tuned = base + np.where(kind < gains / n, 1.0, step)
            found, plain = paired.paired_difference(base, tuned), bootstrap_mean(tuned - base)
            intervals = {"interval rule": (found.low, found.high), "(plain bootstrap)": (plain.low, plain.high)}
            return Draw(found.gained + found.lost, intervals)

        return one

    for n, gains, steps in (
        (200, 1, 5),
        (N, 2, 5),
        (200, 1, 12),
        (200, 2, 30),
        (N, 1, 12),
        (N, 2, 30),
        (N, 5, 30),
        (N, 1, 100),
    ):
        name = f"K 8, {gains} gain{'s' * (gains > 1)} among {steps} steps"
        yield Design(name, n, gains / n, False), 1, gains_among_steps(n, gains, steps)
    for n, uncertain in ((N, 0.03), (200, 0.1)):
        yield Design(f"K 8, same mean, {uncertain:.0%} open", n, 0.0, True), 1, draw(n, uncertain, decided)


def _several_runs() -> Iterator[Simulated]:
    def two_runs(rng: np.random.Generator) -> Draw:
        p = rng.beta(2, 1, N)
        base, first, second = (rng.random(N) < chance for chance in (p, 1 - 0.9 * (1 - p), 1 - 0.8 * (1 - p)))
        found = paired.paired_difference(first, second)
        own = [paired.paired_difference(base, run) for run in (first, second)]
        half = NORMAL.inv_cdf(0.975) * math.hypot(own[0].se or 0.0, own[1].se or 0.0)
        return Draw(
            found.gained + found.lost,
            {
                "interval rule": (found.low, found.high),
                "(standard errors added)": (found.estimate - half, found.estimate + half),
            },
        )

    yield Design("run minus run, one base", N, 1 / 30, False), 1, two_runs

    def trained(n: int, s: int, deviation: float, open_share: float = 1.0, gain: float = 0.0) -> OneDraw:
        """Training effects with this standard deviation on the open questions; the others are always right."""

        def one(rng: np.random.Generator) -> Draw:
            is_open = rng.random(n) < open_share
            p = np.where(rng.random(n) < 0.8, 0.88, 0.12) if open_share == 1 else np.full(n, 0.5)
            effects = gain + np.clip(rng.normal(0, deviation, (s, 1)), -0.12, 0.12)  # p stays within [0, 1]
            base = rng.random(n) < np.where(is_open, p, 1.0)
            tuned = rng.random((s, n)) < np.where(is_open, p + effects, 1.0)
            found = seeds.over_seeds(base, tuned)
            half = NORMAL.inv_cdf(0.975) * found.se_question
            intervals = {
                "over seeds": (found.low, found.high),
                "(questions only)": (found.estimate - half, found.estimate + half),
            }
            return Draw(float((tuned != base).sum()) / s, intervals)

        return one

    for n, s, deviation in ((N, 3, 0.022), (N, 5, 0.022), (N, 2, 0.022), (N, 3, 0.005), (200, 3, 0.022)):
        design = Design(f"{s} seeds, SD {100 * deviation:g} points", n, 0.0, True)
        yield design, 1, trained(n, s, deviation)
    for share in (0.003, 0.02):
        design = Design(f"3 seeds, better, {share:.1%} open", N, 0.3 * share, False)
        yield design, 1, trained(N, 3, 0.022, share, gain=0.3)


def _pass_at_k() -> Iterator[Simulated]:
    """pass@4: 1 - (1 - p)^4 has the mean 14/15 under p ~ Beta(2, 1); the tuned model fails .8 times as often."""

    def difference(count: int) -> OneDraw:
        def one(rng: np.random.Generator) -> Draw:
            p = rng.beta(2, 1, 200)
            base, tuned = (
                pass_at_k.pass_at_k(rng.binomial(count, chance), count, 4) for chance in (p, 1 - 0.8 * (1 - p))
            )
            found = paired.paired(base, tuned)
            return Draw(found.gained + found.lost, {"interval rule": (found.low, found.high)})

        return one

    def rate_of_run(rng: np.random.Generator) -> Draw:
        counts = rng.binomial(8, rng.beta(2, 1, 200))
        found = rates.mean(pass_at_k.pass_at_k(counts, 8, 4))
        return Draw(float((counts < 5).sum()), {"bootstrap of question means": (found.low, found.high)})

    truth = (1 - 0.8**4) / 15
    yield Design("pass@4 of K 8, rate", 200, 14 / 15, False), 1, rate_of_run
    yield Design("pass@4 of K 8, difference", 200, truth, False), 1, difference(8)
    yield Design("pass@4 of K 16, difference", 200, truth, False), 1 / SLOW, difference(16)


@dataclass(frozen=True, slots=True)
class Mixture:
    """Questions of a few kinds: the share of each, and the chance of a right answer before and after."""

    name: str
    shares: tuple[float, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]

    def truth(self, samples: int) -> NDArray[np.float64]:
        """The differences of pass@k for k = 1 … K, shape (K,)."""
        k = np.arange(1, samples + 1)
        wrong = [np.array(side)[:, None] ** k for side in (1 - np.array(self.before), 1 - np.array(self.after))]
        return np.array(self.shares) @ (wrong[0] - wrong[1])


BETA = tuple(float(x) for x in np.sqrt((np.arange(20) + 0.5) / 20))  # Beta(2, 1) in 20 equal parts
EQUAL = (1 / 20,) * 20
MIXTURES = (
    Mixture("no difference", EQUAL, BETA, BETA),
    Mixture("better", EQUAL, BETA, tuple(1 - 0.8 * (1 - p) for p in BETA)),
    Mixture("crossing", (0.3, 0.3, 0.2, 0.2), (0.05, 0.4, 0.9, 0.0), (0.0, 0.8, 1.0, 0.0)),
    Mixture("nearly all solved", (0.8, 0.1, 0.1), (0.9, 0.5, 0.2), (0.97, 0.6, 0.3)),
    Mixture("3% open", (0.47, 0.03, 0.5), (0.0, 0.3, 1.0), (0.0, 0.5, 1.0)),
)


def _curves() -> Iterator[Simulated]:
    """Whether the band over k holds at all k at once; a k without variance has none, and claims nothing."""

    def one(mixture: Mixture, n: int, samples: int, trained: int, rng: np.random.Generator) -> Draw:
        kind = rng.choice(len(mixture.shares), n, p=mixture.shares)
        base = rng.binomial(samples, np.array(mixture.before)[kind])
        tuned = rng.binomial(samples, np.array(mixture.after)[kind], size=(trained, n))
        found, truth = pass_at_k.band(base, tuned if trained > 1 else tuned[0], samples), mixture.truth(samples)
        ends = [
            (low, high, true) for low, high, true in zip(found.low, found.high, truth, strict=True) if low is not None
        ]
        bands = {"sup-t band": _held(ends)}
        if trained == 1:
            bands["(band, no questions added)"] = _held(_plain(base, tuned[0], samples, truth, rng))
        return Draw(float((tuned != base).sum()) / trained, bands=bands)

    for mixture in MIXTURES:
        for n, samples in ((128, 16), (32, 8)):
            name = f"k 1 to {samples}, {mixture.name}"
            yield Design(name, n, 0.0, False), 1 / SLOW, partial(one, mixture, n, samples, 1)
    yield Design("k 1 to 16, crossing", N, 0.0, False), 1 / SLOW, partial(one, MIXTURES[2], N, 16, 1)
    yield Design("k 1 to 16, 3 seeds, better", 128, 0.0, False), 1 / SLOW, partial(one, MIXTURES[1], 128, 16, 3)


def _held(ends: list[tuple[float, float, float]]) -> tuple[bool, float]:
    inside = all(low - 1e-12 <= true <= high + 1e-12 for low, high, true in ends)
    return inside, float(np.mean([high - low for low, high, _ in ends])) if ends else 0.0


def _plain(
    base: NDArray[np.int64],
    tuned: NDArray[np.int64],
    samples: int,
    truth: NDArray[np.float64],
    rng: np.random.Generator,
) -> list[tuple[float, float, float]]:
    """The ends of the sup-t band of the questions as they are, with the truth."""
    d = pass_at_k.curve(tuned, samples) - pass_at_k.curve(base, samples)
    varied = np.ptp(d, axis=0) > 1e-9
    d, truth = d[:, varied], truth[varied]
    if not varied.any():
        return []
    error = d.std(axis=0, ddof=1) / math.sqrt(len(d))
    distinct, counts = np.unique(d, axis=0, return_counts=True)
    means = rng.multinomial(len(d), counts / len(d), size=1000) @ distinct / len(d)
    half = float(np.quantile((np.abs(means - d.mean(axis=0)) / error).max(axis=1), 0.95)) * error
    return list(zip(d.mean(axis=0) - half, d.mean(axis=0) + half, truth, strict=True))


def _near_one() -> Iterator[Simulated]:
    """Rates such as the format after a training: a few questions never comply, the others almost always."""

    def of_means(n: int, never: float) -> OneDraw:
        def one(rng: np.random.Generator) -> Draw:
            scores = rng.binomial(8, np.where(rng.random(n) < never, 0.0, 0.995)) / 8
            found, plain = rates.mean(scores), bootstrap_mean(scores)
            intervals = {
                "bootstrap of question means": (found.low, found.high),
                "(none added near an end)": (plain.low, plain.high),
            }
            return Draw(float(n - scores.sum()), intervals)

        return one

    for n, never in ((100, 0.01), (N, 0.001), (N, 0.01)):
        yield Design(f"K 8, rate, {never:.1%} never", n, 0.995 * (1 - never), False), 1, of_means(n, never)

    def of_seeds(n: int, never: float) -> OneDraw:
        def one(rng: np.random.Generator) -> Draw:
            scores = rng.random((3, n)) < np.where(rng.random(n) < never, 0.0, 0.995)
            found, lost = seeds.mean(scores), seeds.over_seeds(np.ones(n), scores)
            intervals = {
                "over seeds": (found.low, found.high),
                "over seeds, difference": (lost.low + 1, lost.high + 1),
            }
            return Draw(float(n - scores.mean(axis=0).sum()), intervals)

        return one

    for n, never in ((100, 0.01), (N, 0.001), (N, 0.01)):
        yield Design(f"3 seeds, rate, {never:.1%} never", n, 0.995 * (1 - never), False), 1, of_seeds(n, never)


def _clusters() -> Iterator[Simulated]:
    """Questions made from templates, each of which has an effect of its own on how often its questions are gained."""

    def drawn(clusters: int, each: int, moved: float, deviation: float) -> OneDraw:
        names = [str(number // each) for number in range(clusters * each)]

        def one(rng: np.random.Generator) -> Draw:
            tilt = np.repeat(np.clip(rng.normal(0, deviation, clusters), -1, 1), each)  # of all, or none, gained
            changes = rng.random(clusters * each) < moved
            gained = rng.random(clusters * each) < (1 + tilt) / 2
            base = np.where(changes, ~gained, rng.random(clusters * each) < 0.6).astype(float)
            tuned = np.where(changes, gained, base).astype(float)
            found, alone = transfer.gain(base, tuned, names), paired.paired_difference(base, tuned)
            intervals = {"over clusters": (found.low, found.high), "(questions alone)": (alone.low, alone.high)}
            return Draw(float(changes.sum()), intervals, {"p over clusters": found.p})

        return one

    for clusters, each, moved in ((50, 20, 0.2), (300, 4, 0.2), (20, 10, 0.2), (50, 20, 0.02), (50, 20, 0.005)):
        design = Design(f"{clusters} clusters of {each}, ψ {moved:g}", clusters * each, 0.0, True)
        yield design, 1, drawn(clusters, each, moved, 0.6)
