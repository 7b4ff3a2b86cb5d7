"""The verdict on a difference: the rule, the sentences, and the power that they state."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats as scipy_stats

from harness.stats import finding, paired, scores, seeds
from harness.stats.intervals import wilson
from harness.stats.paired import paired_difference
from harness.stats.paired_tests import mcnemar
from harness.stats.power import detectable, minimum_detectable_effect, moved, one_way
from harness.util import files, typed
from tests.stats.test_intervals import N, difference, pairs


def said(difference):
    return str(finding.of(difference).sentence())


# ---- what would have been detected


def test_detectable_uses_the_upper_limit_of_the_discordance_and_the_correction():
    d = difference(111, 58)
    assert moved(d.n, d.estimate, d.se) == pytest.approx(169)
    assert detectable(d) == minimum_detectable_effect(N, wilson(169, N).high, correction=1.0)
    assert detectable(d) > minimum_detectable_effect(N, wilson(169, N).high)
    assert detectable(difference(0, 0)) is None


@pytest.mark.parametrize(
    ("n", "discordance", "low", "high"),
    [(N, 0.02, 82, 84), (N, 0.05, 80, 82), (N, 0.15, 79.9, 81), (N, 0.4, 79.5, 80.5), (200, 0.1, 79.9, 80.1)],
)
def test_the_detectable_effect_has_the_power_that_is_claimed(n, discordance, low, high):
    """By enumeration of the exact test, which is the strictest part of the rule; without the correction 76 to 79%."""
    powers = []
    for correction in (1.0, 0.0):
        effect = minimum_detectable_effect(n, discordance, correction=correction)
        gain, power = (1 + effect / discordance) / 2, 0.0
        for changed in np.flatnonzero(scipy_stats.binom.pmf(np.arange(n + 1), n, discordance) > 1e-7):
            lost = np.arange(changed // 2 + 1)
            rejected = lost[2 * scipy_stats.binom.cdf(lost, changed, 0.5) < 0.05]
            if len(rejected):
                chance = scipy_stats.binom.cdf(rejected[-1], changed, 1 - gain)
                power += scipy_stats.binom.pmf(changed, n, discordance) * chance
        powers.append(100 * power)
    assert low < powers[0] < high
    assert 75 < powers[1] < 79


@pytest.mark.parametrize(("n", "discordance"), [(6, 1.0), (7, 1.0), (10, 0.9), (20, 1.0), (60, 0.2)])
def test_of_few_questions_the_chance_of_a_detected_gain_is_enumerated(n, discordance):
    """Every number of changed questions and of gains among them, by the verdict itself."""
    effect = minimum_detectable_effect(n, discordance, correction=1.0)
    chance = 0.0
    for changed in range(n + 1):
        for gained in range(changed // 2 + 1, changed + 1):
            if finding.of(difference(gained, changed - gained, n)).detected == "up":
                better = (1 + effect / discordance) / 2
                made = scipy_stats.binom.pmf(changed, n, discordance)
                chance += made * scipy_stats.binom.pmf(gained, changed, better)
    assert chance == pytest.approx(0.8, abs=1e-6)


def test_five_questions_detect_nothing():
    """The smallest exact p is 2/32."""
    for n in range(1, 6):
        assert minimum_detectable_effect(n, 1.0, correction=1.0) is None
        assert finding.of(difference(n, 0, n)).detectable is None
    assert minimum_detectable_effect(7, 1.0, alpha=0.01, correction=1.0) is None


def test_with_several_samples_small_moves_count_for_little():
    """40 of 100 questions move by 1/4: 40/16 = 2.5 whole changes, of which the limit takes 3."""
    d = paired.paired_difference(np.full(100, 0.5), 0.5 + np.repeat([0.25, -0.25, 0], [20, 20, 60]))
    assert moved(d.n, d.estimate, d.se) == pytest.approx(2.5)
    v = finding.of(d)
    assert (v.discordance, v.discordance_high) == (pytest.approx(0.025), wilson(3, 100).high)
    # δ² stays below the mean square of the changes, δ itself need not.
    assert v.detectable == minimum_detectable_effect(100, v.discordance_high, correction=1.0, whole=False)
    assert v.detectable > v.discordance_high


def test_changes_in_one_direction_need_six():
    """P(Bin(n, δ) >= 6) = .8."""
    for n in (6, 48, N):
        assert scipy_stats.binom.sf(5, n, one_way(n)) == pytest.approx(0.8, abs=1e-9)
    assert mcnemar(6, 0).exact < 0.05 < mcnemar(5, 0).exact
    assert one_way(5) is None
    assert said(difference(0, 0, 5)) == (
        "No difference in accuracy detected; with so few questions changed, this design detects no difference with "
        "80% power. Not one of 5 questions changed."
    )


# ---- verdict


def test_detected():
    v = finding.of(paired_difference(*pairs(111, 58, both_right=865)))
    assert (v.kind, v.direction, v.disagreement) == ("detected", "up", "")
    assert v.discordance == pytest.approx(169 / N)
    assert v.discordance_high == wilson(169, N).high
    assert str(v.sentence()) == (
        "Accuracy rose by 4.0 points (95% interval 2.1 to 5.9; gained 111, lost 58; mid-p < 0.0001, exact p < 0.0001)."
    )
    fell = finding.of(difference(58, 111)).sentence("strict accuracy")
    assert (fell.claim, fell.joint) == ("Strict accuracy fell by 4.0 points", " ")
    assert fell.evidence.startswith("(95% interval −5.9 to −2.1; gained 58, lost 111;")


def test_not_detected_is_never_no_effect():
    v = finding.of(difference(60, 55))
    assert (v.kind, v.direction) == ("not detected", "up")
    assert str(v.sentence()) == (
        "No difference in accuracy detected; "
        f"this design detects ≥ {100 * v.detectable:.2f} points with 80% power. "
        "Observed +0.4 points (95% interval −1.2 to 2.0; gained 60, lost 55; mid-p 0.64, exact p 0.71)."
    )
    assert "Observed −0.4 points" in str(finding.of(difference(55, 60)).sentence())
    assert "Observed 0.0 points" in str(finding.of(difference(30, 30)).sentence())
    assert "with so few questions changed, this design detects" in str(finding.of(difference(1, 1)).sentence())


def test_identical_answers_say_what_would_have_been_seen_and_are_a_warning():
    v = finding.of(difference(0, 0))
    assert (v.kind, v.detectable, v.direction) == ("not detected", None, "none")
    nothing = (
        "No difference in accuracy detected; with so few questions changed, this design detects a difference with 80% "
        "power only if all changes go in one direction: ≥ 0.60 points. Not one of 1,319 questions changed."
    )
    assert str(v.sentence()) == nothing


def test_over_seeds_few_changes_are_no_reason_to_say_that_nothing_can_be_detected():
    """Of 200 questions each of five seeds gains 6 of its own: parts of many questions, whose squares are small."""
    tuned = np.zeros((5, 200))
    for seed in range(5):
        tuned[seed, 6 * seed : 6 * seed + 6] = 1
    d = seeds.over_seeds(np.zeros(200), tuned)
    assert d.means and finding.of(d).kind == "detected"
    assert 0.02 < detectable(d) < 0.06
    assert "means" not in typed.plain(finding.record(d))


def test_over_seeds_the_seeds_stand_in_the_sentence():
    base = np.repeat([1, 0], [50, 50])
    tuned = np.array([np.repeat([1, 0], [k, 100 - k]) for k in (70, 72, 75)])
    d = seeds.over_seeds(base, tuned)
    sentence = said(d)
    assert sentence.startswith("Accuracy rose by 22.3 points (95% interval ")
    assert sentence.endswith(f"; mean of 3 training seeds, +20.0, +22.0, +25.0; p {finding.spell_p(d.p)}).")
    v = finding.of(seeds.over_seeds(base, np.array([base, np.roll(base, 1)])))
    assert (v.kind, v.discordance) == ("not detected", None)


def test_two_seeds_state_no_power_and_the_sentence_says_why():
    rng = np.random.default_rng(2)
    base = rng.random(400) < 0.5
    v = finding.of(seeds.over_seeds(base, base ^ (rng.random((2, 400)) < 0.1)))
    assert (v.kind, v.detectable) == ("not detected", None)
    assert str(v.sentence()).startswith(
        "No difference in accuracy detected; no power is given: two seeds do not bound how much trainings vary. "
        "Observed "
    )
    apart = np.array([np.repeat([1, 0], [k, 400 - k]) for k in (10, 200, 390)])
    v = finding.of(seeds.over_seeds(np.zeros(400), apart))
    assert (v.detectable, v.design()) == (
        None,
        "this design is not known to detect any difference with 80% power",
    )


@pytest.mark.parametrize(
    ("gained", "lost"),
    [(24, 12), (28, 15), (32, 18), (36, 21), (40, 24), (41, 25), (45, 28), (50, 32), (55, 36), (56, 37)],
)
def test_an_endpoint_of_exactly_zero_contains_zero(gained, lost):
    for d in (difference(gained, lost), difference(lost, gained)):
        assert 0.0 in (d.low, d.high)
        assert d.mid_p < 0.05
        v = finding.of(d)
        assert v.kind == "borderline"
        assert "the interval contains 0 while mid-p" in v.disagreement


def test_an_interval_without_zero_and_a_large_p_is_borderline():
    v = finding.of(difference(7, 1, 200))
    assert v.difference.low > 0
    assert (v.kind, v.direction) == ("borderline", "up")
    assert v.disagreement == "the interval excludes 0 while exact p is not below 0.05"
    assert str(v.sentence()) == (
        "Borderline: accuracy rose by 3.0 points (95% interval 0.3 to 6.6; gained 7, lost 1; mid-p 0.039, "
        "exact p 0.070), but the interval excludes 0 while exact p is not below 0.05; "
        f"this design detects ≥ {100 * v.detectable:.2f} points with 80% power."
    )
    both = finding.of(difference(4, 0, 200))
    assert both.disagreement == "the interval excludes 0 while mid-p and exact p are not below 0.05"


def test_verdict_follows_its_rule_for_all_small_counts():
    for gained, lost in itertools.product(range(0, 60, 2), range(0, 60, 3)):
        d = difference(gained, lost, 400)
        excluded, small = d.low > 0 or d.high < 0, {d.mid_p < 0.05, d.exact_p < 0.05}
        expected = {(True, True): "detected", (False, False): "not detected"}
        kind = expected[excluded, small.pop()] if small in ({excluded},) else "borderline"
        assert finding.of(d).kind == kind


def test_small_limits_do_not_read_as_zero():
    v = finding.of(difference(70, 40, 100_000))
    assert v.kind == "detected"
    assert "Accuracy rose by 0.03 points (95% interval 0.01 to 0.05;" in str(v.sentence())


def test_what_files_hold_of_a_difference_and_of_a_rate_has_a_type():
    one, many = np.array([0, 1, 1, 0]), np.array([[1, 1, 1, 0], [1, 1, 0, 1]])
    rates = ((scores.rate(one, 1), scores.Rate), (scores.rate(one / 2, 2), scores.Rate))
    pairs = ((paired.paired(one, many[0]), finding.PairedRecord), (seeds.difference(one, many), finding.SeedsRecord))
    for made, kind in (*rates, *((finding.record(each), kind) for each, kind in pairs)):
        assert isinstance(made, kind)
        assert typed.parse(kind, files.as_json(typed.plain(made)).encode(), "here") == made
