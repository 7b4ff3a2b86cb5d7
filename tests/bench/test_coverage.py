"""A small coverage study: enumerated numbers are asserted exactly, simulated ones within their standard error."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from scipy import stats as scipy_stats

from harness.bench import coverage, designs, outcomes, power, seed_designs
from harness.bench.coverage import Row, flips, rate, study, tally
from harness.bench.designs import Design, Draw
from tests.conftest import harness

N = 1319
REPLICATIONS = 150


def figures(rows):
    """(coverage, type I error) by method."""
    return {row.method: (row.coverage, row.type_one) for row in rows}


of_the_small_study = pytest.mark.xdist_group("small study")  # one worker, so that it is made once


@cache
def small_study():
    return [row for rows in study(REPLICATIONS, 200) for row in rows]


# ---- enumeration


def test_coverage_of_a_rate_equals_a_sum_of_binomial_chances():
    rows = figures(rate(50, 0.01))
    z2 = 1.959963984540054**2
    covered = 0.0
    for k in range(51):
        # Wilson's interval holds p where |k - 50p| <= z·sqrt(50·p·(1 - p)).
        covered += scipy_stats.binom.pmf(k, 50, 0.01) * ((k - 0.5) ** 2 <= z2 * 50 * 0.01 * 0.99)
    assert rows["Wilson"][0] == pytest.approx(100 * covered, abs=1e-4)


@pytest.mark.parametrize(
    ("n", "p", "method", "percent"),
    [
        (N, 0.75, "Wilson", 95.1),
        (N, 0.75, "bootstrap", 95.4),
        (50, 0.01, "Wilson", 91.1),
        (50, 0.01, "bootstrap", 38.6),
    ],
)
def test_reference_coverage_of_rates(n, p, method, percent):
    """The references were simulated 4,000 times: 3 standard errors are about 1 point, 2.3 at 38.6%."""
    allowed = 300 * math.sqrt(percent / 100 * (1 - percent / 100) / 4000)
    assert figures(rate(n, p))[method][0] == pytest.approx(percent, abs=allowed)


def test_reference_figures_of_rare_flips():
    """ψ = .01, n = 200, by enumeration: the interval rule covers 98.6%, mid-p errs in 0.27%."""
    rows = figures(flips("rare", 200, 0.005, 0.005))
    assert rows["interval rule"] == (pytest.approx(98.6, abs=0.051), pytest.approx(1.4, abs=0.051))
    assert rows["mid-p"] == (None, pytest.approx(0.27, abs=0.0051))
    assert figures(flips("ψ .05", N, 0.025, 0.025))["exact p"][1] == pytest.approx(3.78, abs=0.0051)
    # Format .985 → .995, φ = 0: both right .980075. Tango's 99.9% was simulated.
    assert figures(flips("format", 50, 0.014925, 0.004925))["interval rule"][0] == pytest.approx(99.9, abs=0.051)


def test_reference_coverage_of_an_ordinary_difference():
    """.70 → .74, φ = .8: 94.5% (percentile) and 94.7% (Tango) were simulated 4,000 times."""
    both = 0.70 * 0.74 + 0.8 * math.sqrt(0.70 * 0.30 * 0.74 * 0.26)
    (row,) = flips("ordinary", N, 0.74 - both, 0.70 - both)
    assert row.coverage == pytest.approx(94.6, abs=1.0)
    assert row.error is None and row.type_one is None
    assert row.changed == pytest.approx(N * (1.44 - 2 * both), abs=1e-3)


@of_the_small_study
def test_every_paired_design_keeps_what_is_asked():
    rows = [row for row in small_study() if row.design.startswith("paired")]
    assert len(rows) > 20
    assert [row.exception for row in rows if row.exception] == []


# ---- simulation


@of_the_small_study
def test_simulated_rows_are_reproducible_and_never_certain():
    rows = [row for row in small_study() if row.error is not None]
    assert len(rows) > 15
    assert all(row.error > 0 for row in rows)
    twice = ([row for group in study(5, 200) for row in group if row.error] for _ in range(2))
    assert next(twice) == next(twice)


# Rates near 1, whose intervals reach further down than up.
SHRUNK = {
    "pass@4 of K 8, rate": 0.1, "K 8, rate, 1.0% never": 0.3,
    "K 8, rate, 0.1% never": 0.15, "3 seeds, rate, 1.0% never": 0.3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("design", "times", "draw"),
    [pytest.param(*each, id=f"{each[0].name}, n {each[0].n}") for each in coverage.simulated()],
)
def test_intervals_lie_around_the_truth_of_their_design(design, times, draw):
    """The centres are within .02 widths, apart from simulation error; with a wrong truth they were .2 or more off."""
    rng, spans = np.random.default_rng(8), {}
    for _ in range(100 if times == 1 else 16):
        for method, span in draw(rng).intervals.items():
            spans.setdefault(method, []).append(span)
    for method in (method for method in spans if not method.startswith("(")):
        low, high = np.array(spans[method]).T
        off = ((low + high) / 2 - design.truth) / (high - low).mean()
        error = off.std(ddof=1) / math.sqrt(len(off))
        assert abs(off.mean()) < SHRUNK.get(design.name, 0.02) + 4 * error


@of_the_small_study
def test_the_sign_test_is_no_test_of_a_mean_and_sign_flips_are():
    """Equal means, unequal spread: the full study finds 16.7% for the sign test."""
    (design,) = {row.design for row in small_study() if row.design.startswith("K 8, same mean")}
    rows = {row.method: row for row in small_study() if row.design == design}
    assert rows["(mid-p, sign test)"].type_one > 8 > rows["mid-p"].type_one


@of_the_small_study
def test_question_means_cover_also_where_few_change():
    rows = {(row.design, row.method): row for row in small_study()}
    assert rows["K 8, alike, 100% open", "interval rule"].coverage == pytest.approx(95, abs=6)
    # 4.3 questions change, nearly all upwards: the plain bootstrap was measured to cover 85.8%.
    few = rows["K 8, better, 3% open", "interval rule"]
    assert few.coverage > 96 and not few.exception


def test_random_numbers_of_a_design_hang_on_its_name_alone():
    here, again, other, sized = (
        outcomes.own_rng(Design(name, n, 0.0, True)).random() for name, n in (("a", 9), ("a", 9), ("b", 9), ("a", 8))
    )
    assert here == again and len({here, other, sized}) == 3
    named = [(design.name, design.n) for design, _, _ in coverage.simulated()]
    assert len(set(named)) == len(named)


@pytest.mark.parametrize(("counts", "ratio"), [((2,), 5.0), ((5,), 0.3), ((3,), 1.0), ((2, 5), 1.0)])
def test_trainings_have_the_ratio_and_the_difference_that_they_are_made_for(counts, ratio):
    sides = seed_designs.of_ratio(N, counts, 0.04, ratio)
    rng, means, question, effect = np.random.default_rng(4), [], [], 0.02
    for _ in range(800):
        base = sides[0].base(rng)
        first = [base] if len(sides) == 1 else sides[0].tuned(rng, base)
        second = sides[-1].tuned(rng, base, effect)
        d = np.mean(second, axis=0) - np.mean(first, axis=0)
        means.append(d.mean())
        question.append(d.var() / N)
    seed = sum(side.deviation**2 / side.count for side in sides)
    assert math.sqrt(seed / np.mean(question)) == pytest.approx(ratio, rel=0.1)
    assert np.mean(means) == pytest.approx(effect, abs=4 * np.std(means) / math.sqrt(800))
    assert np.var(means) == pytest.approx(seed + np.mean(question), rel=0.2)


# ---- power


def test_enumerated_power_is_that_of_the_rule_by_binomial_chances():
    """20 of 200 questions expected to change; the exact test, the strictest part of the rule, has that power alone."""
    given, bare = power._pair(200, 0.1)
    for row in (given, bare):
        gain, expected = (1 + row.points / 10) / 2, 0.0
        for changed in range(70):
            lost = [k for k in range(changed // 2 + 1) if 2 * scipy_stats.binom.cdf(k, changed, 0.5) < 0.05]
            if lost:
                both = scipy_stats.binom.cdf(lost[-1], changed, 1 - gain) + scipy_stats.binom.sf(
                    changed - lost[-1] - 1, changed, 1 - gain
                )
                expected += scipy_stats.binom.pmf(changed, 200, 0.1) * both
        assert row.power == pytest.approx(100 * expected, abs=0.3)
    assert given.power == pytest.approx(80, abs=0.01) and bare.power < 77 and bare.exception == ""


def test_power_rows_over_seeds_are_what_they_are_called():
    (side,) = [side for name, side in power.trainings() if side.n == 200]
    given, stated = power._over_seeds("3 seeds", side, 60)
    assert given.power == pytest.approx(80, abs=4 * given.error)
    assert stated.share == pytest.approx(96, abs=4 * stated.error) and stated.points > given.points
    (only,) = power._over_seeds("2 seeds", seed_designs.of_ratio(200, (2,), 0.1, 0.3)[0], 20)
    assert only.share is None  # two seeds state none


@pytest.mark.parametrize(
    ("of", "chance", "share", "exception"),
    [
        ("over seeds, given", 79.0, None, ""),
        ("over seeds, given", 76.0, None, "power 76.00%, asked 77 to 83%"),
        ("over seeds, stated", None, 95.2, ""),
        ("over seeds, stated", None, 94.0, "80% or more 94.00%, asked 95 to 100%"),
        ("(without the correction)", 70.0, None, ""),
    ],
)
def test_exceptions_of_power_say_what_was_asked(of, chance, share, exception):
    assert power.Row("d", 200, of, 3.0, chance, share, 0.1).exception == exception


# ---- the table


def test_tally_weighs_outcomes():
    """Chance .75 of [1, 3] and .25 of [-1, 0] where the truth is 2: 75% coverage, mean width 1.75."""
    draws = [(0.75, Draw(4, {"a": (1.0, 3.0)})), (0.25, Draw(8, {"a": (-1.0, 0.0)}))]
    (row,) = tally(Design("by hand", 9, 2.0, False), draws)
    assert row == Row("by hand", 9, 5.0, "a", 75.0, None, None, 175.0)
    null = [(0.5, Draw(1, {"a": (0.0, 1.0)}, {"p": 0.04})), (0.5, Draw(1, {"a": (0.5, 1.0)}, {"p": 0.05}))]
    interval, test = tally(Design("null", 9, 0.0, True), null, simulations=2)
    assert (interval.coverage, interval.type_one, test.coverage, test.type_one) == (50.0, 50.0, None, 50.0)
    assert interval.error == pytest.approx(100 * math.sqrt(0.5 * 0.5 / 2))


@pytest.mark.parametrize(
    ("method", "changed", "coverage", "type_one", "error", "exception"),
    [
        ("interval rule", 10, 96.5, None, None, "coverage 96.50%, asked 94 to 96%"),
        ("interval rule", 9.9, 99.0, None, None, ""),
        ("interval rule", 9.9, 93.9, None, 0.35, "coverage 93.90%, asked 94 to 100%, within 2 standard errors"),
        ("mid-p", 10, None, 3.9, None, "type I error 3.90%, asked 4 to 6%"),
        ("mid-p", 5, None, 0.1, None, ""),
        ("exact p", 500, None, 5.1, None, "type I error 5.10%, asked 0 to 5%"),
        ("exact p", 500, None, 2.0, None, ""),
        ("(questions only)", 500, 77.0, None, None, ""),
        ("over seeds", 500, 98.4, None, None, ""),
        ("over seeds", 500, 98.6, None, None, "coverage 98.60%, asked 94 to 98.5%"),
        ("over seeds", 5, 99.0, None, None, ""),
        ("over seeds, both sides", 500, 99.5, None, None, ""),
        ("over seeds, both sides", 500, 93.5, None, None, "coverage 93.50%, asked 94 to 100%"),
    ],
)
def test_exceptions_say_what_was_asked(method, changed, coverage, type_one, error, exception):
    assert Row("d", 100, changed, method, coverage, type_one, error, None).exception == exception


def test_the_command_prints_the_table_and_its_exceptions():
    done = harness("bench", "coverage", "--quick", "--replications", "20")
    assert done.returncode == 0, done.stderr
    assert "| rate 0.01                          |    50 |   0.5 | Wilson " in done.stdout
    assert "rate 0.01, n 50, Wilson: coverage 91.06%, asked 94 to 100%" in done.stdout
    assert "A paired interval with its tests at n = 1,319:" in done.stdout


def test_multinomial_chances_agree_with_scipy():
    counts = np.array([[0, 1, 3, 10], [0, 2, 3, 0]])
    expected = scipy_stats.multinomial.pmf(np.vstack([counts, 10 - counts.sum(axis=0)]).T, 10, [0.2, 0.3, 0.5])
    assert outcomes.multinomial(10, counts, (0.2, 0.3)) == pytest.approx(expected, rel=1e-10)


def test_a_band_holds_only_where_all_of_it_does():
    rows = tally(
        Design("curves", 9, 0.0, False),
        [(0.9, Draw(9, bands={"sup-t": (True, 0.1)})), (0.1, Draw(9, bands={"sup-t": (False, 0.3)}))],
    )
    assert [(row.method, row.coverage, row.width) for row in rows] == [("sup-t", pytest.approx(90), pytest.approx(12))]
    assert "asked 94 to 100%" in rows[0].exception


@of_the_small_study
def test_the_band_over_k_covers_and_without_its_two_questions_it_does_not():
    rows = [row for row in small_study() if row.design.startswith("k 1 to")]
    kept = [row for row in rows if row.method == "sup-t band"]
    assert len(kept) == 11 and all(row.coverage >= 94 - 3 * row.error for row in kept)
    plain = {(row.design, row.n): row.coverage for row in rows if row.method.startswith("(")}
    assert plain["k 1 to 16, nearly all solved", 128] < 80


def test_the_truth_of_a_mixture_is_that_of_many_samples():
    mixture, rng = designs.MIXTURES[2], np.random.default_rng(4)
    kind = rng.choice(4, 200_000, p=mixture.shares)
    sides = (rng.random((3, 200_000)) < np.array(side)[kind] for side in (mixture.before, mixture.after))
    before, after = (side.any(axis=0).mean() for side in sides)
    assert mixture.truth(3)[2] == pytest.approx(after - before, abs=0.005)
