"""What the report says of the elicited base; pass@k is in test_robustness."""

from __future__ import annotations

import pytest

from harness.report import write
from harness.report.summarize import summarize
from harness.runs import comparable
from harness.runs.comparable import Choice, Tried
from harness.runs.results import read_evaluation
from harness.stats import paired
from harness.util.errors import HarnessError
from tests.constructed import evaluated, make_run
from tests.report.test_robustness import in_both

BASE = ["right"] * 20 + ["wrong"] * 80
BETWEEN = ["right, no format"] * 50 + ["wrong"] * 50
TUNED = ["right"] * 55 + ["wrong"] * 45


def with_choice(tmp_path, chosen, outcomes, **conditions):
    run = make_run(tmp_path, BASE, TUNED)
    tried = [Tried(name, f"{name} it is", right, 40, 1, 20.4) for name, right in (("own", 8), ("steps", 21))]
    run.choice.parent.mkdir()
    run.choice.write_text(comparable.text(Choice(40, 72, tuple(tried), ("examples",), chosen)))
    evaluated(run.elicited, outcomes, **conditions)
    return run


@pytest.fixture
def elicited(tmp_path):
    return with_choice(tmp_path, "steps", BETWEEN, prompts="f" * 64)


def test_prompting_and_training_are_paired_differences_that_add_up(elicited):
    found = summarize(elicited).elicited
    right = [[float(text.startswith("right")) for text in side] for side in (BASE, BETWEEN, TUNED)]
    for difference, sides in ((found.prompting, right[:2]), (found.training, right[1:])):
        expected = paired.paired(*sides)
        assert (difference.value, difference.low, difference.mid_p) == (
            expected.estimate,
            expected.low,
            expected.mid_p,
        )
    assert found.accuracy.value == 0.5
    assert found.prompting.value + found.training.value == pytest.approx(0.35)


def test_the_report_says_what_each_is_worth(elicited):
    write.write(elicited)
    in_both(
        elicited,
        "Another prompt alone: a detected gain (+30.0 [",
        "points of accuracy). Training beyond that prompt: a borderline gain (+5.0 [",
        "| steps (chosen) | steps it is | 21 of 40 | 1 | 20 |".replace("steps (chosen)", "**steps (chosen)**"),
        "The base answered 40 dev questions with each prompt",
        "so that the intervals need no correction for the choice.",
        "Left out, because this model cannot be asked so: examples.",
        "once with the base and another prompt",
    )
    assert (elicited.plots / "elicited.svg").exists()
    assert "\n**Another prompt alone: a detected gain (+30.0 [" in elicited.report.read_text().partition("\n## ")[0]


def test_where_the_own_prompt_is_best_the_elicited_base_is_the_base(tmp_path):
    run = with_choice(tmp_path, "own", BASE)
    write.write(run)
    in_both(
        run, "no other prompt did better than the experiment's own, so that the elicited base is the base. Training"
    )
    drawn = (run.plots / "elicited.svg").read_text()
    assert "prompt alone" not in drawn and drawn.count('class="label"') == 1


def test_only_the_prompt_may_differ(elicited):
    base, found, choice = (
        read_evaluation(elicited.base),
        read_evaluation(elicited.elicited),
        comparable.read_choice(elicited),
    )
    comparable.check_contrast(elicited, base, found, choice)
    for outcomes, conditions, says in (
        (BETWEEN, {"prompts": "f" * 64, "max_new_tokens": 99}, "max_new_tokens"),
        (BETWEEN, {}, "was not asked with the prompt that was chosen"),
        (BETWEEN[1:], {"prompts": "f" * 64, "data": base.conditions.data, "questions": 100}, "other questions"),
    ):
        evaluated(elicited.elicited, outcomes, **conditions)
        with pytest.raises(HarnessError, match=says):
            comparable.check_contrast(elicited, base, read_evaluation(elicited.elicited), choice)
