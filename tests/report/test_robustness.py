"""What the report says about seeds, scorers, cut answers, the noise floor and samples; in Markdown and the page."""

from __future__ import annotations

import re

import pytest

from harness.report import summary, write
from harness.util import files
from tests.browser import ask, needs_browser
from tests.constructed import evaluated, make_run, reported
from tests.report.test_html import Tree, check_one_file
from tests.report.test_html_report import words

BASE = ["right"] * 50 + ["right, no format"] * 20 + ["wrong"] * 30
TUNED = {5: ["right"] * 85 + ["wrong"] * 15, 6: ["right"] * 80 + ["wrong"] * 20, 7: ["right"] * 78 + ["wrong"] * 22}
FOUR = [("right", "right", "wrong", "nothing")] * 30 + [("wrong",) * 4] * 30
FOUR_TUNED = [("right",) * 4] * 20 + FOUR[20:]


def first_screen(run):
    return run.report.read_text().partition("\n## ")[0]


def in_both(run, *parts):
    markdown, page = run.report.read_text(), run.page.read_text()
    check_one_file(page)
    said = words(Tree(page).text)
    for part in parts:
        assert part in markdown, part
        assert all(words(cell.strip(" *#")) in said for cell in part.split("|")), part


def absent(run, *titles):
    markdown, page = run.report.read_text(), run.page.read_text()
    for title in titles:
        assert f"## {title}" not in markdown and f">{title}" not in page


@pytest.fixture(scope="module")
def of_seeds(tmp_path_factory):
    return reported(tmp_path_factory.mktemp("seeds"), BASE, TUNED)


def test_several_seeds_stand_in_the_table_and_one_by_one(of_seeds):
    numbers = summary.read(of_seeds.path)
    in_both(
        of_seeds,
        "| 100 questions | base | tuned, mean of 3 seeds | difference, points | gained | lost | p |",
        "| 15 / 10 / 8 | 0 / 0 / 0 |",
        "mean of 3 training seeds, +15.0, +10.0, +8.0",
        "## Training seeds",
        "| seed 6 | 80.0% [71.1, 86.7] | +10.0 [",
        "| mean | 81.0% [",
        "variation from retraining is included",
        "once with the base and once with each of 3 tuned models",
        "The mean reward of the first and of the last 10% of the steps: 0.50 to 5.00 (seed 5), 0.50 to 5.00 (seed 6)",
        "| seed 7 | 28 of 28 | 0.9990 | 0.0000 | 0.0000 | 8 of 8 | 0.03 | 1e-07 |",
        "## Under other scorers",
    )
    text = of_seeds.report.read_text()
    assert f"{100 * numbers.difference.accuracy.se_seed:.2f} from the trainings" in text
    assert "The interval takes the latter 4.30 times instead of 1.96" in text  # t of 2 degrees of freedom
    assert "one seed" not in text and "Two trainings tell little" not in text
    assert "Gained (3 of 15, seed 5)" in text
    assert "With seed 5, the first of 3:" in of_seeds.page.read_text()
    svg = (of_seeds.plots / "seeds.svg").read_text()
    assert "seed 5: +15.0 [" in svg and "mean of 3 seeds, retraining included: +11.0 [" in svg


def test_two_seeds_are_told_to_be_few(tmp_path):
    in_both(reported(tmp_path, BASE, {1: TUNED[5], 2: TUNED[6]}), "their interval is wide, and no power is given.")


def test_one_seed_has_no_section_on_seeds(tmp_path):
    run = reported(tmp_path, ["wrong"] * 60 + ["right"] * 40, ["right"] * 100)
    absent(run, "Training seeds", "Several samples a question", "Cut at the token limit", "Doing nothing")
    assert "not included (one seed)" in run.report.read_text() and "Of seed" not in run.report.read_text()
    assert first_screen(run).count("**") == 4  # the demo line, the verdict  # the verdict alone is loud


def test_scorers_that_detect_the_opposite_are_loud_and_say_why(tmp_path):
    """If the answer moves into a block with a number after it, scorers of the last number have the opposite sign."""
    base = ["right at the end"] * 60 + ["wrong"] * 40
    run = reported(tmp_path, base, ["right in the block"] * 80 + ["wrong"] * 20)
    assert (
        "\n**Our scorer detects a rise in accuracy (+80.0 points). "
        "Of the published scorers of others, 4 can read most of these answers: 2 find the same" in first_screen(run)
    )
    in_both(
        run,
        "| lm-eval flexible-extract | **a fall** | 60.0% | 0.0% | −60.0 [−69.1, −50.2] | yes |",
        "| tutorial check_answer | a rise | 0.0% | 80.0% | +80.0 [+71.1, +86.7] | not detected |",
        "| OpenAI | not applicable |",
        "lm-eval flexible-extract takes the last number of the text",
        "lm_eval/tasks/gsm8k/gsm8k.yaml",
    )
    assert '<p class="loud">Our scorer detects a rise' in run.page.read_text().partition("<h2>")[0]


def test_the_panel_is_of_all_seeds(of_seeds):
    """As the verdict is: one seed's gain must not stand beside a mean in which none is detected."""
    numbers = summary.read(of_seeds.path)
    found = {view.name: view.difference for view in numbers.panel.scorers}
    assert found["tutorial check_answer"].per_seed == pytest.approx((0.35, 0.3, 0.28))
    assert numbers.panel.sentence.startswith(
        "Our scorer detects a rise in accuracy (+11.0 points). Of the published scorers of others, "
    )


def test_cut_completions_have_their_section(tmp_path):
    run = reported(tmp_path, ["right"] * 80 + ["wrong"] * 20, ["right"] * 84 + ["wrong, cut"] * 6 + ["wrong"] * 10)
    in_both(run, "| the base's wrong, the tuned model's right | +10.0 [", "lies between +4.0 and +10.0 points: ")
    run = reported(tmp_path / "few", ["right"] * 60 + ["wrong"] * 40, ["right"] * 99 + ["wrong, cut"])
    assert "cut at the token limit" not in first_screen(run)
    in_both(run, "0.0% of the base's and 1.0% of the tuned completions were cut")


def test_doing_nothing_stands_beside_the_difference(tmp_path):
    run = make_run(tmp_path, BASE, TUNED[5])
    evaluated(run.path / "again", ["wrong"] * 2 + BASE[2:])
    write.write(run)
    assert "\nDoing nothing flips 2.0% of the questions (2 of 100; 95% interval 0.6% to 7.0%)" in first_screen(run)
    in_both(run, "| Accuracy | 2.0% [0.6, 7.0] | 0 | 2 | −2.0 [", "scored the test questions twice with the base")


def test_several_samples_have_their_measures(tmp_path):
    run = reported(tmp_path, FOUR, FOUR_TUNED, "eval.samples=4", "eval.temperature=1.0")
    in_both(run, "| pass^4 | 0.0% [", "| maj@4 | 50.0% [")
    assert "maj@4 that the commonest one is" in run.report.read_text()
    in_both(run, "| pass@1 | 25.0% | 41.7% | +16.7 [", "| pass@4 | 50.0% | 50.0% | +0.0 (no variance)")
    assert (
        "With 1 and 2 answers a question the tuned model solves more questions than the base; with 3 and 4 answers no "
        "difference is detected, and the curves are not shown to cross."
    ) in run.report.read_text()
    told = run.report.read_text().partition("With several answers a question that end is cautious; at ")[2]
    stated = summary.read(run.path).difference.accuracy.detectable
    assert 0 < float(told.partition("it would be ≥ ")[2].split()[0]) < 100 * stated
    in_both(run, "With 3 and 4 answers no question changed: no variance, so no band.")
    assert "plots/pass_at_k.svg" in run.report.read_text() and (run.plots / "pass_at_k.svg").exists()


def test_curves_cross_only_where_the_band_excludes_0_on_both_sides(tmp_path):
    """The tuned model solves always what the base solves half the time, and never what it solves one time in four."""
    half, rarely = ("right", "right", "wrong", "wrong"), ("right", "wrong", "wrong", "wrong")
    always, never = ("right",) * 4, ("wrong",) * 4
    settings = ("eval.samples=4", "eval.temperature=1.0")
    crossed = reported(tmp_path / "a", [half] * 50 + [rarely] * 50, [always] * 50 + [never] * 50, *settings)
    in_both(
        crossed,
        "The curves cross: with 1 answer a question the tuned model solves more questions than the base, with 2 to 4 "
        "answers fewer.",
        "| base to tuned | 4 | 0 | 50 |",
    )
    few = reported(tmp_path / "b", [half] * 8 + [rarely] * 3, [always] * 8 + [never] * 3, *settings)
    nothing = "no difference in the questions solved is detected from 1 to 4 (with 4, the"
    in_both(few, "wider than the interval of accuracy", nothing)
    equal = reported(tmp_path / "c", [half] * 20 + [never] * 20, [never] * 20 + [half] * 20, *settings)
    in_both(equal, nothing)


def test_a_change_of_every_question_alike_is_in_the_band(tmp_path):
    """It has no variance, and is no "no difference"."""
    settings = ("eval.samples=4", "eval.temperature=1.0")
    run = reported(tmp_path, [("wrong",) * 4] * 50, [("right",) * 4] * 50, *settings)
    in_both(run, "With 1 to 4 answers a question the tuned model solves more questions than the base")


def test_only_the_format_improved_is_in_the_first_sentence_and_in_the_headline(tmp_path):
    run = reported(tmp_path, ["right, no format"] * 60 + ["wrong"] * 40, ["right"] * 60 + ["wrong"] * 40)
    assert (
        "**No difference in accuracy detected, but the format rose by 60.0 points; with so few questions changed, this "
        "design detects a difference with 80% power only if all changes go in one direction: ≥ 7.79 points of "
        "accuracy. Accuracy: not one of 100 questions changed. Format: 95% interval "
    ) in first_screen(run)
    assert "adapter" not in first_screen(run)
    assert "<h1>No difference in accuracy detected, but the format rose by 60.0 points</h1>" in run.page.read_text()


@needs_browser
def test_360_pixels_are_enough_for_the_new_tables(of_seeds, tmp_path):
    assert ask(of_seeds.page, "page.document.documentElement.scrollWidth", tmp_path) == 360


# --- reward against accuracy

FALLING = [
    {"rollout/accuracy": 0.9 - step / 12, "rollout/strict": 0.1, "rollout/format": step / 10} for step in range(10)
]


def watched(run, *, rewards=range(1, 11)):
    """The run with a reward and its rollouts' scores a step."""
    log = run.train(run.config.train.seeds[0]) / "metrics.jsonl"
    rows = zip(files.read_lines(log), rewards, FALLING, strict=True)
    files.write_lines(log, [row | {"reward": float(reward)} | judged for row, reward, judged in rows])
    write.write(run)
    return run.report.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("base", "tuned", "said"),
    [
        (["right"] * 60, ["wrong"] * 40 + ["right"] * 20, "and accuracy on these questions fell."),
        (["right"] * 30 + ["wrong"] * 30, ["right"] * 30 + ["wrong"] * 30, "is not detected to have changed."),
        (["wrong"] * 60, ["right"] * 60, None),
    ],
)
def test_a_reward_that_rises_alone_is_in_the_first_lines(tmp_path, base, tuned, said):
    text = watched(make_run(tmp_path, base, tuned, "train.steps=10"))
    first = text.partition("## How to read this")[0]
    assert ("**The reward rose (from 1.00 to 10.00), " in first) == (said is not None)
    assert said is None or said in first
    assert "accuracy went from 90.0% to 15.0%, strict accuracy stayed at 10.0%, format went from 0.0% to 90.0%." in text
    assert (
        "By step 10 the reward had risen from 3.00 to 8.00 while their accuracy had fallen from 73.3% to 31.7%" in text
    )


def test_a_reward_that_stays_is_not_said_to_have_risen(tmp_path):
    run = make_run(tmp_path, ["right"] * 60, ["wrong"] * 60, "train.steps=10")
    text = watched(run, rewards=[3, -1] * 5)
    told = "The reward is not detected to have risen (from 3.00 to −1.00), and accuracy on these questions fell."
    assert f"\n{told}" in text and f"**{told}" not in text
    assert "The mean reward went from 3.00 to −1.00 of at most 9.5 (first" in text
    text = watched(run, rewards=[3] * 10)
    assert "\nThe reward stayed at 3.00, and accuracy on these questions fell." in text


def test_one_step_moves_no_reward_and_steps_without_one_are_counted(tmp_path):
    run = make_run(tmp_path / "one", ["right"] * 60, ["wrong"] * 60, "train.steps=1")
    log = run.train(run.config.train.seeds[0]) / "metrics.jsonl"
    rows = files.read_lines(log)
    files.write_lines(log, rows[:1])
    write.write(run)
    text = run.report.read_text(encoding="utf-8")
    assert "The mean reward of the only step was 0.50 of at most 9.5 (64 completions)." in text
    assert "The reward stayed" not in text and "1 steps" not in text
    run = make_run(tmp_path / "ten", ["right"] * 60, ["wrong"] * 60, "train.steps=10")
    files.write_lines(run.train(run.config.train.seeds[0]) / "metrics.jsonl", [rows[0] | {"reward": None}, *rows[1:]])
    write.write(run)
    assert "went from 1.00 to 5.00 of at most 9.5 (first and last 10% of 10 steps, 640 completions)" in (
        run.report.read_text(encoding="utf-8")
    )


def test_that_every_trained_model_changed_alike_is_told_where_their_mean_tells_less(tmp_path):
    def lost(count):
        return ["wrong"] * count + ["right"] * (60 - count)

    head = first_screen(reported(tmp_path, lost(0), {5: lost(40), 6: lost(55), 7: lost(10)}))
    assert "**No difference in accuracy detected" in head
    assert (
        "**Each of the 3 trained models by itself fell in accuracy (−66.7, −91.7, −16.7 points). The first sentence "
        "is about the mean of all such trainings, which so few of them tell less well.**"
    ) in head
    up = {5: lost(0), 6: lost(40)}
    for base, seeds in ((0, {5: lost(40), 6: lost(40)}), (0, {5: lost(40), 6: lost(0), 7: lost(10)}), (20, up)):
        assert "trained models by itself" not in first_screen(reported(tmp_path, lost(base), seeds))


def test_a_training_whose_format_went_the_other_way_is_named(tmp_path):
    none, all_ = ["right, no format"] * 60, ["right"] * 60
    half = ["right"] * 20 + ["right, no format"] * 40
    head = first_screen(reported(tmp_path, half, {5: all_, 6: none, 7: all_}))
    assert (
        "**The trainings differ in format: a rise is detected with seeds 5 (+66.7 points), 7 (+66.7 points); "
        "a fall is detected with seed 6 (−33.3 points).**"
    ) in head
    assert "differ in format" not in first_screen(reported(tmp_path, half, {5: all_, 6: all_}))


def test_a_change_that_is_detected_although_none_of_its_parts_is_has_a_word(tmp_path):
    # The seeds gain alike, one by mathematics and the other by readability.
    base = ["wrong"] * 40 + ["wrong, unmarked"] * 40 + ["right"] * 20
    found = {
        5: ["right"] * 40 + ["wrong, unmarked"] * 40,
        6: ["wrong"] * 40 + ["right"] * 40,
        7: ["right"] * 40 + ["wrong, unmarked"] * 40,
    }
    head = first_screen(reported(tmp_path, base, {seed: each + ["right"] * 20 for seed, each in found.items()}))
    assert "**Accuracy rose by 40.0 points" in head
    assert "The change of accuracy is detected, and none of its parts is by itself: " in head


def test_a_power_beyond_the_interval_has_its_reason(tmp_path):
    base = ["wrong"] * 100 + ["right"] * 100
    tuned = {
        seed: ["right"] * right + ["wrong"] * (100 - right) + ["wrong"] * 10 + ["right"] * 90
        for seed, right in ((5, 60), (6, 70), (7, 62))
    }
    text = reported(tmp_path, base, tuned).report.read_text(encoding="utf-8")
    (said,) = re.findall(r"This design detects ≥ (\S+) points with 80% power, more than the interval's ±(\S+): ", text)
    assert float(said[0]) > float(said[1])
    assert "the largest that they leave open (the upper 97% limit of its variance)." in text


def test_a_training_recorded_before_rollouts_were_scored_says_nothing_of_them(tmp_path):
    text = reported(tmp_path, ["right"] * 60, ["wrong"] * 60).report.read_text(encoding="utf-8")
    assert "The mean reward went from 0.50 to 5.00, and accuracy on these questions fell." in text
    assert "The reward rose" not in text and "By the evaluation's scorer" not in text
