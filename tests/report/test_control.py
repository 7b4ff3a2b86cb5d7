"""The control in the report: the difference of two gains over one base, its sentence, its figure."""

from __future__ import annotations

import pytest

from harness.report import summary, write
from harness.runs.directory import RunDir
from harness.stats.finding import record
from harness.stats.paired import paired
from harness.stats.seeds import by_seed
from harness.util import files
from tests.constructed import PROOF, Outcomes, evaluated, make_run
from tests.report.test_html import Tree, check_one_file
from tests.report.test_html_report import words

BASE = ["right"] * 40 + ["wrong"] * 60
GAINED = ["right"] * 80 + ["wrong"] * 20


def twin(run: RunDir, outcomes: dict[int, Outcomes]) -> RunDir:
    """The run with a control of these outcomes by seed, and its report."""
    for seed, each in outcomes.items():
        arm = run.control
        evaluated(arm.tuned(seed), each)
        files.write_json(arm.tuned(seed) / "proof.json", PROOF)
        files.write_json(arm.train(seed) / "dropped_prompts.json", {"limit": 256, "of": 10, "dropped": []})
        rows = [{"step": n, "reward": 0.5} | dict.fromkeys(AGREE, 0.0) for n in range(1, 11)]
        files.append_lines(arm.train(seed) / "metrics.jsonl", rows)
    write.write(run)
    return run


AGREE = ("profiles_disagree/format", "profiles_disagree/answer")


def with_control(place, tuned: Outcomes, control: Outcomes, kind: str = "random") -> RunDir:
    run = make_run(place, BASE, tuned, f"rewards.control={kind}")
    return twin(run, {run.config.train.seeds[0]: control})


def first(run: RunDir) -> str:
    return run.report.read_text(encoding="utf-8").partition("\n## ")[0]


def test_both_gains_share_the_base_so_that_their_difference_is_tuned_minus_control(tmp_path):
    control = ["right"] * 50 + ["wrong"] * 50
    run = with_control(tmp_path, GAINED, control)
    found = summary.read(run.path).control
    right = [[outcome == "right" for outcome in side] for side in (control, GAINED)]
    assert found.difference.accuracy == record(paired(*right))
    assert found.difference.accuracy.value == pytest.approx(0.4 - 0.1) and found.gain.accuracy.value == pytest.approx(
        0.1
    )
    assert (found.reward, found.tuned.accuracy.value, found.train[0].reward_last) == ("random", 0.5, 0.5)
    text = run.report.read_text()
    assert "\nAccuracy is higher after this training than after the same one on random rewards (+30.0 [" in first(run)
    assert "The control itself changed accuracy by +10.0 [" in first(run)
    assert "| Accuracy | 40.0% [" in text.partition("## Against a control")[2]
    assert "![Change of accuracy in points, with 95% intervals](plots/control.svg)" in text
    assert "difference of the two gains: +30.0 [" in (run.plots / "control.svg").read_text()
    assert "once with the base and once with the tuned model and its control" in text
    page = run.page.read_text(encoding="utf-8")
    check_one_file(page)
    assert ", control on random rewards}}" in page and found.sentence.replace("<", "&lt;") in page  # as plain text
    assert words(found.sentence) in words(Tree(page).text) and "Against a control" in page


@pytest.mark.parametrize(
    ("control", "kind", "said"),
    [
        (
            [*GAINED[:-1], "right"],
            "format_only",
            "**No difference in accuracy detected between this training and the same one on rewards for the format "
            "alone (−1.0 [",
        ),
        (
            ["right"] * 100,
            "random",
            "**Accuracy is lower after this training than after the same one on random rewards (−20.0 [",
        ),
    ],
)
def test_a_gain_that_the_control_has_too_is_loud(tmp_path, control, kind, said):
    assert said in first(with_control(tmp_path, GAINED, control, kind))


def test_what_the_control_lost_is_not_taken_for_a_gain_and_its_format_is_told(tmp_path):
    control = ["right"] * 20 + ["wrong"] * 80
    text = with_control(tmp_path / "lost", ["right, no format"] * 80 + ["wrong"] * 20, control).report.read_text()
    assert "The control itself lost accuracy (−20.0 [" in text and "the difference is more than this training" in text
    told = text.partition("compared with the control: ")[2].partition("\n")[0]
    assert told.startswith("strict accuracy is lower (−20.0 [") and "; format is lower (−" in told
    same = with_control(tmp_path / "same", GAINED, BASE).report.read_text()
    assert "itself changed accuracy by +0.0" in same and "Each is one training" in same
    assert "compared with the control: strict accuracy is higher (+40.0 [" in same


def test_over_seeds_each_is_compared_with_its_own_control(tmp_path):
    tuned = {1: GAINED, 2: ["right"] * 70 + ["wrong"] * 30, 3: GAINED[:-4] + ["right"] * 4}
    control = {
        1: ["right"] * 45 + ["wrong"] * 55,
        2: ["right"] * 33 + ["wrong"] * 67,
        3: ["right"] * 52 + ["wrong"] * 48,
    }
    run = twin(make_run(tmp_path, BASE, tuned, "rewards.control=random"), control)
    found = summary.read(run.path).control
    sides = [[[one == "right" for one in side] for side in each.values()] for each in (control, tuned)]
    assert found.difference.accuracy == record(by_seed(*sides))
    assert found.difference.accuracy.per_seed == pytest.approx((0.35, 0.37, 0.32))
    assert "Each seed is compared with its own control." in run.report.read_text()


def test_without_a_control_nothing_is_said_of_one(tmp_path):
    run = make_run(tmp_path, BASE, GAINED)
    write.write(run)
    assert "control" not in run.report.read_text() and "control" not in files.read_json(run.summary)
