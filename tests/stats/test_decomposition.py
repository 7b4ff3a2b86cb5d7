"""The parts of strict accuracy: their definition by brute force, that they add up, and what they are called."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.stats import intervals, paired, scores, seeds
from harness.stats.decomposition import Parts, decompose

RULES = {"deadline": None, "max_examples": 150, "derandomize": True}


class Sample(NamedTuple):
    """One judged completion of a question."""

    id: str
    correct: bool
    exact_format: bool
    marked: bool
    tags_ok: bool = True

    @property
    def strict(self):
        return self.correct and self.exact_format


def side(*questions, format_too=False):
    """Columns from the kinds of each question's samples: "M" right and marked, "m" marked, "R" right, "-" neither."""
    samples = [Sample(str(i), k in "MR", format_too, k in "Mm") for i, kinds in enumerate(questions) for k in kinds]
    return scores.per_question(samples)


def estimates(parts: Parts):
    return [part.estimate for part in parts]


@pytest.mark.parametrize(
    ("base", "tuned", "mathematics", "readability"),
    [
        ("m", "M", 1, 0),  # both marked, and only the tuned model's is right
        ("M", "m", -1, 0),
        ("M", "M", 0, 0),
        ("R", "M", 0, 0),  # right before and after: marking it gains nothing
        ("-", "M", 0, 1),  # the base wrote no marked answer: who knows what it would have been
        ("-", "R", 0, 1),
        ("R", "-", 0, -1),
        ("M", "-", 0, -1),
        ("R", "m", 0, -1),
    ],
)
def test_of_single_answers_only_those_that_both_marked_are_mathematics(base, tuned, mathematics, readability):
    assert estimates(decompose(side(base), side(tuned)))[:2] == [mathematics, readability]


def test_a_base_whose_right_answers_cannot_be_read_gains_no_mathematics():
    """It packs 6 boxes and has 18 pens (two numbers in a block), or is cut; the tuned model writes 18."""
    found = decompose(side(*"-" * 30, *"M" * 70), side(*"M" * 100))
    assert estimates(found)[:2] == [0, 0.3]
    assert (found.mathematics.gained, found.readability.gained) == (0, 30)


KINDS = st.sampled_from("MmR-")


@st.composite
def two_models(draw):
    n, k = draw(st.integers(1, 30)), draw(st.integers(1, 5))
    questions = st.lists(st.lists(KINDS, min_size=k, max_size=k), min_size=n, max_size=n)
    return draw(questions), draw(questions)


@settings(**RULES)
@given(two_models())
def test_mathematics_is_the_chance_that_of_two_marked_answers_one_alone_is_right(models):
    base, tuned = models
    found = decompose(side(*base), side(*tuned))
    pairs = Fraction(len(base[0]) ** 2 * len(base))
    gained = lost = 0
    for before, after in zip(base, tuned, strict=True):
        for b, t in itertools.product(before, after):
            gained, lost = gained + (b == "m" and t == "M"), lost + (b == "M" and t == "m")
    assert found.mathematics.estimate == pytest.approx(float((gained - lost) / pairs), abs=1e-12)


@settings(**RULES)
@given(two_models(), st.booleans())
def test_the_parts_add_up_exactly_and_change_sign_with_the_sides(models, format_too):
    base, tuned = side(*models[0]), side(*models[1], format_too=format_too)
    found, swapped = decompose(base, tuned), decompose(tuned, base)
    accuracy, strict = (paired.paired(base[name], tuned[name]) for name in ("accuracy", "strict"))
    # In whole numbers: every part is one of 1/(n·K²).
    unit = len(models[0]) * len(models[0][0]) ** 2
    counts = [part.estimate * unit for part in (*found, accuracy, strict)]
    assert counts == pytest.approx(np.rint(counts), abs=1e-6)
    m, r, f, a, s = (round(count) for count in counts)
    assert (m + r, m + r + f) == (a, s)
    assert estimates(swapped) == pytest.approx([-each for each in estimates(found)], abs=1e-15)
    for part, mirrored in zip(found, swapped, strict=True):
        assert (part.gained, part.lost, part.exact_p) == (mirrored.lost, mirrored.gained, mirrored.exact_p)


def test_over_seeds_each_seed_is_decomposed_against_the_same_base():
    rng = np.random.default_rng(0)
    draw = lambda: side(*(rng.choice(list("MmR-"), 2) for _ in range(40)))  # noqa: E731
    base, each = draw(), [draw() for _ in range(3)]
    found = decompose(base, {name: np.stack([one[name] for one in each]) for name in base})
    alone = [decompose(base, one) for one in each]
    for name in Parts._fields:
        part = getattr(found, name)
        assert part.method == seeds.OVER_SEEDS
        assert part.per_seed == pytest.approx([getattr(one, name).estimate for one in alone])
        # The trainings of one experiment: their own spread, once.
        spread = np.std(part.per_seed, ddof=1) / np.sqrt(3)
        assert [t.count for t in part.trainings] == [3] and part.se_seed == pytest.approx(spread)


@pytest.mark.parametrize(("k", "method"), [(13, paired.SEEDED_WITH_TWO_MORE), (5, intervals.WITH_TWO_MORE)])
def test_beyond_the_exact_bootstrap_the_parts_are_seeded_draws(k, method):
    """1/13² is no lattice for it, 1/5² is."""
    base = ["M" * i + "m" * (k - i) for i in range(k + 1)] * 4
    tuned = ["M" * i + "-" * (k - i) for i in reversed(range(k + 1))] * 4
    found = decompose(side(*base), side(*tuned))
    assert (found.mathematics.method, found.readability.method) == (method, method)
    assert found.mathematics.estimate == pytest.approx(-found.readability.estimate, abs=1e-12)


def test_scores_that_contradict_each_other_are_refused():
    good, wrong = side("M", "m"), side("M", "m")
    wrong[scores.RIGHT_AND_MARKED] = np.array([1.0, 1.0])
    with pytest.raises(ValueError, match="tuned: right and marked counts an answer that accuracy does not"):
        decompose(good, wrong)
    with pytest.raises(ValueError, match="base: strict counts an answer that format does not"):
        decompose(good | {"strict": np.array([1.0, 0.0])}, good)
    with pytest.raises(ValueError, match="the same questions"):
        decompose(good, side("M"))
