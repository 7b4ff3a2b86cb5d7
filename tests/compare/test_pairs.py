"""Many runs: corrections against reference values and statsmodels, all pairs against each pair alone."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from harness.compare.pairs import CORRECTED, Comparison, compare_all, kind
from harness.stats import finding
from harness.stats.paired import paired_difference
from harness.stats.paired_tests import holm, mcnemar
from harness.stats.seeds import over_seeds
from tests.stats.test_intervals import difference


def test_reference_values():
    p = [0.0004, 0.009, 0.021, 0.022, 0.041, 0.30]
    assert holm(p) == pytest.approx([0.0024, 0.045, 0.084, 0.084, 0.084, 0.30], abs=1e-12)


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_corrections_agree_with_statsmodels_in_any_order(size):
    p = np.random.default_rng(size).beta(0.5, 3, size)
    p[0] = p[-1]  # a tie
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1], abs=1e-12)


def test_corrections_of_nothing_and_of_nonsense():
    assert holm([]) == []
    for p in ([1.1], [-0.1], [float("nan")], [[0.5]]):
        with pytest.raises(ValueError, match="p-values"):
            holm(p)


def test_all_pairs_of_runs_with_one_sample():
    rng = np.random.default_rng(1)
    scores = {name: rng.random(400) < rate for name, rate in (("r8", 0.6), ("r16", 0.62), ("400 steps", 0.75))}
    found = compare_all(scores)
    assert [(c.first, c.second) for c in found] == [("r8", "r16"), ("r8", "400 steps"), ("r16", "400 steps")]
    for c in found:
        d = paired_difference(scores[c.first], scores[c.second])
        assert c.difference == d
        assert c.p == mcnemar(d.gained, d.lost).mid_p
    assert [c.holm_p for c in found] == holm([c.p for c in found])
    assert found[1].holm_p < 0.05 < found[0].holm_p


def test_what_is_borderline_by_itself_is_nothing_after_the_correction():
    def verdicts(gained, lost, holm_p):
        d = difference(gained, lost, 1200)
        return kind(Comparison("a", "b", d, d.mid_p, holm_p), finding.of(d))

    assert verdicts(35, 19, 0.12) == verdicts(28, 15, 0.15) == CORRECTED
    assert (verdicts(35, 19, 0.03), verdicts(28, 15, 0.0499)) == ("detected", "borderline")
    assert verdicts(20, 15, 0.9) == "not detected"


def test_several_samples_are_tested_by_how_much_each_question_moved():
    rng = np.random.default_rng(2)
    scores = {name: rng.binomial(8, rng.beta(2, 1, 100)) / 8 for name in "ab"}
    (c,) = compare_all(scores)
    assert c.p == c.holm_p == paired_difference(scores["a"], scores["b"]).mid_p
    assert c.difference == paired_difference(scores["a"], scores["b"])


def test_several_seeds_a_run():
    rng = np.random.default_rng(3)
    scores = {name: rng.random((s, 100)) < 0.6 for name, s in (("a", 2), ("b", 3), ("c", 3))}
    found = compare_all(scores)
    assert len(found) == 3
    assert found[0].difference == over_seeds(scores["a"], scores["b"])
    assert [c.p for c in found] == [c.difference.p for c in found]


def test_what_cannot_be_compared_is_refused():
    assert compare_all({"one seed": [1, 0], "two": [[1, 0], [0, 1]]}) == []
    with pytest.raises(ValueError, match="2 questions, tuned has 3"):
        compare_all({"a": [1, 0], "b": [1, 0, 1]})
    assert compare_all({"alone": [1, 0]}) == []
