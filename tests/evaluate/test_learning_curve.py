"""The learning curve's numbers, the choice of a checkpoint, and what the report says about both."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.evaluate import learning_curve
from harness.report import sections, write
from harness.report.summarize import summarize
from harness.runs import curve, directory
from harness.stats import intervals, rates
from harness.util import files
from harness.util.errors import HarnessError
from tests.constructed import make_run, result

STEPS = ("eval.curve=true", "train.steps=6", "train.save_steps=2")
# Of ten dev questions the base has 4 right, step 2 has 7, step 4 has 7 others, step 6 has 5 and all in the format.
SIDES = {
    0: ["right, no format"] * 4 + ["wrong"] * 6,
    2: ["right"] * 7 + ["wrong, no format"] * 3,
    4: ["wrong, no format"] * 3 + ["right"] * 7,
    6: ["right"] * 5 + ["wrong"] * 5,
}


def with_curve(results, *overrides: str) -> directory.RunDir:
    """A complete run whose every training seed has this curve."""
    run = make_run(results, ["right"] * 30, ["right"] * 30, *STEPS, *overrides)
    for seed in run.config.train.seeds:
        for step, outcomes in SIDES.items():
            made = result(outcomes, split="dev") | {"adapter": f"adapter {step}" if step else None}
            files.write_json(run.curve(seed) / f"step-{step}" / "result.json", made)
        learning_curve.write(run, seed)
    return run


def test_each_point_has_its_rates_and_its_paired_difference_to_the_base(tmp_path):
    made = files.read_json(with_curve(tmp_path).curve(3407) / "curve.json")
    assert made["n"] == 10 and made["conditions"]["split"] == "dev"
    assert [point["step"] for point in made["points"]] == [0, 2, 4, 6]
    assert [point["adapter"] for point in made["points"]] == [None, "adapter 2", "adapter 4", "adapter 6"]
    for point, right, form in zip(made["points"], (4, 7, 7, 5), (6, 7, 7, 10), strict=True):
        rate, wilson = point["accuracy"], intervals.wilson(right, 10)
        assert (rate["k"], rate["low"], rate["high"], rate["method"]) == (right, wilson.low, wilson.high, "Wilson")
        assert point["format"]["k"] == form and point["correct"] == right and point["completions"] == 10
    base, two, four, _ = made["points"]
    assert base["difference"] is None
    # Step 2 keeps the base's four and adds three; step 4 keeps one (the fourth), loses three and adds six.
    assert [two["difference"]["accuracy"][name] for name in ("gained", "lost")] == [3, 0]
    assert [four["difference"]["accuracy"][name] for name in ("gained", "lost")] == [6, 3]
    assert two["difference"]["accuracy"]["value"] == four["difference"]["accuracy"]["value"] == pytest.approx(0.3)
    assert two["difference"]["strict"]["value"] == pytest.approx(0.7)  # the base's four were in no format


def test_several_samples_are_question_means(tmp_path):
    sampled = ("eval.samples=2", "eval.temperature=1.0")
    run = make_run(tmp_path, ["right"] * 30, ["right"] * 30, *STEPS, *sampled)
    for step, outcomes in SIDES.items():
        one, other = result(outcomes), result(outcomes[::-1])
        pairs = zip(one["scores"], other["scores"], strict=True)
        one["scores"] = [score | {"id": a["id"], "sample": i} for a, b in pairs for i, score in enumerate((a, b))]
        files.write_json(run.curve(3407) / f"step-{step}" / "result.json", one)
    base = learning_curve.write(run, 3407).points[0]
    # A list and its mirror image: the first and the last four questions have one of two samples right.
    expected = rates.mean([0.5] * 4 + [0.0] * 2 + [0.5] * 4)
    assert (base.accuracy.value, base.accuracy.low) == (0.4, expected.low)
    assert base.accuracy.method == expected.method and base.completions == 20


def test_the_last_adapter_is_evaluated_unless_the_best_on_dev_is_asked_for(tmp_path):
    run = with_curve(tmp_path)
    assert run.evaluated(3407) == run.adapter(3407)
    best = with_curve(tmp_path, "train.checkpoint=best_dev")
    # Steps 2 and 4 have seven right each: the earlier.
    assert files.read_json(best.curve(3407) / "curve.json")["chosen"] == 2
    assert best.evaluated(3407) == best.train(3407) / "checkpoints/checkpoint-2"
    (best.curve(3407) / "curve.json").unlink()
    with pytest.raises(HarnessError, match=r"curve\.json: missing; run the experiment again"):
        best.evaluated(3407)


def test_the_base_is_never_chosen(tmp_path):
    drawn = curve.read(with_curve(tmp_path).curve(3407)).points
    rights = ((0, 9), (2, 3), (4, 5), (6, 5))
    points = [replace(drawn[0], step=step, correct=right) for step, right in rights]
    assert learning_curve.best(points) == 4
    assert learning_curve.best([*points, replace(drawn[0], step=8, correct=6)]) == 8


def test_a_curve_is_written_again_byte_for_byte(tmp_path):
    folder = with_curve(tmp_path).curve(3407)
    before = (folder / "curve.json").read_bytes()
    files.write_text(folder / curve.NAME, curve.text(curve.read(folder)))
    assert (folder / "curve.json").read_bytes() == before


def test_a_curve_without_its_choice_is_one_line_that_names_the_field(tmp_path):
    run = with_curve(tmp_path, "train.checkpoint=best_dev")
    file = run.curve(3407) / "curve.json"
    made = files.read_json(file)
    del made["chosen"]
    files.write_json(file, made)
    with pytest.raises(HarnessError, match=r"curve\.json: chosen is missing"):
        run.evaluated(3407)


def test_the_adapter_of_the_last_step_is_the_trainings(tmp_path):
    run = with_curve(tmp_path)
    assert run.config.kept_steps == [2, 4, 6]
    assert run.adapter_after(3407, 6) == run.adapter(3407)
    assert run.adapter_after(3407, 4) == run.train(3407) / "checkpoints/checkpoint-4"


@pytest.mark.parametrize(("steps", "every", "kept"), [(5, 2, [2, 4, 5]), (4, 2, [2, 4]), (3, 50, [3])])
def test_the_last_step_is_kept_whatever_the_rhythm(tmp_path, steps, every, kept):
    run = directory.open_run(
        "quickstart", [f"train.steps={steps}", f"train.save_steps={every}"], tmp_path, create=False
    )
    assert run.config.kept_steps == kept


def test_the_report_shows_the_curve_and_says_what_dev_was_used_for(tmp_path):
    run = with_curve(tmp_path, "train.checkpoint=best_dev")
    write.write(run)
    text = run.report.read_text()
    assert "## Learning curve" in text
    assert "| 0 (base) | 40.0% [16.8, 68.7] |" in text and "| 2 (evaluated) | 70.0% [39.7, 89.2] |" in text
    assert "the 10 problems of the dev split, which no training sees" in text
    assert "watching and for choosing among 3 kept adapters;" in text
    assert "the adapter after step 2 of 6, the best on dev (the earliest of equals)" in text
    assert "This run scored the test questions once with the base and once with the tuned model" in text
    for name in ("dev-accuracy-3407", "dev-format-3407"):
        assert f"plots/{name}.svg" in text and (run.plots / f"{name}.svg").exists()
        assert name in run.page.read_text()
    last = with_curve(tmp_path)
    write.write(last)
    text = last.report.read_text()
    assert "used for watching alone" in text and "the adapter after the last step, 6, whatever the curve says" in text


def test_several_seeds_have_a_curve_each(tmp_path):
    run = with_curve(tmp_path, "train.seeds=[3407,1]", "train.checkpoint=best_dev")
    curves = {str(seed): curve.read(run.curve(seed)) for seed in (3407, 1)}
    numbers = replace(summarize(with_curve(tmp_path / "one seed")), curve=curves)
    section = sections.learning_curve.learning_curve(run, numbers)
    figures = [block.name for block in section.blocks if hasattr(block, "svg")]
    assert figures == ["dev-accuracy-3407", "dev-format-3407", "dev-accuracy-1", "dev-format-1"]
    assert "Seed 1: the tuned model is the adapter after step 2 of 6" in section.blocks[-1]


def test_a_run_without_a_curve_says_nothing_of_it(tmp_path):
    run = make_run(tmp_path, ["right"] * 30, ["right"] * 30)
    assert sections.learning_curve.learning_curve(run, summarize(run)) is None


def test_a_missing_step_is_a_line(tmp_path):
    run = with_curve(tmp_path)
    (run.curve(3407) / "step-4/result.json").unlink()
    with pytest.raises(HarnessError, match="missing; run the experiment again"):
        learning_curve.write(run, 3407)
