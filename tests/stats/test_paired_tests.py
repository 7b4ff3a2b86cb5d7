"""McNemar's test and sign flips against published values, enumeration and other libraries."""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from scipy import stats as scipy_stats

from harness.stats import paired_tests
from harness.stats.paired_tests import mcnemar, seeded_sign_flip, sign_flip
from tests.conftest import near

N = 1319


def integers(base, tuned, samples):
    """The differences of scores that are multiples of 1/samples, times samples."""
    return np.rint((np.asarray(tuned) - np.asarray(base)) * samples).astype(np.int64)


# ---- McNemar


def test_mcnemar_reference_values():
    assert (mcnemar(40, 22).exact, mcnemar(40, 22).mid_p) == (near(0.03001586), near(0.02257497))
    assert (mcnemar(7, 1).exact, mcnemar(7, 1).mid_p) == (0.0703125, 0.0390625)
    assert (mcnemar(111, 58).exact, mcnemar(111, 58).mid_p) == (near(0.00005562), near(0.00004186))
    assert (mcnemar(0, 0).exact, mcnemar(0, 0).mid_p) == (1.0, 1.0)
    assert (mcnemar(30, 30).exact, mcnemar(30, 30).mid_p) == (1.0, 1.0)


def test_mcnemar_corrected_reference_ties_the_counts():
    sm = pytest.importorskip("statsmodels.stats.contingency_tables")
    assert sm.mcnemar([[0, 86], [150, 0]], exact=False, correction=True).pvalue == near(0.00004115)
    assert mcnemar(150, 86).mid_p < mcnemar(150, 86).exact < 0.0001


@pytest.mark.parametrize(("gained", "lost"), [(1, 0), (0, 6), (5, 1), (40, 22), (22, 40), (300, 360), (2100, 1990)])
def test_mcnemar_agrees_with_statsmodels(gained, lost):
    sm = pytest.importorskip("statsmodels.stats.contingency_tables")
    assert mcnemar(gained, lost).exact == pytest.approx(sm.mcnemar([[0, lost], [gained, 0]]).pvalue, rel=1e-9)


@pytest.mark.parametrize(("gained", "lost"), [(9, 2), (4000, 4300), (9000, 9000), (6000, 100)])
def test_mcnemar_agrees_with_scipy_for_large_counts(gained, lost):
    expected = scipy_stats.binomtest(gained, gained + lost, 0.5).pvalue
    point = scipy_stats.binom.pmf(gained, gained + lost, 0.5)
    p = mcnemar(gained, lost)
    assert p.exact == pytest.approx(expected, rel=1e-9, abs=1e-300)
    if gained != lost:
        assert p.mid_p == pytest.approx(expected - point, rel=1e-9, abs=1e-300)


def test_mcnemar_takes_numpy_counts_and_refuses_negative_ones():
    assert mcnemar(np.int64(300), np.int64(200)) == mcnemar(300, 200)
    with pytest.raises(ValueError, match="negative"):
        mcnemar(-1, 3)


def rejection_rate(n, discordance, test):
    """Type I error of a two-sided test at .05 by enumeration: flips are binomial, gains are half of them."""
    rate = 0.0
    for changed in range(int(n * discordance + 8 * math.sqrt(n * discordance)) + 8):
        critical = -1  # the largest smaller count that rejects
        while 2 * (critical + 1) < changed and test(mcnemar(changed - critical - 1, critical + 1)) < 0.05:
            critical += 1
        if critical >= 0:
            rate += scipy_stats.binom.pmf(changed, n, discordance) * 2 * special.bdtr(critical, changed, 0.5)
    return 100 * rate


@pytest.mark.parametrize(
    ("discordance", "percent"), [(0.01, 0.27), (0.02, 1.69), (0.05, 4.11), (0.10, 4.57), (0.20, 4.83)]
)
def test_mid_p_type_one_error_by_enumeration(discordance, percent):
    assert rejection_rate(200, discordance, lambda p: p.mid_p) == near(percent, 0.0051)


@pytest.mark.parametrize(("discordance", "percent"), [(0.01, 2.56), (0.05, 3.78), (0.20, 4.35)])
def test_exact_type_one_error_by_enumeration(discordance, percent):
    assert rejection_rate(N, discordance, lambda p: p.exact) == near(percent, 0.0051)


# ---- sign flips


@pytest.mark.parametrize(("gained", "lost"), [(40, 22), (7, 1), (0, 0), (5, 5), (3, 0), (150, 86)])
def test_with_one_sample_the_sign_flip_is_mcnemar(gained, lost):
    d = np.repeat([1, -1, 0], [gained, lost, 50])
    assert sign_flip(d) == mcnemar(gained, lost)
    assert sign_flip(3 * d) == mcnemar(gained, lost)  # any one size of step


def flips_by_enumeration(d):
    """Over all 2^n signs; half of the ties count for mid-p, and all where the sum is 0, as in McNemar's."""
    d, observed, reached = np.array(d), abs(sum(d)), [0, 0]
    for signs in itertools.product([-1, 1], repeat=len(d)):
        total = abs(int(d @ signs))
        reached[0] += total >= observed
        reached[1] += total > observed
    exact = reached[0] / 2 ** len(d)
    return exact, sum(reached) / 2 / 2 ** len(d) if observed else exact


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.lists(st.integers(-8, 8), min_size=1, max_size=9))
def test_sign_flips_equal_enumeration(d):
    found = sign_flip(np.array(d))
    exact, mid_p = flips_by_enumeration(d)
    assert (found.exact, found.mid_p) == (pytest.approx(exact, abs=1e-11), pytest.approx(mid_p, abs=1e-11))


def test_sign_flips_agree_with_scipy_and_seeded_ones_with_both():
    rng = np.random.default_rng(7)
    p = rng.beta(2, 2, 200)
    d = rng.binomial(16, 1 - 0.95 * (1 - p)) - rng.binomial(16, p)
    theirs = scipy_stats.permutation_test(
        (d,), lambda x, axis: x.sum(axis=axis), permutation_type="samples", vectorized=True,
        n_resamples=10_000, batch=500, rng=8,
    ).pvalue  # fmt: skip
    tolerance = 5 * math.sqrt(2 * theirs * (1 - theirs) / 10_000)
    assert 0.001 < theirs < 0.5
    assert sign_flip(d).exact == pytest.approx(theirs, abs=tolerance)
    seeded = seeded_sign_flip(d / 1820)
    assert seeded.exact == pytest.approx(theirs, abs=tolerance)
    assert seeded.mid_p == pytest.approx(sign_flip(d).mid_p, abs=tolerance)
    assert seeded == seeded_sign_flip(d / 1820)


def test_p_values_keep_their_floor_and_their_symmetry():
    rng = np.random.default_rng(9)
    assert sign_flip(rng.integers(1, 4, 1319)).exact == paired_tests.P_FLOOR
    moved = rng.integers(-1, 2, 1319) * rng.integers(1, 3, 1319)
    assert sign_flip(moved) == sign_flip(-moved)
    assert seeded_sign_flip(rng.random(300) + 0.1).exact == 1 / 10_001
    assert asdict(seeded_sign_flip(np.array([0.31, -0.31, 0.0]))) == {"exact": 1.0, "mid_p": 1.0}
    assert seeded_sign_flip(np.zeros(4)).mid_p == 1.0


def test_powers_by_squaring_are_powers():
    base = np.array([0.5, -1.25, 0.0])
    for exponent in (1, 2, 7, 40):
        assert paired_tests.integer_power(base, exponent) == pytest.approx(base**exponent, rel=1e-14)


def test_seeded_sign_flips_do_not_depend_on_the_order_of_the_questions():
    d = np.append(np.random.default_rng(3).normal(0.02, 0.1, 100), [0.0] * 7)
    assert seeded_sign_flip(d) == seeded_sign_flip(np.random.default_rng(4).permutation(d)) == seeded_sign_flip(-d)
