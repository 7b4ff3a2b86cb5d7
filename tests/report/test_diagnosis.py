"""Why no gain was detected: each cause at both sides of its limit, and where nothing is to be said."""

from __future__ import annotations

import math

import pytest

from harness.report import write
from harness.report.sections.diagnosis import CHANGED, CHOICES, CUT, EQUAL, MOVED, UNPAID
from harness.util import files
from tests.constructed import PROOF, WEIGHTS_PROOF, make_run, reported
from tests.report.test_html import Tree, check_one_file
from tests.report.test_html_report import words

SAME = ["right"] * 30 + ["wrong"] * 30
WHY = "Why no gain was detected, as far as it was measured: "


def said(run, seed_columns: dict[int, dict], proof: dict | None = None) -> str:
    """The first lines of the report with these columns in every step's metrics, by seed."""
    for seed, columns in seed_columns.items():
        log = run.train(seed) / "metrics.jsonl"
        files.write_lines(log, [row | columns for row in files.read_lines(log)])
        if proof:
            files.write_json(run.tuned(seed) / "proof.json", proof)
    write.write(run)
    return run.report.read_text(encoding="utf-8").partition("\n## ")[0]


def alone(tmp_path, columns: dict, *overrides: str, proof: dict | None = None, sides=(SAME, SAME)) -> str:
    run = make_run(tmp_path, *sides, *overrides)
    return said(run, {run.config.train.seeds[0]: columns}, proof)


@pytest.mark.parametrize(
    ("beyond", "within", "overrides", "words_of_it"),
    [
        (
            {"completions/unrewarded": UNPAID},
            {"completions/unrewarded": UNPAID - 0.01},
            (),
            "no function gave a reward to 90% of the completions;",
        ),
        ({"groups/equal_rewards": EQUAL}, {"groups/equal_rewards": EQUAL - 0.01}, (), "in 90% of the groups no two"),
        (
            {"completions/clipped_ratio": CUT},
            {"completions/clipped_ratio": CUT - 0.01},
            (),
            "90% of the completions that it learned from were cut at 72 tokens",
        ),
        (
            {"entropy": 0.99 * math.log(CHOICES) / 40, "completions/mean_length": 40.0},
            {"entropy": 1.01 * math.log(CHOICES) / 40, "completions/mean_length": 40.0},
            (),
            "it wrote nearly the same text every time (entropy 0.017 nats a token)",
        ),
        ({"kl": 2.5}, {"kl": 2.4}, ("train.beta=0.4",), "leaving the base (train.beta 0.4 x KL 2.5 nats)"),
        (
            {"kl": 2.5, "reward_std": 0.5},
            {"kl": 2.5, "reward_std": 0.6},
            ("train.beta=0.2", "train.scale_rewards=none"),
            "had become as large as the rewards' own differences",
        ),
    ],
    ids=["no rewards", "equal rewards", "cut", "entropy", "KL", "KL of unscaled rewards"],
)
def test_a_cause_is_named_beyond_its_limit_alone(tmp_path, beyond, within, overrides, words_of_it):
    assert words_of_it in alone(tmp_path / "beyond", beyond, *overrides)
    assert words_of_it not in alone(tmp_path / "within", within, *overrides)


@pytest.mark.parametrize(
    ("proof", "named"),
    [
        ({"adapter_change": 0.9 * MOVED, "rerun_change": 0.0}, True),
        ({"adapter_change": 1.1 * MOVED, "rerun_change": 0.0}, False),
        ({"adapter_change": 5 * MOVED, "rerun_change": 3 * MOVED}, True),  # under twice what doing nothing changes
    ],
)
def test_weights_that_hardly_moved_are_measured_by_the_adapter_proof(tmp_path, proof, named):
    first = alone(tmp_path, {}, "train.learning_rate=1e-7", proof=PROOF | proof)
    assert (
        "the weights hardly moved (in the prompts of the adapter proof a token's log-prob changed by " in first
    ) == named
    assert ("with a learning rate of 1e-07 over 60 steps" in first) == named


def test_a_model_whose_format_changed_has_moved(tmp_path):
    run = make_run(tmp_path, SAME, ["right, no format"] * 30 + ["wrong"] * 30)
    first = said(run, {3407: {}}, PROOF | {"adapter_change": 0.9 * MOVED, "rerun_change": 0.0})
    assert WHY in first and "hardly moved" not in first


@pytest.mark.parametrize(("changed", "named"), [(0.9 * CHANGED, True), (1.1 * CHANGED, False)])
def test_so_are_all_weights(tmp_path, changed, named):
    first = alone(tmp_path, {}, "model.full_finetuning=true", proof=WEIGHTS_PROOF | {"changed": changed})
    assert ("only 0.90% of the weights differ in fp32 from the base's" in first) == named


def test_without_a_cause_it_says_what_the_interval_hides_or_nothing(tmp_path):
    few = alone(tmp_path / "few", {})
    assert f"{WHY}with 60 questions a gain of up to 6.0 points cannot be told from none.\n" in few
    full = reported(tmp_path / "full", ["right"] * 297 + ["wrong"] * 3, ["right"] * 300).report.read_text()
    assert f"{WHY}the base had 99.0% right, which left 1.0 points to gain.\n" in full
    most = ["right"] * 58 + ["wrong"] * 2
    assert f"{WHY}with 60 questions a gain of up to 3.3 points" in alone(tmp_path / "most", {}, sides=(most, most))
    same = ["right"] * 300 + ["wrong"] * 100
    many = reported(tmp_path / "many", same, same).report.read_text()
    assert "\nNone of the causes that this report looks for in the training says why no gain was detected: " in many


def test_of_several_trainings_all_must_show_it(tmp_path):
    equal = {"groups/equal_rewards": 1.0}
    one = said(make_run(tmp_path / "one", SAME, {1: SAME, 2: SAME}), {1: equal, 2: {"groups/equal_rewards": 0.5}})
    both = said(make_run(tmp_path / "both", SAME, {1: SAME, 2: SAME}), {1: equal, 2: equal})
    assert "of the groups" not in one and "in 100% of the groups no two completions earned different rewards" in both


def test_a_trained_model_that_changed_by_itself_has_moved_and_its_mean_is_wide_by_the_trainings(tmp_path):
    def right(count):
        return ["right"] * count + ["wrong"] * (60 - count)

    still = PROOF | {"adapter_change": 0.9 * MOVED, "rerun_change": 0.0}
    apart = make_run(tmp_path / "apart", right(40), {1: right(40), 2: right(10), 3: right(58)})
    first = said(apart, {1: {}, 2: {}, 3: {}}, still)
    assert f"{WHY}with 3 trainings that differ so much a gain of up to " in first
    alike = make_run(tmp_path / "alike", right(10), {1: right(20), 2: right(58)})
    first = said(alike, {1: {}, 2: {}}, still)
    assert "Each of the 2 trained models by itself rose in accuracy" in first and WHY not in first


@pytest.mark.parametrize(("base", "tuned"), [("wrong", "right"), ("right", "wrong")])
def test_a_detected_change_needs_no_such_line(tmp_path, base, tuned):
    run = make_run(tmp_path, [base] * 60, [tuned] * 60)
    assert "no gain was detected" not in said(run, {3407: {"groups/equal_rewards": 1.0}})


def test_the_page_says_it_too(tmp_path):
    run = make_run(tmp_path, SAME, SAME)
    first = said(run, {3407: {"groups/equal_rewards": 1.0, "completions/clipped_ratio": 0.95}})
    (line,) = [line for line in first.splitlines() if line.startswith(WHY)]
    assert line.count(";") == 2
    page = run.page.read_text(encoding="utf-8")
    check_one_file(page)
    assert words(line) in words(Tree(page).text)
