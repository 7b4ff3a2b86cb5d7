"""What trainings with several seeds detect: against simulations that share nothing with the formula but its words."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from harness.stats import paired, power, seeds
from harness.stats.power import chance_over_seeds, detectable, minimum_detectable_effect, planned
from harness.stats.seeds import Components, Trainings

DRAWS = 200_000


def simulated_power(effect, se_question, sides, seed=1):
    """How often an estimate lies beyond the half-width, of trainings drawn one by one."""
    rng = np.random.default_rng(seed)
    estimate = effect + rng.normal(0, se_question, DRAWS)
    squares = np.full(DRAWS, (scipy_stats.norm.ppf(0.975) * se_question) ** 2)
    for se, count in sides:
        trained = rng.normal(0, se * math.sqrt(count), (count, DRAWS))
        estimate = estimate + trained.mean(axis=0)
        squares += (scipy_stats.t.ppf(0.975, count - 1) * scipy_stats.sem(trained, axis=0)) ** 2
    return float((estimate**2 > squares).mean())


def of(se_question, *sides):
    return Components(se_question, tuple(Trainings(*side) for side in sides))


@pytest.mark.parametrize(
    ("se_question", "sides"),
    [
        (0.01, [(0.003, 2)]),
        (0.01, [(0.02, 2)]),
        (0.01, [(0.01, 3)]),
        (0.01, [(0.05, 3)]),
        (0.01, [(0.02, 5)]),
        (0.01, [(0.01, 3), (0.02, 4)]),
    ],
)
def test_planned_power_is_that_of_simulated_trainings(se_question, sides):
    true = of(se_question, *sides)
    effect = power.over_seeds(true)
    assert simulated_power(effect, se_question, sides) == pytest.approx(0.8, abs=0.006)
    half = simulated_power(effect / 2, se_question, sides)
    assert chance_over_seeds(effect / 2, true) == pytest.approx(half, abs=0.006)
    assert chance_over_seeds(0.0, true) == pytest.approx(simulated_power(0.0, se_question, sides), abs=0.006)


def test_without_seeds_of_their_own_it_is_the_normal_formula():
    z = scipy_stats.norm.ppf(0.975) + scipy_stats.norm.ppf(0.8)
    assert power.over_seeds(of(0.01, (0.0, 3))) == pytest.approx(0.01 * z, rel=1e-3)


@pytest.mark.parametrize("ratio", [0.3, 1.0, 5.0])
@pytest.mark.parametrize("count", [3, 5])
def test_what_a_run_states_has_its_power_in_19_of_20(ratio, count):
    """Normal trainings on normal questions, 3,000 runs: below the true 80% effect lie under 5% of the stated ones."""
    n, share = 1319, 0.05
    question = math.sqrt(share / n)
    needed = power.over_seeds(of(question, (ratio * question, count)))  # itself checked above
    rng, low = np.random.default_rng(3), 0
    for _ in range(3000):
        se = float(scipy_stats.sem(rng.normal(0, ratio * question * math.sqrt(count), count)))
        drawn = rng.binomial(n, share) / n
        d = seeds.SeedsDifference(0.5, 0.5, 0.0, -1, 1, "", 1.0, se, math.sqrt(drawn / (n - 1)), se,
                                  (Trainings(se, count),), (0.0,) * count, n, None)  # fmt: skip
        low += (detectable(d) or 1.0) < needed
    assert low / 3000 < 0.05


def test_two_seeds_bound_nothing():
    rng = np.random.default_rng(3)
    base = rng.random(400) < 0.5
    tuned = rng.random((3, 400)) < 0.55
    assert detectable(seeds.over_seeds(base, tuned[:2])) is None
    assert detectable(seeds.over_seeds(tuned[:2], tuned)) is None
    assert detectable(seeds.over_seeds(base, tuned)) > 0


def test_a_plan_over_seeds_is_at_least_that_of_one_pair_and_no_more_than_can_change():
    pair = minimum_detectable_effect(1319, 0.1, correction=1.0)
    found = [planned(1319, 0.1, deviation, 5) for deviation in (1e-6, 0.005, 0.01, 0.02)]
    assert found[0] == pytest.approx(pair)
    assert found == sorted(found) and found[1] > pair
    expected = power.over_seeds(of(math.sqrt(0.1 / 1319), (0.01 / math.sqrt(5), 5)))
    assert found[2] == pytest.approx(expected)
    assert planned(1319, 0.1, 0.02, 2) is None  # it would be over 10 points
    assert planned(20, 0.05, 0.01, 3) is None


# ---- plans in the report's terms


@pytest.mark.parametrize(("gained", "lost", "n"), [(80, 52, 1319), (40, 26, 660), (20, 12, 320)])
def test_a_plan_states_what_the_report_of_such_a_run_states(gained, lost, n):
    base = np.repeat([0, 1, 0], [gained, lost, n - gained - lost])
    tuned = np.repeat([1, 0, 0], [gained, lost, n - gained - lost])
    assert power.stated(n, (gained + lost) / n) == pytest.approx(detectable(paired.paired(base, tuned)), rel=1e-9)


def test_a_plan_of_several_samples_states_what_such_a_run_states():
    rng = np.random.default_rng(2)
    base, tuned = (rng.binomial(8, 0.5, 400) / 8 for _ in range(2))
    found = paired.paired(base, tuned)
    square = float(((tuned - base) ** 2).mean())
    assert power.stated(400, square, samples=8) == pytest.approx(detectable(found), rel=1e-9)


def test_a_plan_of_several_trainings_states_what_such_a_run_states():
    rng = np.random.default_rng(3)
    base = rng.random(800) < 0.5
    tuned = np.stack([np.where(rng.random(800) < flips, ~base, base) for flips in (0.2, 0.25, 0.3, 0.22)])
    found = seeds.over_seeds(base, tuned)
    square = power.moved(800, found.estimate, found.se_question) / 800
    said = power.stated(800, square, deviation=float(np.std(found.per_seed, ddof=1)), count=4)
    assert found.means is None and said == pytest.approx(detectable(found), rel=1e-9)
    assert said > planned(800, square, float(np.std(found.per_seed, ddof=1)), 4, samples=2)


def test_two_trainings_and_too_few_changes_are_stated_as_nothing():
    assert power.stated(1000, 0.1, deviation=0.01, count=2) is None
    assert power.stated(64, 0.0) is None
    assert planned(1319, 0.1, 0.5, 1) == minimum_detectable_effect(1319, 0.1, correction=1.0)
