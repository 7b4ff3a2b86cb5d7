"""Gains by task: clustered intervals against a regression and by hand, verdicts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from harness.stats import finding, paired, seeds, transfer
from harness.stats.transfer import CARRIES, HURTS, LESS, UNDETECTED, GainDifference
from tests.conftest import near


def made(rng, n=400, clusters=40, up=0.1, down=0.05):
    """0/1 scores of base and tuned with a common effect of each cluster, and the clusters."""
    names = [f"t{i % clusters}" for i in range(n)]
    effect = dict(zip(sorted(set(names)), rng.normal(0, 0.1, clusters), strict=True))
    base = (rng.random(n) < 0.5).astype(float)
    chance = np.array([effect[name] for name in names])
    flips = np.where(
        base == 1, rng.random(n) < np.clip(down - chance, 0, 1), rng.random(n) < np.clip(up + chance, 0, 1)
    )
    return base, np.where(flips, 1 - base, base), names


def test_a_clustered_gain_is_a_regression_with_cluster_robust_errors():
    for seed in range(5):
        base, tuned, names = made(np.random.default_rng(seed))
        found = transfer.gain(base, tuned, names)
        groups = np.unique(names, return_inverse=True)[1]
        fit = sm.OLS(tuned - base, np.ones(len(base))).fit(
            cov_type="cluster", cov_kwds={"groups": groups, "use_correction": True}, use_t=True
        )
        assert found.questions.se == near(fit.bse[0]) and found.clusters == 40
        assert (found.low, found.high) == near(tuple(fit.conf_int()[0]))
        assert found.p == near(fit.pvalues[0])


def test_cluster_sums_by_hand():
    """Reference value 6 of the design, whose factor is C/(C - 1)."""
    values, names = [1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 1, 1], list("aaabbbbccdddd")
    assert transfer.clustered_se(values, names) == near(0.15490457)
    alone = transfer.clustered_se([0.0, 1, 1, 0], list("abcd"))
    assert alone == near(np.std([0, 1, 1, 0], ddof=1) / 2)
    with pytest.raises(ValueError, match="at least 2"):
        transfer.clustered_se([0, 1], ["a", "a"])


def test_questions_that_stand_alone_have_the_interval_of_the_pair():
    base, tuned, _ = made(np.random.default_rng(1))
    found, pair = transfer.gain(base, tuned), paired.paired(base, tuned)
    assert (found.value, found.low, found.high, found.p) == (pair.estimate, pair.low, pair.high, pair.exact_p)
    assert pair.exact_p > pair.mid_p


def test_of_one_cluster_nothing_is_known_about_others():
    base, tuned, _ = made(np.random.default_rng(1))
    found = transfer.gain(base, tuned, ["one"] * len(base))
    assert (found.clusters, found.low, found.high, found.p) == (1, -1, 1, 1)
    assert transfer.detectable(found, 1) is None
    against = transfer.against(transfer.gain(base, tuned), found)
    assert (against.low, against.high) == (-2, 2) and against.p > 0.9
    assert transfer.gain([0], [1], ["one"]).clusters is None  # a question alone


def test_few_changes_make_no_interval_narrower():
    base, names = np.zeros(100), [str(i // 10) for i in range(100)]
    same = transfer.gain(base, base, names)
    assert same.low < -0.01 and same.high > 0.01 and same.p == 1 and "no narrower" in same.method
    few = base.copy()
    few[:3] = 1
    pair, found = paired.paired(base, few), transfer.gain(base, few, names)
    assert found.low <= pair.low and found.high >= pair.high and found.p >= pair.exact_p


def test_several_seeds_add_their_squares():
    rng = np.random.default_rng(3)
    base, first, names = made(rng)
    sides = np.stack([first, made(rng)[1], made(rng)[1]])
    alone, old = transfer.gain(base, sides), seeds.difference(base, sides)
    assert (alone.low, alone.high, alone.p) == (old.low, old.high, old.p)
    found = transfer.gain(base, sides, names)
    d = sides.mean(axis=0) - base
    own, trained = transfer.clustered_se(d, names), np.std([(s - base).mean() for s in sides], ddof=1) / math.sqrt(3)
    half = math.hypot(stats.t.ppf(0.975, 39) * own, stats.t.ppf(0.975, 2) * trained)
    assert (found.low, found.high) == near((d.mean() - half, d.mean() + half))


def test_the_difference_of_two_gains():
    rng = np.random.default_rng(4)
    base, tuned, _ = made(rng, n=900, up=0.4)
    other_base, other, names = made(rng, n=400, up=0.05)
    first, here = transfer.gain(base, tuned), transfer.gain(other_base, other, names)
    found = transfer.against(first, here)
    half = math.hypot(first.high - first.low, here.high - here.low) / 2
    assert found.value == near(here.value - first.value)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.03)
    # p is the level at which the interval touches 0.
    assert transfer.half_width((first.questions, here.questions), found.p / 2) == near(abs(found.value))
    assert transfer.against(first, first).p == near(1.0)


def test_the_difference_uses_that_trainings_are_shared():
    """Seeds that move both tasks alike leave no variance of theirs in the difference."""
    rng = np.random.default_rng(5)
    base = np.zeros(600)
    sides = np.stack([(np.arange(600) % 10 < k).astype(float) for k in (1, 3, 5)])
    first, here = transfer.gain(base, sides), transfer.gain(base, np.stack([rng.permutation(s) for s in sides]))
    found = transfer.against(first, here)
    assert found.high - found.low == near(2 * transfer.half_width((first.questions, here.questions)))
    assert first.high - first.low > 2 * (found.high - found.low)


def test_p_is_that_of_t_for_a_single_part():
    for value, df in ((0.1, 4), (0.3, 30), (0.02, 2)):
        part = transfer.Part(0.05, df)
        assert transfer.touching(value, [part]) == near(2 * stats.t.sf(value / 0.05, df))
    assert transfer.touching(0.2, [transfer.Part(0.05, None)]) == near(2 * stats.norm.sf(4))
    assert transfer.touching(0.2, [transfer.Part(0.0, None)]) == 1.0


def test_a_verdict_says_only_what_is_tested():
    rng = np.random.default_rng(6)
    base, better, _ = made(rng, n=800, up=0.5)
    up, down = transfer.gain(base, better), transfer.gain(better, base)
    none = transfer.gain(base, base)
    less, alike = GainDifference(-0.2, -0.3, -0.1, 0.001), GainDifference(-0.05, -0.15, 0.05, 0.3)
    assert transfer.verdict(up, 0.01, alike, 0.6) == CARRIES
    assert transfer.verdict(up, 0.01, less, 0.01) == f"{CARRIES}, but {LESS}"
    assert transfer.verdict(down, 0.01, less, 0.01) == HURTS
    assert transfer.verdict(none, 1.0, less, 0.01) == LESS
    assert transfer.verdict(none, 1.0, alike, 1.0) == UNDETECTED
    assert transfer.verdict(up, 0.06, less, 0.06) == UNDETECTED  # the correction took it away


def test_what_is_detectable_grows_with_the_number_of_tests_and_with_clusters():
    base, tuned, names = made(np.random.default_rng(7))
    alone, clustered = transfer.gain(base, tuned), transfer.gain(base, tuned, names)
    one, five = transfer.detectable(alone, 1), transfer.detectable(alone, 5)
    assert 0 < one < five < 0.2
    power = stats.nct.sf(
        stats.t.ppf(0.975, 39), 39, transfer.detectable(clustered, 1) / clustered.questions.se
    )  # of the t test on the clusters
    assert power == pytest.approx(0.8, abs=0.02)
    two = transfer.gain(base, np.stack([tuned, base]))
    assert transfer.detectable(two, 1) is None


def test_what_is_detectable_with_several_samples_does_not_depend_on_a_sum_that_happens_to_be_whole():
    base, tuned = np.ones(200), np.ones(200)
    base[:4], tuned[4:8] = 0.5, 0.5  # squared changes add up to 2
    record = finding.record(paired.paired(base, tuned))
    assert transfer.detectable(transfer.gain(base, tuned), 1) == record.detectable == near(0.0415, 1e-4)


@pytest.mark.parametrize("names", [None, [f"template {n // 2}" for n in range(32)]])
def test_what_few_changed_questions_detect_is_not_said_to_be_less_than_their_interval(names):
    """Trainings that hardly change an answer vary hardly; the interval is then that of the few changes, and wider."""
    base, tuned = np.zeros(32), np.zeros((3, 32))
    for right in (0, 1):
        tuned[0, 0] = right
        found = transfer.gain(base, tuned, names)
        half = (found.high - found.low) / 2
        assert transfer.detectable(found, 3) > half > 0.05
        assert transfer.half_width(found.parts) == pytest.approx(half)
        other = transfer.against(found, found)
        assert (other.high - other.low) / 2 >= half


def test_coverage_of_the_clustered_interval():
    """The truth is the superpopulation mean, to which simulated clusters and questions are drawn."""
    rng, hits, narrow = np.random.default_rng(8), 0, 0
    for _ in range(400):
        effect = rng.normal(0.0, 0.15, 30)
        names = [i for i in range(30) for _ in range(10)]
        base, chance = rng.random(300), np.clip(0.5 + effect[names], 0, 1)
        tuned = (rng.random(300) < chance).astype(float)
        before = (base < 0.5).astype(float)
        found = transfer.gain(before, tuned, list(map(str, names)))
        hits += found.low <= 0.0 <= found.high
        pair = paired.paired(before, tuned)
        narrow += pair.low <= 0.0 <= pair.high
    assert hits / 400 > 0.92 and narrow < hits
