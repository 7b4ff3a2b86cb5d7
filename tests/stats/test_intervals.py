"""Intervals and tests compared with published values, brute force, other libraries, and their documentation."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special
from scipy import stats as scipy_stats

from harness.stats import finding, intervals, paired
from harness.stats.intervals import BOOTSTRAP, RULE_OF_THREE, TANGO, WITH_TWO_MORE, bootstrap_mean, tango, wilson
from harness.stats.paired import paired_difference
from harness.stats.power import minimum_detectable_effect
from harness.stats.rates import proportion
from tests.conftest import near

N = 1319


def pairs(gained, lost, n=N, both_right=0):
    """Base and tuned arrays with these counts."""
    base = np.repeat([1, 0, 1, 0], [both_right, gained, lost, n - gained - lost - both_right])
    tuned = np.repeat([1, 1, 0, 0], [both_right, gained, lost, n - gained - lost - both_right])
    return base, tuned


def difference(gained, lost, n=N):
    return paired_difference(*pairs(gained, lost, n))


# ---- one proportion


def test_wilson_reference_values():
    assert (wilson(989, N).low, wilson(989, N).high) == (near(0.72573356), near(0.77243649))
    assert wilson(0, 100).low == 0.0
    assert wilson(0, 100).high == near(0.03699350)
    assert wilson(N, N).low == near(0.99709606)
    assert wilson(N, N).high == 1.0


def test_clopper_pearson_brackets_wilson_at_the_reference_values():
    """The exact interval, computed here, ties our reading of the reference list to its other column."""
    low, high = special.betaincinv(989, 331, 0.025), special.betaincinv(990, 330, 0.975)
    assert (low, high) == (near(0.72551643), near(0.77298601))
    assert low < wilson(989, N).low < wilson(989, N).high < high
    assert special.betaincinv(1, 100, 0.975) == near(0.03621669)
    assert special.betaincinv(N, 1, 0.025) == near(0.99720718)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 50), (50, 50), (1, 50), (989, N), (3, 7)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_wilson_agrees_with_statsmodels(k, n, level):
    proportions = pytest.importorskip("statsmodels.stats.proportion")
    low, high = proportions.proportion_confint(k, n, alpha=1 - level, method="wilson")
    ours = wilson(k, n, level)
    assert (ours.low, ours.high) == (pytest.approx(low, abs=1e-12), pytest.approx(high, abs=1e-12))


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_wilson_refuses_impossible_counts(k, n):
    with pytest.raises(ValueError, match="wilson"):
        wilson(k, n)


def test_proportion_gives_both_intervals():
    p = proportion([True] * 989 + [False] * 330)
    assert (p.k, p.n, p.value) == (989, N, 989 / N)
    assert (p.low, p.high) == (near(0.72573356), near(0.77243649))
    assert (p.bootstrap_low, p.bootstrap_high) == (958 / N, 1020 / N)
    assert asdict(proportion([0] * 9)) == asdict(proportion(np.zeros(9))) | {"value": 0.0}
    assert proportion([1]).high == 1.0


@pytest.mark.parametrize("scores", [[0.5, 1], [-1, 0], [], [float("nan")], [None, 1], [[0, 1], [1, 0]]])
def test_proportion_refuses_what_is_no_yes_or_no(scores):
    with pytest.raises(ValueError, match="scores"):
        proportion(scores)


# ---- exact bootstrap


def test_bootstrap_reference_value_for_four_samples():
    interval = bootstrap_mean(np.array([1, 0, 2, 0, 2, 0, 0, 1]) / 4)
    assert (interval.low, interval.high) == (0.0625, 0.34375)


@pytest.mark.parametrize(("k", "n"), [(989, N), (1, 50), (49, 50), (600, N), (5000, 10007)])
def test_bootstrap_of_a_proportion_is_binomial(k, n):
    cdf = special.bdtr(np.arange(n + 1, dtype=float), n, k / n)
    low, high = np.argmax(cdf >= 0.025), np.argmax(cdf >= 0.975)
    interval = bootstrap_mean([1] * k + [0] * (n - k))
    assert (interval.low, interval.high) == (low / n, high / n)


@pytest.mark.parametrize(
    ("numerators", "denominator"),
    [
        ([3], 4),
        ([0, 1], 1),
        ([-1, 0, 1], 1),
        ([-1, 0, 0, 1], 1),
        ([1, 1, 1, 0], 1),
        ([-2, 1, 3, 3, 0], 3),
        ([-8, -3, 0, 5, 8], 8),
        ([0, 0, 0, 1, 7], 7),
        ([1, 2, 2, 4, 5, 5], 5),
    ],
)
def test_bootstrap_equals_enumeration_of_all_resamples(numerators, denominator):
    n = len(numerators)
    sums = Counter(map(sum, itertools.product(numerators, repeat=n)))
    limits = []
    for q in (Fraction(1, 40), Fraction(39, 40)):
        seen = 0
        for total in sorted(sums):
            seen += sums[total]
            if Fraction(seen, n**n) >= q:
                limits.append(total / (n * denominator))
                break
    interval = bootstrap_mean(np.array(numerators) / denominator)
    assert [interval.low, interval.high] == limits


@pytest.mark.parametrize(("n", "span"), [(N, 2), (N, 16), (5000, 2)])
def test_fft_round_off_stays_far_below_the_tolerance(n, span):
    """The tolerance on the CDF is right only while round-off is orders of magnitude smaller."""
    rng = np.random.default_rng(7)
    values = rng.choice(span + 1, size=n, p=rng.dirichlet(np.ones(span + 1)))
    one_draw = np.bincount(values, minlength=span + 1) / n
    size = n * span + 1
    by_fft = np.cumsum(np.fft.irfft(np.fft.rfft(one_draw, size) ** n, size))
    power, base, exponent = np.ones(1), one_draw, n
    while exponent:  # positive terms only: no cancellation
        power = np.convolve(power, base) if exponent & 1 else power
        base, exponent = np.convolve(base, base) if exponent > 1 else base, exponent >> 1
    exact = np.cumsum(power)
    assert np.abs(by_fft - exact).max() < intervals._CDF_TOLERANCE / 100
    interval = bootstrap_mean(values / span)
    assert interval.low == np.argmax(exact >= 0.025) / (n * span)
    assert interval.high == np.argmax(exact >= 0.975) / (n * span)


@pytest.mark.parametrize(("n", "samples", "seed"), [(400, 1, 1), (N, 1, 2), (300, 4, 3)])
def test_bootstrap_agrees_with_scipy_to_monte_carlo_error(n, samples, seed):
    rng = np.random.default_rng(seed)
    p = rng.beta(2, 1, n)
    base, tuned = rng.binomial(samples, p) / samples, rng.binomial(samples, p) / samples
    theirs = scipy_stats.bootstrap(
        (tuned - base,), np.mean, method="percentile", n_resamples=9999, batch=500, rng=rng
    ).confidence_interval
    ours = paired_difference(base, tuned)
    assert ours.method == BOOTSTRAP
    # A 2.5% quantile of 9,999 normal draws has a standard error of 0.027 deviations; plus one lattice step.
    slack = 5 * 0.027 * ours.se + 1 / (n * samples)
    assert (ours.low, ours.high) == (
        pytest.approx(theirs.low, abs=slack),
        pytest.approx(theirs.high, abs=slack),
    )


@pytest.mark.parametrize("denominator", [1, 2, 3, 7, 8, 16, 60, 128])
def test_every_small_lattice_is_recognised_through_rounding(denominator):
    numerators = np.array([0, 1, denominator, denominator // 2])
    awkward = np.array([sum([1 / denominator] * m) for m in numerators])
    assert bootstrap_mean(awkward) == bootstrap_mean(numerators / denominator)


@pytest.mark.parametrize("scores", [[0.1234567, 0.5], [math.pi / 4], [0, 1 / 131]])
def test_scores_on_no_small_lattice_are_refused(scores):
    with pytest.raises(ValueError, match="multiples of 1/K"):
        bootstrap_mean(scores)


@pytest.mark.parametrize("scores", [[], [float("nan"), 1.0], [float("inf")], [70.0, 80.0], [[0.0, 1.0]], 0.5])
def test_bootstrap_refuses_bad_scores(scores):
    with pytest.raises(ValueError, match="scores"):
        bootstrap_mean(scores)


# ---- Tango


def test_tango_published_values():
    """(a, b, c, d): b and c are the discordant cells, n the sum of all."""
    published = {(1, 1, 7, 12): (-0.517, -0.026), (53, 16, 8, 9): (-0.020, 0.207)}
    for (a, b, c, d), (low, high) in published.items():
        interval = tango(b, c, a + b + c + d)
        assert (interval.low, interval.high) == (near(low, 0.0005), near(high, 0.0005))
    interval = tango(111, 58, N)
    assert (interval.low, interval.high) == (near(0.02111244), near(0.05980545))


def tango_by_likelihood(gained, lost, n):
    """Limits from a numerical maximum of the trinomial likelihood at each δ, and a root search over δ."""

    def statistic(delta):
        def minus_log_likelihood(q):
            cells = ((gained, q + delta), (lost, q), (n - gained - lost, 1 - 2 * q - delta))
            return -sum(count * math.log(max(p, 1e-300)) for count, p in cells if count)

        bounds = (max(0.0, -delta), (1 - delta) / 2)
        q = optimize.minimize_scalar(minus_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
        return (gained - lost - n * delta) / math.sqrt(n * (2 * q + delta - delta * delta))

    z, estimate, edge = 1.959963984540054, (gained - lost) / n, 1e-9
    low = optimize.brentq(lambda x: statistic(x) - z, -1 + edge, estimate - edge) if lost < n else -1.0
    high = optimize.brentq(lambda x: statistic(x) + z, estimate + edge, 1 - edge) if gained < n else 1.0
    return low, high


@pytest.mark.parametrize(
    ("gained", "lost", "n"),
    [
        (16, 8, 86),
        (1, 7, 21),
        (111, 58, N),
        (0, 0, 30),
        (5, 0, 30),
        (0, 3, 200),
        (8, 4, 12),
        (30, 0, 30),
        (1, 0, 2),
    ],
)
def test_tango_agrees_with_a_likelihood_search(gained, lost, n):
    interval = tango(gained, lost, n)
    low, high = tango_by_likelihood(gained, lost, n)
    assert (interval.low, interval.high) == (near(low, 2e-6), near(high, 2e-6))


def test_tango_closed_forms_at_the_extremes():
    z2 = 1.959963984540054**2
    assert tango(0, 0, N).high == pytest.approx(z2 / (N + z2), rel=1e-12)
    assert tango(0, 0, N).low == -tango(0, 0, N).high
    assert tango(12, 0, 12).high == 1.0
    assert tango(0, 12, 12).low == -1.0
    assert tango(1, 0, 1).high == 1.0
    assert -1 < tango(1, 0, 1).low < 0
    assert tango(40, 22, 500, level=0.8).low > tango(40, 22, 500, level=0.99).low


def test_tango_excludes_zero_exactly_where_uncorrected_mcnemar_rejects():
    z2 = 1.959963984540054**2
    for gained, lost in itertools.product(range(0, 40, 3), range(0, 40, 2)):
        interval = tango(gained, lost, 100)
        excludes = interval.low > 0 or interval.high < 0
        assert excludes == ((gained - lost) ** 2 > z2 * (gained + lost))


@pytest.mark.parametrize(("gained", "lost", "n"), [(-1, 0, 5), (3, 3, 5), (0, 0, 0)])
def test_tango_refuses_impossible_counts(gained, lost, n):
    with pytest.raises(ValueError, match="tango"):
        tango(gained, lost, n)


# ---- paired difference


def test_paired_reference_values():
    d = paired_difference(*pairs(111, 58, both_right=865))
    assert (d.gained, d.lost, d.n, d.method) == (111, 58, N, BOOTSTRAP)
    assert (d.base, d.tuned, d.estimate) == (923 / N, 976 / N, 53 / N)
    assert d.estimate == near(0.04018196)
    assert d.se == near(0.00979737)
    assert d.correlation == near(0.68635410)
    assert (d.low, d.high) == (28 / N, 78 / N)
    assert (d.exact_p, d.mid_p) == (near(0.00005562), near(0.00004186))


def test_paired_reference_values_with_several_samples():
    d = paired_difference(np.zeros(8), np.array([1, 0, 2, 0, 2, 0, 0, 1]) / 4)
    assert (d.estimate, d.method) == (0.1875, WITH_TWO_MORE)
    plain = bootstrap_mean(np.array([1, 0, 2, 0, 2, 0, 0, 1]) / 4)
    assert (plain.low, plain.high) == (0.0625, 0.34375)
    assert d.se == near(0.07834790)
    means = paired_difference(np.zeros(5), [1, 0.75, 0.25, 0, 0.75])
    assert (means.estimate, means.se) == (near(0.55), near(0.18371173))
    # The twenty answers pooled, n in the variance: what the resampling of question means is there to avoid.
    pooled = paired_difference(np.zeros(20), [1, 1, 1, 1, 1, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 0, 1])
    assert (pooled.estimate, pooled.se * math.sqrt(19 / 20)) == (near(0.55), near(0.11124298))


@pytest.mark.parametrize(
    ("gained", "lost", "method"),
    [
        (20, 4, TANGO),
        (20, 5, BOOTSTRAP),
        (19, 5, TANGO),
        (300, 4, TANGO),
        (4, 300, TANGO),
        (13, 12, BOOTSTRAP),
    ],
)
def test_few_flips_switch_to_tango(gained, lost, method):
    d = difference(gained, lost)
    assert d.method == method
    if method == TANGO:
        assert intervals.Interval(d.low, d.high) == tango(gained, lost, N)


def test_few_changes_of_several_samples_add_two_questions():
    """Two samples: the changes below of 40 questions, the others unchanged; beside them one of +1 and one of -1."""
    for up, down, method in ((5, 4, WITH_TWO_MORE), (5, 5, BOOTSTRAP), (12, 0, WITH_TWO_MORE), (9, 1, BOOTSTRAP)):
        change = np.repeat([0.5, -0.5, 0.0], [up, down, 40 - up - down])
        d = paired_difference(np.full(40, 0.5), 0.5 + change)
        assert d.method == method
        expected = bootstrap_mean(np.append(change, [1, -1]) if method == WITH_TWO_MORE else change)
        assert (d.low, d.high) == (min(expected.low, d.estimate), max(expected.high, d.estimate))
    assert paired.paired_difference([0.5] * 3, [1.0, 1.0, 0.5]).high >= 1 / 3


def test_format_component_is_three_valued_and_uses_tango():
    base, tuned = [-1, 0, 0, -1, 0], [0, 0, -1, 0, 0]
    d = paired_difference(base, tuned)
    assert (d.gained, d.lost, d.estimate, d.method) == (2, 1, 1 / 5, TANGO)
    assert intervals.Interval(d.low, d.high) == tango(2, 1, 5)


def test_identical_answers_are_no_certainty():
    for scores in ([1, 0, 1, 1], [0.25, 0.5, 1, 0]):
        d = paired_difference(scores, scores)
        assert (d.estimate, d.mid_p, d.exact_p, d.se, d.method) == (0.0, 1.0, 1.0, 0.0, TANGO)
        assert d.low < 0 < d.high
    assert paired_difference([1, 0, 1], [1, 0, 1]).correlation == 1.0


def test_equal_differences_of_several_samples_are_no_certainty():
    d = paired_difference([0.25, 0.5, 0.75], [0.5, 0.75, 1.0])
    assert (d.estimate, d.se, d.method) == (0.25, 0.0, RULE_OF_THREE)
    # Three equal differences: another value may have a probability of up to 1 - .025^(1/3) = 0.7076.
    assert (d.low, d.high) == (pytest.approx(0.25 - 0.7076 * 1.25, abs=1e-4), pytest.approx(0.7807, abs=1e-4))


def test_extremes():
    one = paired_difference([0], [1])
    assert (one.estimate, one.n, one.se, one.correlation, one.high) == (1.0, 1, None, None, 1.0)
    assert one.low < 0
    everything = difference(30, 0, 30)
    assert (everything.estimate, everything.se, everything.high, everything.method) == (1.0, 0.0, 1.0, TANGO)
    assert 0 < everything.low < 1
    assert paired_difference([True, False], [False, False]).lost == 1


@pytest.mark.parametrize(
    ("base", "tuned", "message"),
    [
        ([1, 0], [1], "2 questions, tuned has 1"),
        ([], [], "base: need at least one"),
        ([1, float("nan")], [1, 0], "base.*NaN"),
        ([1, 0], [1, None], "tuned.*NaN"),
        ([1, 70], [0, 80], r"\[-1, 1\]"),
        ([-1, 0], [1, 0], r"tuned - base.*\[-1, 1\]"),
        ([0.1234567], [1], "multiples of 1/K"),
        ([[1, 0]], [[1, 0]], "shape"),
    ],
)
def test_paired_difference_refuses_bad_input_in_one_line(base, tuned, message):
    with pytest.raises(ValueError, match=message) as error:
        paired_difference(base, tuned)
    assert "\n" not in str(error.value)


def plain(value):
    if isinstance(value, dict):
        return all(map(plain, value.values()))
    return value is None or type(value) in (int, float, str, bool)


def test_results_are_plain_python_and_repeatable():
    rng = np.random.default_rng(0)
    base, tuned = rng.binomial(8, 0.7, 500) / 8, rng.binomial(8, 0.7, 500) / 8
    for make in (
        lambda: finding.of(paired_difference(base, tuned)),
        lambda: finding.of(paired_difference(base >= 0.5, tuned >= 0.5)),
        lambda: proportion(base >= 0.5),
        lambda: bootstrap_mean(base),
        lambda: wilson(np.int64(3), np.int64(9)),
        lambda: tango(np.int64(3), np.int64(1), np.int64(9)),
    ):
        assert plain(asdict(make()))
        assert repr(make()) == repr(make())
    assert type(minimum_detectable_effect(np.int64(N), np.float64(0.1))) is float


# ---- minimum detectable effect


@pytest.mark.parametrize(
    ("discordance", "points"),
    [(0.02, 1.09), (0.05, 1.72), (0.10, 2.43), (0.15, 2.98), (0.20, 3.44), (0.30, 4.21), (0.40, 4.86)],
)
def test_minimum_detectable_effect_reference_values(discordance, points):
    effect = minimum_detectable_effect(N, discordance)
    assert round(100 * effect, 2) == points
    # It solves its defining equation: δ = (z_{α/2} + z_β)·sqrt((ψ - δ²)/n).
    z = special.ndtri(0.975) + special.ndtri(0.8)
    assert effect == pytest.approx(z * math.sqrt((discordance - effect**2) / N), rel=1e-12)


def test_the_corrected_effect_solves_its_equation():
    """(δ - 1/n) = (z_{α/2} + z_β)·sqrt((ψ - δ²)/n)."""
    z = special.ndtri(0.975) + special.ndtri(0.8)
    for n, discordance in ((N, 0.02), (N, 0.4), (300, 0.1), (50, 0.9)):
        effect = minimum_detectable_effect(n, discordance, correction=1.0)
        assert effect - 1 / n == pytest.approx(z * math.sqrt((discordance - effect**2) / n), rel=1e-12)
    assert minimum_detectable_effect(N, 0.0059, correction=1.0) is None  # six changes in one direction are too rare


def test_no_effect_exceeds_the_discordance():
    k = (special.ndtri(0.975) + special.ndtri(0.8)) ** 2 / N
    edge = k / (1 + k)
    assert minimum_detectable_effect(N, 0) is None
    assert minimum_detectable_effect(N, 0.999 * edge) is None
    assert minimum_detectable_effect(N, 1.001 * edge) <= 1.001 * edge
    assert minimum_detectable_effect(N, 0.1, power=0.9) > minimum_detectable_effect(N, 0.1)
    assert minimum_detectable_effect(N, 0.1, alpha=0.01) > minimum_detectable_effect(N, 0.1)


@pytest.mark.parametrize(("n", "discordance"), [(0, 0.1), (10, -0.1), (10, 1.1), (10, float("nan"))])
def test_minimum_detectable_effect_refuses_bad_input(n, discordance):
    with pytest.raises(ValueError, match="need n >= 1"):
        minimum_detectable_effect(n, discordance)


# ---- words


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (1.0, "1.00"),
        (0.27, "0.27"),
        (0.0391, "0.039"),
        (0.00056, "0.00056"),
        (0.0001, "0.00010"),
        (0.00009, "< 0.0001"),
        (0.0, "< 0.0001"),
        (0.05, "0.050"),
        (0.0499, "0.0499"),
        (0.04996, "0.04996"),
    ],
)
def test_p_values_read_well_and_never_cross_the_threshold(p, text):
    assert finding.spell_p(p) == text


# ---- properties

LATTICE = st.sampled_from([1, 2, 3, 4, 8])


@st.composite
def paired_scores(draw):
    k = draw(LATTICE)
    rows = draw(st.lists(st.tuples(st.integers(0, k), st.integers(0, k)), min_size=1, max_size=60))
    base, tuned = np.array(rows).T / k
    return base, tuned


@settings(deadline=None, max_examples=150, derandomize=True)
@given(paired_scores())
def test_paired_difference_properties(scores):
    base, tuned = scores
    d, swapped = paired_difference(base, tuned), paired_difference(tuned, base)
    assert -1 <= d.low <= d.estimate <= d.high <= 1
    assert d.low < d.high
    assert d.estimate == pytest.approx(float(np.mean(tuned - base)), abs=1e-12)
    assert (swapped.low, swapped.high) == (
        pytest.approx(-d.high, abs=1e-15),
        pytest.approx(-d.low, abs=1e-15),
    )
    assert (swapped.gained, swapped.lost, swapped.estimate) == (d.lost, d.gained, -d.estimate)
    assert (swapped.mid_p, swapped.exact_p, swapped.se) == (d.mid_p, d.exact_p, d.se)
    assert finding.of(swapped).kind == finding.of(d).kind
    order = np.random.default_rng(0).permutation(len(base))
    assert paired_difference(base[order], tuned[order]) == d
    assert 0 <= d.mid_p <= d.exact_p <= 1
    if d.n > 1:
        assert d.se == pytest.approx(float(np.std(tuned - base, ddof=1)) / math.sqrt(d.n), abs=1e-12)
    if d.correlation is not None:
        assert d.correlation == pytest.approx(float(np.corrcoef(base, tuned)[0, 1]), abs=1e-9)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 3000))
def test_tango_properties(gained, lost, rest):
    n = max(1, gained + lost + rest)
    interval, mirrored = tango(gained, lost, n), tango(lost, gained, n)
    assert -1 <= interval.low <= (gained - lost) / n <= interval.high <= 1
    assert interval.low < interval.high
    assert (mirrored.low, mirrored.high) == (-interval.high, -interval.low)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_properties(counts):
    k, n = counts
    interval = wilson(k, n)
    assert 0 <= interval.low <= k / n <= interval.high <= 1
    assert interval.low < interval.high
    assert wilson(n - k, n).low == pytest.approx(1 - interval.high, abs=1e-12)


# ---- coverage


def coverage(p_gain, p_loss, p_right, n, replications, seed):
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(n, [p_gain, p_loss, p_right, 1 - p_gain - p_loss - p_right], size=replications)
    truth, covered = p_gain - p_loss, 0
    for gained, lost, both_right, _ in draws.tolist():
        d = paired_difference(*pairs(gained, lost, n, both_right))
        covered += d.low <= truth <= d.high
    return covered / replications


def test_coverage_of_an_ordinary_difference():
    """.70 -> .74 with φ = .8 at n = 1,319: 94.5% was measured; the standard error here is 0.6."""
    p_both = 0.70 * 0.74 + 0.8 * math.sqrt(0.70 * 0.30 * 0.74 * 0.26)
    assert 0.925 < coverage(0.74 - p_both, 0.70 - p_both, p_both, N, 1500, seed=5) < 0.965


def test_coverage_where_the_plain_bootstrap_fails():
    """Format .985 -> .995 at n = 50: the percentile interval covers 48%, Tango's 99.9%."""
    assert coverage(0.0125, 0.0025, 0.9825, 50, 1500, seed=6) > 0.98


def test_interval_rule_covers_zero_under_rare_flips():
    """ψ = .01, n = 200, no difference, by enumeration: 98.6%."""
    covered = 0.0
    for flips in range(14):
        for gained in range(flips + 1):
            d = difference(gained, flips - gained, 200)
            if d.low <= 0 <= d.high:
                covered += scipy_stats.binom.pmf(flips, 200, 0.01) * scipy_stats.binom.pmf(gained, flips, 0.5)
    assert 100 * covered == near(98.6, 0.051)


def test_import_is_light():
    code = "import sys, harness.stats; print([m for m in ('scipy', 'torch', 'pandas') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
