"""The one verdict: what it says in twenty situations, and that no sentence contradicts its numbers."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.report import verdict, write
from harness.report.summarize import summarize
from harness.report.summary import Parts, ScorerSide, ScorerView, Training, Truncation
from harness.report.verdict import FOUND, Verdict, judge
from harness.stats import decomposition, finding, scores, seeds
from harness.stats.finding import in_points, signed
from tests.constructed import make_run
from tests.report.test_robustness import first_screen, watched
from tests.stats.test_intervals import difference as pair_of

SAMPLED = ("eval.samples=4", "eval.temperature=1.0")


class Situation(NamedTuple):
    """A run in outcomes (tests.constructed), what its first lines must say, and what they must not."""

    base: list
    tuned: list | dict
    says: tuple[str, ...]
    never: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    rewards: tuple[float, ...] | None = None  # of ten steps


SITUATIONS = {
    "a right answer that could not be read is no mathematics": Situation(
        ["ambiguous"] * 30 + ["right"] * 70,
        ["right"] * 100,
        (
            "**Accuracy rose by 30.0 points (",
            "**Of the +30.0 points of accuracy, +0.0 [−3.7, +3.7] (not detected) are mathematics",
            "and +30.0 [+21.9, +39.6] (a detected gain) readability",
            "**30.0% of the base's and 0.0% of the tuned completions have no marked, whole answer",
        ),
    ),
    "nor is one that was cut": Situation(
        ["right, cut"] * 30 + ["right"] * 70,
        ["right"] * 100,
        (
            "and +30.0 [+21.9, +39.6] (a detected gain) readability",
            "lies between +0.0 and +30.0 points: no difference is detected at the lower end, a rise at the upper.**",
        ),
    ),
    "between marked answers it is mathematics, and nothing more is said": Situation(
        ["wrong"] * 40 + ["right"] * 60,
        ["right"] * 100,
        ("**Accuracy rose by 40.0 points (",),
        ("mathematics", "readability", "whole answer", "cut"),
    ),
    "mathematics and readability of opposite signs": Situation(
        ["wrong"] * 40 + ["right"] * 60,
        ["right"] * 80 + ["nothing"] * 20,
        ("+40.0 [", "(a detected gain) are mathematics", "−20.0 [", "(a detected loss) readability"),
    ),
    "accuracy stays and the format falls": Situation(
        ["right"] * 150 + ["wrong"] * 50,
        ["right"] * 119 + ["right, no format"] * 32 + ["wrong"] * 49,
        (
            "**No difference in accuracy detected, but the format fell by 16.0 points; ",
            "Accuracy: observed +0.5 points",
        ),
    ),
    "accuracy rises and the format falls": Situation(
        ["right"] * 60 + ["wrong"] * 40,
        ["right, no format"] * 60 + ["right"] * 30 + ["wrong"] * 10,
        (
            "**Accuracy rose by 30.0 points, but the format fell by 60.0 points (accuracy: 95% interval ",
            "; format: 95%",
        ),
    ),
    "both rise": Situation(
        ["wrong, no format"] * 60 + ["right"] * 40,
        ["right"] * 100,
        ("**Accuracy rose by 60.0 points, and the format rose by 60.0 points (",),
    ),
    "a borderline difference is borderline in every part": Situation(
        ["wrong"] * 7 + ["right"] * 193,
        ["right"] * 7 + ["wrong"] + ["right"] * 192,
        (
            "**Borderline: accuracy rose by 3.0 points (",
            "but the interval excludes 0 while exact p is not below 0.05",
            "\nOur scorer detects a borderline rise in accuracy (+3.0 points). Of the published scorers of others, ",
        ),
        ("a detected gain",),
    ),
    "a borderline difference beside a format that fell": Situation(
        ["wrong"] * 7 + ["right"] * 193,
        ["right"] * 7 + ["wrong"] + ["right"] * 132 + ["right, no format"] * 60,
        (
            "**Borderline: accuracy rose by 3.0 points; the format fell by 30.0 points (accuracy: ",
            "Of accuracy the interval excludes 0 while exact p is not below 0.05; this design detects ",
        ),
    ),
    "scorers of others that detect what ours does not": Situation(
        ["right at the end"] * 60 + ["wrong"] * 40,
        ["wrong"] * 100,
        (
            "**Our scorer detects no difference in accuracy (+0.0 points). "
            "Of the published scorers of others, 4 can read most of these answers: 2 find the same",
            "; 2 detect a fall (lm-eval flexible-extract −60.0, Inspect match(numeric) −60.0)",
            "The size of the difference is detected to be another than ours under: lm-eval flexible-extract",
        ),
    ),
    "scorers of others that detect the opposite": Situation(
        ["right at the end"] * 60 + ["wrong"] * 40,
        ["right in the block"] * 80 + ["wrong"] * 20,
        (
            "**Our scorer detects a rise in accuracy (+80.0 points). "
            "Of the published scorers of others, 4 can read most of these answers: 2 find the same",
            "; 2 detect a fall (lm-eval flexible-extract −60.0",
        ),
    ),
    "a scorer with the sign of ours and another size": Situation(
        ["wrong"] * 60 + ["right"] * 40,
        ["right"] * 80 + ["right in the block"] * 20,
        (
            "\nOur scorer detects a rise in accuracy (+60.0 points). "
            "Of the published scorers of others, 4 can read most of these answers: 3 find the same (",
            "lm-eval flexible-extract +40.0",
            " The size of the difference is detected to be another than ours under: "
            "lm-eval flexible-extract, Inspect match(numeric).\n",
        ),
    ),
    "no scorer of others is applicable": Situation(
        ["nothing"] * 60,
        ["right"] * 60,
        ("No published scorer of others can read most of these answers: the result rests on ours alone.",),
    ),
    "one seed's gain is not that of two": Situation(
        ["right"] * 100 + ["wrong"] * 100,
        {1: ["right"] * 112 + ["wrong"] * 88, 2: ["right"] * 98 + ["wrong"] * 102},
        (
            "**No difference in accuracy detected; no power is given: two seeds",
            "\nOur scorer detects no difference in accuracy (+2.5 points). "
            "Of the published scorers of others, 4 can read most of these answers: 4 find the same (",
        ),
        ("a rise",),
    ),
    "of several samples a question's score rises, the question is not gained": Situation(
        [("right", "wrong", "wrong", "wrong")] * 40,
        [("right", "right", "wrong", "wrong")] * 30 + [("right", "wrong", "wrong", "wrong")] * 10,
        ("the score rose on 30 questions and fell on 0", "| rose | fell |"),
        ("gained",),
        SAMPLED,
    ),
    "cut completions that decide nothing": Situation(
        ["wrong"] * 50 + ["right"] * 50,
        ["right"] * 94 + ["right, cut"] * 6,
        (
            "**0.0% of the base's and 6.0% of the tuned completions were cut at the token limit and count as wrong; ",
            "the difference of accuracy lies between +44.0 and +50.0 points: a rise is detected at both ends.**",
        ),
    ),
    "cut completions that decide all": Situation(
        ["right"] * 80 + ["wrong, cut"] * 20,
        ["right"] * 90 + ["wrong"] * 10,
        ("lies between −10.0 and +10.0 points: a fall is detected at the lower end, a rise at the upper.**",),
    ),
    "nothing changed at all": Situation(
        ["right"] * 60 + ["wrong"] * 40,
        ["right"] * 60 + ["wrong"] * 40,
        ("in use: the training changed too little to show.**",),
        ("mathematics",),
    ),
    "the reward rises and accuracy falls": Situation(
        ["right"] * 60,
        ["wrong"] * 40 + ["right"] * 20,
        ("**The reward rose (from 1.00 to 10.00), and accuracy on these questions fell.**",),
        (),
        ("train.steps=10",),
        tuple(range(1, 11)),
    ),
    "the reward rises and accuracy is not seen to": Situation(
        ["right"] * 60,
        ["right"] * 60,
        ("**The reward rose (from 1.00 to 10.00), and accuracy on these questions is not detected to have changed.**",),
        (),
        ("train.steps=10",),
        tuple(range(1, 11)),
    ),
    "both rise, which is said without emphasis": Situation(
        ["wrong"] * 60,
        ["right"] * 60,
        (
            "**Accuracy rose by 100.0 points",
            "\nThe reward rose (from 1.00 to 10.00), and accuracy on these questions rose.",
        ),
        ("**The reward rose",),
        ("train.steps=10",),
        tuple(range(1, 11)),
    ),
    "answers that are marked less often": Situation(
        ["right, no format"] * 50 + ["wrong, no format"] * 50,
        ["right, no format"] * 48 + ["right, unmarked"] * 2 + ["wrong, no format"] * 50,
        ("**0.0% of the base's and 2.0% of the tuned completions have no marked, whole answer",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SITUATIONS)
def test_in_every_situation_the_first_lines_say_what_is_so(tmp_path, name):
    situation = SITUATIONS[name]
    run = make_run(tmp_path, situation.base, situation.tuned, *situation.overrides)
    if situation.rewards:
        watched(run, rewards=situation.rewards)
    else:
        write.write(run)
    head = first_screen(run)
    for words in situation.says:
        assert words in head, f"{words}\nnot in\n{head}"
    for words in situation.never:
        assert words not in head, f"{words}\nin\n{head}"
    assert not contradictions(verdict.of(summarize(run)))


# ---- the checker


def contradictions(v: Verdict) -> list[str]:
    """What the sentences of a verdict say against its numbers. It reads nothing but the verdict."""
    wrong = []

    def check(right: bool, what: str) -> None:
        if not right:
            wrong.append(what)

    opening, a, f = str(v.opening()), v.accuracy, v.format
    rose = {"up": "rose", "down": "fell"}
    check(opening.startswith("No difference in accuracy detected") == (a.kind == "not detected"), "opening: accuracy")
    check(opening.startswith("Borderline: ") == (a.kind == "borderline"), "opening: borderline")
    if a.kind != "not detected":
        check(
            f"ccuracy {rose[a.direction]} by {in_points(*_ends(a))[0].lstrip('−')} points" in opening, "opening: size"
        )
    for way, verb in rose.items():
        check((f"the format {verb} by" in opening) == (f.detected == way), f"opening: format {verb}")
    for name, part in {"mathematics": v.mathematics, "readability": v.readability, "format": v.format_gap}.items():
        said = re.search(r"(\S+ \[\S+ \S+\]) \(([^)]*)\)(?: are)?(?: the)? " + name, v.parts())
        check(said is not None and said[1] == finding.change(part.difference), f"parts: {name}")
        check(said is not None and said[2] == part.word, f"parts: what is claimed of {name}")
    if (split := v.split()) is not None:
        check(f"{finding.change(v.mathematics.difference)} ({v.mathematics.word}) are mathematics" in split, "split")
    m, r = v.mathematics.difference.value, v.readability.difference.value
    check((split is None) == (r == 0 or (abs(r) < abs(m) and m * r > 0)), "split: when")
    check(m + r == pytest.approx(a.difference.value, abs=1e-12), "parts of accuracy")
    check(
        m + r + v.format_gap.difference.value == pytest.approx(v.strict.difference.value, abs=1e-12), "parts of strict"
    )
    panel = v.panel()
    check(
        panel.startswith(f"Our scorer detects {FOUND[a.outcome]} in accuracy ({signed(a.difference.value)[0]} "),
        "panel: ours",
    )
    for view in v.scorers:
        check((f"{view.name} {signed(view.difference.value)[0]}" in panel) == view.applicable, f"panel: {view.name}")
    unlike = panel.partition(" detected to be another than ours under: ")[2].rstrip(".")
    check(unlike == ", ".join(s.name for s in v.scorers if s.applicable and s.differs), "panel: size")
    ends = {bound.outcome for bound in v.cut_bounds}
    check(("at both ends" in v.truncation()) == (len(ends) == 1), "truncation")
    check(v.cut_changes() == (ends != {a.outcome}), "truncation: what it changes")
    if said := v.reward():
        came = {"up": "questions rose.", "down": "questions fell.", None: "questions is not detected to have changed."}
        borderline = f"questions shows {FOUND[a.outcome]}." if a.kind == "borderline" else None
        check(said.endswith(borderline or came[a.detected]), "reward: accuracy")
        check(
            said.startswith("The reward rose") == all(each.reward_rose for each in v.trained), "reward: whether it rose"
        )
    check(v.reward_apart() <= (a.detected != "up"), "reward: emphasis")
    accuracy = (v.mathematics, v.readability)
    whole = {"accuracy": (a, accuracy), "strict accuracy": (v.strict, (*accuracy, v.format_gap))}
    split_alone = [
        name for name, (found, parts) in whole.items() if found.detected and not any(p.detected for p in parts)
    ]
    check(bool(v.undivided()) == bool(split_alone), "undivided")
    for text, part in ((str(v.opening()), a), (v.parts(), v.strict)):
        if part.difference.low > 0 or part.difference.high < 0:
            for bound in in_points(part.difference.low, part.difference.high):
                check(float(bound.replace("−", "-")) != 0, f"a bound that is not 0 is shown as 0: {text}")
    return wrong


def _ends(found):
    return found.difference.value, found.difference.low, found.difference.high


@st.composite
def verdicts(draw):
    n, k, trainings = draw(st.integers(2, 40)), draw(st.sampled_from([1, 1, 3])), draw(st.sampled_from([1, 1, 2, 3]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kinds = ["MmR-SsF"[:size] for size in (2, 4, 7)][draw(st.integers(0, 2))]
    base = _columns(rng, n, k, kinds, rng.dirichlet(np.ones(len(kinds))))
    each = [_columns(rng, n, k, kinds, rng.dirichlet(np.ones(len(kinds)))) for _ in range(trainings)]
    tuned = each[0] if trainings == 1 else {name: np.stack([one[name] for one in each]) for name in base}
    differences = finding.differences(base, tuned)
    parts = Parts(**{k: finding.record(p) for k, p in decomposition.decompose(base, tuned)._asdict().items()})
    views = [_view(rng, base, tuned, name) for name in ("first", "second", "third")]
    ends = [replace(differences.accuracy), replace(differences.accuracy)]
    cut = Truncation(base_cut=0.02, tuned_cut=0.0, lowest=ends[0], highest=ends[1])
    trained = Training(
        seed=1, steps=1, completions=1, dropped_prompts=0, reward_first=0.0, reward_last=1.0, profiles_disagree={},
        reward_rose=bool(rng.integers(2)),
    )  # fmt: skip
    return judge(differences, parts, cut, (0.5, 0.9), views, [trained] * trainings, identical=False)


def _columns(rng, n, k, kinds, chances):
    drawn = rng.choice(list(kinds), (n, k), p=chances)
    of = {
        "accuracy": np.isin(drawn, list("MRS")), "strict": drawn == "S", "format": np.isin(drawn, list("SsF")),
        "marked": np.isin(drawn, list("MmSs")), scores.RIGHT_AND_MARKED: np.isin(drawn, list("MS")),
    }  # fmt: skip
    return {name: values.mean(axis=1) for name, values in of.items()}


def _view(rng, base, tuned, name):
    kept = rng.random(base["accuracy"].shape) < rng.random()
    found = finding.of(seeds.difference(base["accuracy"] * kept, tuned["accuracy"] * kept))
    return ScorerView(
        name=name, source="", reads="", base=ScorerSide(0, 1, 1), tuned=ScorerSide(0, 1, 1),
        difference=found.difference, kind=found.kind, direction=found.direction, applicable=bool(rng.integers(4)),
        differs=bool(rng.integers(2)),
    )  # fmt: skip


@settings(deadline=None, max_examples=300, derandomize=True)
@given(verdicts())
def test_no_sentence_contradicts_the_numbers(v):
    assert not contradictions(v)


def test_a_contradiction_is_found():
    """The checker is not blind: a verdict whose numbers are exchanged is caught."""
    n = 200
    up, none = finding.of(pair_of(40, 5, n)), finding.of(pair_of(10, 9, n))
    told = Verdict(
        accuracy=up, strict=up, format=none, mathematics=up, readability=none, format_gap=none, cut=(0, 0),
        cut_bounds=(up, up), unmarked=(0, 0), scorers=(), trained=(), accuracies=(), formats=(), identical=False,
    )  # fmt: skip

    class Lies(Verdict):
        def opening(self):
            return replace_opening

    replace_opening = replace(told, accuracy=none).opening()
    lies = Lies(**{name: getattr(told, name) for name in Verdict.__dataclass_fields__})
    assert "opening: accuracy" in contradictions(lies)
    assert "parts of accuracy" in contradictions(told)


def test_a_bound_that_is_not_0_is_not_printed_as_0():
    low = finding.of(pair_of(70, 40, 100_000))
    assert finding.change(low.difference) == "+0.03 [+0.01, +0.05]"
    assert signed(0.0, 1e-17, -0.2) == ["+0.0", "+0.0", "−20.0"]
    assert in_points(0.00001, 0.5) == ["0.001", "50.000"]
