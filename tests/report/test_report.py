"""summary.json and report.md: numbers that add up, sentences that are true, text that stays text."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from harness.report import gallery, html_report, markdown, summary, write
from harness.report.sections import training
from harness.report.summarize import summarize
from harness.runs import directory
from harness.runs.manifest import Cost, Machine
from harness.stats import intervals, paired, paired_tests, power
from harness.util import files
from harness.util.errors import HarnessError
from tests import constructed
from tests.conftest import copied, harness
from tests.constructed import evaluated, make_run, reported


def test_the_summary_has_the_promised_names_and_the_statistics_of_stats(tmp_path):
    base = ["right"] * 40 + ["right, no format"] * 30 + ["wrong"] * 20 + ["nothing"] * 10
    tuned = ["right"] * 60 + ["wrong"] * 10 + ["right"] * 25 + ["nothing, cut"] * 5
    numbers = summarize(make_run(tmp_path, base, tuned))
    assert numbers.n == 100
    for side, accuracy, strict, form in (("base", 70, 40, 60), ("tuned", 85, 85, 95)):
        for name, k in (("accuracy", accuracy), ("strict", strict), ("format", form)):
            rate, wilson = getattr(getattr(numbers, side), name), intervals.wilson(k, 100)
            assert (rate.value, rate.low, rate.high) == (k / 100, wilson.low, wilson.high)
    accuracy = numbers.difference.accuracy
    assert (accuracy.gained, accuracy.lost) == (25, 10)
    assert accuracy.mid_p == paired_tests.mcnemar(25, 10).mid_p
    assert (numbers.base.unparsed, numbers.tuned.unparsed, numbers.tuned.truncated) == (10, 5, 5)
    parts = numbers.decomposition
    together = parts.mathematics.value + parts.readability.value + parts.format.value
    assert together == pytest.approx(numbers.difference.strict.value, abs=1e-15)
    rules = parts.by_rule
    assert sum(counts.base for counts in rules.values()) == sum(counts.tuned for counts in rules.values()) == 100
    assert rules["phrase"] == summary.RuleCounts(30, 30, 0, 0)
    # 10 right ones became wrong; 20 marked wrong ones and 5 of the 10 without a number became right.
    flows = parts.flows
    assert flows.marked == summary.Flow(20, 0, 10, 0) and flows.none == summary.Flow(5, 0, 0, 0)
    assert flows.unmarked == flows.cut == summary.Flow(0, 0, 0, 0)
    assert parts.mathematics.value == pytest.approx((20 - 10) / 100)


def test_the_report_tells_counts_standard_error_correlation_and_what_can_be_detected(tmp_path):
    base, tuned = ["right"] * 40 + ["wrong"] * 60, ["right"] * 70 + ["wrong"] * 30
    run = reported(tmp_path, base, tuned)
    right = [[outcome == "right" for outcome in side] for side in (base, tuned)]
    d = paired.paired_difference(*right)
    assert d.correlation == pytest.approx(np.corrcoef(*right)[0, 1])
    told = (
        f"Accuracy: right answers 40 and 70 of 100, paired standard error of the difference {100 * d.se:.2f} points, "
        f"correlation of base and tuned over the questions {d.correlation:.2f}, this design detects ≥ "
        f"{100 * power.detectable(d):.2f} points with 80% power."
    )
    assert told in run.report.read_text() and told in run.page.read_text()
    high = intervals.wilson(d.gained + d.lost, 100).high
    said = f"from the share of the questions that changed, 30.0%, at the upper end of its 95% interval, {high:.1%}."
    assert said in run.report.read_text()
    assert power.stated(100, 0.3) == pytest.approx(power.detectable(d))
    nothing = reported(tmp_path / "same", ["right"] * 9, ["right"] * 9).report.read_text()
    assert "Accuracy: right answers 9 and 9 of 9.\n" in nothing  # a standard error of 0 does not mean certainty


def test_cut_completions_stay_in_n_and_count_as_wrong(tmp_path):
    numbers = summarize(make_run(tmp_path, ["right"] * 30, ["right, cut"] * 30))
    assert numbers.tuned.accuracy.value == 0 and numbers.n == 30
    assert numbers.tuned.truncated == 30 and numbers.tuned.unparsed == 0


def test_more_than_a_percent_cut_is_said_aloud(tmp_path):
    run = reported(tmp_path, ["right"] * 99 + ["right, cut"], ["right"] * 98 + ["right, cut"] * 2)
    text = run.report.read_text()
    assert "**1.0% of the base's and 2.0% of the tuned completions were cut" in text
    run = reported(tmp_path / "b", ["right"] * 200, ["right"] * 197 + ["right, cut"] * 3)
    assert "**0.0% of the base's and 1.5% of the tuned completions were cut" in run.report.read_text()


def test_one_question_is_one_question(tmp_path):
    run = reported(tmp_path, ["wrong"], ["right"])
    for text in (run.report.read_text(), run.page.read_text()):
        assert "1 question" in text and not re.search(r"\b1 questions", text)


def test_nothing_changed_is_said_as_it_is(tmp_path):
    run = reported(tmp_path, ["right", "wrong"] * 50, ["right", "wrong"] * 50)
    text = run.report.read_text()
    assert "No difference in accuracy detected; with so few questions changed, this design" in text
    assert "the trained weights were proved to be in use: the training changed too little to show" in text
    assert "no effect" not in text.lower()


def test_where_only_the_format_improved_mathematics_is_zero(tmp_path):
    run = reported(tmp_path, ["right, no format"] * 60 + ["wrong"] * 40, ["right"] * 60 + ["wrong"] * 40)
    numbers = summary.read(run.path)
    assert numbers.decomposition.mathematics.value == 0
    assert numbers.decomposition.format.value == pytest.approx(0.6)
    assert "+60.0" in run.report.read_text()


OTHERWISE = {"prompts": "other", "engine": "other", "precision": "bf16", "max_new_tokens": 73, "stop_ids": [1]}


@pytest.mark.parametrize("condition", OTHERWISE)
def test_sides_that_were_not_evaluated_alike_are_refused(tmp_path, condition):
    run = make_run(tmp_path, ["right"] * 10, ["right"] * 10)
    other = constructed.result(["right"] * 10, **{condition: OTHERWISE[condition]})
    files.write_json(run.tuned(3407) / "result.json", other)
    with pytest.raises(HarnessError, match=f"under different conditions \\({condition}"):
        summarize(run)


def test_sides_that_answered_different_questions_are_refused(tmp_path):
    run = make_run(tmp_path, ["right"] * 10, ["right"] * 10)
    other = constructed.result(["right"] * 10)
    other["scores"][3]["id"] = "another"
    files.write_json(run.tuned(3407) / "result.json", other)
    with pytest.raises(HarnessError, match="answered different questions"):
        summarize(run)


def test_model_text_cannot_leave_its_fence(tmp_path, monkeypatch):
    hostile = "```\n# A heading\n<script>alert(1)</script>\n````"
    monkeypatch.setitem(constructed.TEXTS, "nothing", hostile)
    run = reported(tmp_path, ["nothing"] * 30, ["right"] * 30)
    text = run.report.read_text()
    start = text.index(hostile)
    fence = text[:start].splitlines()[-1].removesuffix("text")
    assert set(fence) == {"`"} and fence not in hostile


def test_a_found_number_of_many_digits_is_cut_short(tmp_path, monkeypatch):
    monkeypatch.setitem(constructed.TEXTS, "wrong", "<SOLUTION>" + "9" * 100_000)
    text = reported(tmp_path, ["wrong"] * 30, ["right"] * 30).report.read_text()
    assert f"base: answer {'9' * 40}… (100,000 characters), wrong number" in text
    assert len(text) < 20_000


def test_a_long_answer_keeps_its_end_where_the_number_is(tmp_path, monkeypatch):
    monkeypatch.setitem(constructed.TEXTS, "wrong", "b" * 5000 + "The answer is 9.")
    text = reported(tmp_path, ["wrong"] * 30, ["right"] * 30).report.read_text()
    left_out = 5016 - markdown.HEAD - markdown.TAIL
    assert f"b\n[… {left_out:,} characters left out …]\nb" in text and "bbbThe answer is 9.\n```" in text


def test_of_several_answers_the_first_right_and_the_first_wrong_one_are_shown(tmp_path):
    base, tuned = [("wrong", "wrong", "nothing")] * 30, [("wrong", "right", "wrong")] * 30
    text = reported(tmp_path, base, tuned, "eval.samples=3", "eval.temperature=1.0").report.read_text()
    assert text.count("base: 0 of 3 answers are right; the first of each kind:\n\nbase: answer ") == markdown.SHOWN
    assert text.count("tuned: 1 of 3 answers are right; the first of each kind:\n\ntuned: answer ") == markdown.SHOWN
    assert text.count("\nbase: answer ") == markdown.SHOWN and text.count("\ntuned: answer ") == 2 * markdown.SHOWN


def test_a_name_that_acts_on_a_terminal_is_spelled_out(tmp_path):
    run = make_run(tmp_path, ["right"] * 30, ["wrong"] * 30)
    hostile = tmp_path / f"\x1b[2J\n# a|b {run.path.name}"
    run.path.rename(hostile)
    write.write(directory.existing(hostile))
    text = (hostile / "report.md").read_text()
    assert text.startswith(f"# ⟨U+001B⟩[2J↵# a|b {run.path.name}\n") and "\x1b" not in text
    assert "⟨U+001B⟩" in (hostile / "report.html").read_text()


def test_the_plots_are_svg_and_the_same_every_time(tmp_path):
    run = reported(tmp_path / "a", ["right", "wrong"] * 50, ["right"] * 100)
    again = reported(tmp_path / "b", ["right", "wrong"] * 50, ["right"] * 100)
    for name in ("before_after.svg", "decomposition.svg", "reward.svg"):
        content = (run.plots / name).read_bytes()
        assert ElementTree.fromstring(content).tag.endswith("svg")
        assert content == (again.plots / name).read_bytes()
    assert run.summary.read_bytes() == again.summary.read_bytes()


def test_a_broken_summary_beside_a_run_does_not_cost_its_report(tmp_path):
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/summary.json").write_text("not json")
    for number, theirs in enumerate(({"conditions": None}, {"conditions": []}, [], None)):
        files.write_json(tmp_path / f"foreign-{number}/summary.json", theirs)
    run = reported(tmp_path, ["right"] * 30, ["right"] * 30)
    assert "No other finished run in this results folder has scored any of them." in run.report.read_text()


def test_looks_at_test_are_counted_by_question(tmp_path):
    """A run on some of the same questions has looked at them, too; its data hash is another."""
    reported(tmp_path, ["right"] * 20, ["right"] * 20, "eval.limit=20")
    dev = reported(tmp_path, ["right"] * 40, ["right"] * 40, "name=other")
    kept = files.read_json(dev.base / "result.json")
    for score in kept["scores"]:
        score["id"] = f"other {score['id']}"
    files.write_json(dev.base / "result.json", kept)
    run = reported(tmp_path, ["right"] * 30, ["right"] * 30)
    assert "1 other finished run in this results folder scored some or all of them." in run.report.read_text()


def test_a_report_names_what_was_measured(tmp_path):
    hub = ("model.id=google/gemma-3-4b-it", "model.revision=093f9f388b31de276ce2de164bdc2081324b9767")
    hub += ("data.path=openai/gsm8k", "train.backend=unsloth", "model.precision=bf16", "lora.r=8")
    run = make_run(tmp_path, ["wrong"] * 30, {1: ["right"] * 30, 2: ["right"] * 30}, *hub)
    cost = {"start_seconds": 1.0, "seconds": 2.0, "tokens": 3, "peak_memory_mib": 4}
    noted = {"machine": {"system": "Linux", "cores": 2, "threads": 2, "gpu": "NVIDIA H200", "gpu_gib": 139.8}}
    days = {"base": "2026-11-28T23:59:59+00:00", "tuned (seed 1)": "2026-11-29T01:00:00+00:00"}
    noted["base"] = {"revision": hub[1].partition("=")[2]}
    noted["stages"] = {stage: cost | {"finished": day} for stage, day in days.items()}
    files.write_json(run.manifest, noted)
    write.write(run)
    line = (
        "google/gemma-3-4b-it (093f9f38); LoRA r 8; 60 steps of 64 completions; seeds 1, 2; openai/gsm8k test, "
        "30 questions; NVIDIA H200; 2026-11-29."
    )
    assert line in run.report.read_text() and line in run.page.read_text()
    assert "Demo:" not in run.report.read_text() + run.page.read_text()
    found = files.read_json(run.summary)["identity"]
    assert found["model"] == "google/gemma-3-4b-it" and found["seeds"] == [1, 2] and not found["demo"]
    assert "H200" not in run.summary.read_text() and "2026" not in run.summary.read_text()


@pytest.mark.parametrize(("parameters", "size"), [(494_032_768, "494 M"), (4_300_079_472, "4.3 B")])
def test_a_report_on_a_folders_model_says_what_kind_it_is(tmp_path, parameters, size):
    run = make_run(tmp_path, ["wrong"] * 30, ["right"] * 30, "model.id=models/qwen")
    noted = {"revision": None, "architecture": "Qwen2ForCausalLM", "parameters": parameters}
    files.write_json(run.manifest, files.read_json(run.manifest) | {"base": noted})
    write.write(run)
    assert f"\nmodels/qwen (Qwen2ForCausalLM, {size} parameters); LoRA r 8; " in run.report.read_text()
    found = files.read_json(run.summary)["identity"]
    assert (found["architecture"], found["parameters"]) == ("Qwen2ForCausalLM", parameters)


def test_the_embedded_model_is_a_demo_and_says_so(tmp_path):
    run = reported(tmp_path, ["wrong"] * 30, ["right"] * 30)
    assert "\n**Demo: the gain is by construction." in run.report.read_text()
    assert "Demo: the gain is by construction." in run.page.read_text()


def test_the_embedded_model_on_other_data_gains_nothing_by_construction(tmp_path):
    run = reported(tmp_path, ["wrong"] * 30, ["right"] * 30, f"data.path={tmp_path}/own.jsonl")
    for text in (run.report.read_text(), run.page.read_text()):
        assert "This is the embedded tiny model: nothing here says anything about" in text and "Demo:" not in text


def test_of_a_local_model_and_data_only_the_last_part_of_the_path_is_shown(tmp_path):
    run = reported(
        tmp_path, ["wrong"] * 30, ["right"] * 30, f"model.id={tmp_path}/mine", f"data.path={tmp_path}/own.jsonl"
    )
    assert "\nmine; LoRA r " in run.report.read_text() and "; own.jsonl test, 30 questions" in run.report.read_text()
    assert str(tmp_path) not in run.summary.read_text()


def test_damaged_or_older_files_of_the_run_itself_are_named_in_a_line(tmp_path):
    run = make_run(tmp_path, ["right"] * 30, ["right"] * 30)
    kept = run.train(3407) / "completions.parquet"
    kept.write_bytes(b"")
    with pytest.raises(HarnessError, match=r"completions\.parquet: cannot be read \("):
        write.write(run)
    kept.unlink()
    older = files.read_json(run.base / "result.json")
    del older["scores"][7]["why"]
    files.write_json(run.base / "result.json", older)
    with pytest.raises(HarnessError, match=r"base/result\.json: scores\.7\.why is missing"):
        gallery.read(run, ())


def test_a_long_table_behind_the_curves_is_thinned_over_all_steps(tmp_path):
    run = make_run(tmp_path, ["right"] * 30, ["wrong"] * 30)
    shared = {"reward": 1.0, "profiles_disagree/format": 0.0, "profiles_disagree/answer": 0.0}
    rows = [{"step": step, "completions/mean_length": 9.0} | shared for step in range(1, 151)]
    files.write_lines(run.train(3407) / "metrics.jsonl", rows)
    numbers = summarize(run)
    folded = training.curves(run, numbers).blocks[-1]
    assert folded.title == "The numbers, every 3 steps; metrics.jsonl has all"
    assert [row[0] for row in folded.blocks[0].rows] == [str(step) for step in range(1, 151, 3)]


@pytest.mark.parametrize(
    ("share", "words"), [(0.0, "none"), (1.0, "all"), (0.0003, "less than 0.1%"), (0.001, "0.1%"), (0.25, "25.0%")]
)
def test_how_often_the_two_kinds_of_rewards_differ_is_said_in_words_at_the_ends(tmp_path, share, words):
    run = make_run(tmp_path, ["right"] * 30, ["wrong"] * 30)
    row = {"step": 1, "reward": 1.0, "profiles_disagree/format": share, "profiles_disagree/answer": 0.5}
    files.write_lines(run.train(3407) / "metrics.jsonl", [row])
    write.write(run)
    said = run.report.read_text()
    assert f"In {words} of the completions the tutorial's reward for the format" in said
    assert "In 50.0% of the completions the tutorial's reward for the answer" in said


def test_different_precisions_stand_in_the_report(tmp_path):
    run = reported(tmp_path, ["right"] * 30, ["right"] * 30, "model.precision=bf16")
    assert "| Weights | fp32 | fp32 | **trained in bf16** |" in run.report.read_text()


def test_a_run_that_is_not_finished_has_no_report(tmp_path):
    run = directory.open_run("quickstart", [], tmp_path)
    with pytest.raises(HarnessError, match="missing; run the experiment again"):
        write.write(run)


def test_a_kill_while_it_is_drawn_anew_leaves_no_old_one_beside_new_numbers(tmp_path, monkeypatch):
    run = reported(tmp_path, ["wrong"] * 30, ["right"] * 30)
    monkeypatch.setattr(html_report, "draw", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write.write(run)
    assert run.summary.exists() and not run.report.exists()


def test_the_real_run(finished, tmp_path):
    numbers = summary.read(finished)
    assert numbers.n == 48 and numbers.proof.correlation_amplified > 0.95
    assert numbers.train.profiles_disagree.keys() == {"format", "answer"}
    text = (finished / "report.md").read_text()
    for part in (
        "**",
        "| Accuracy |",
        "one seed",
        "loss_type bnpo",
        "Was the adapter applied?",
        "tokens/s",
        "torch",
        "Step 1, reward",
    ):
        assert part in text
    copy = copied(finished, tmp_path) / finished.name
    assert harness("report", copy, cold=True).returncode == 0
    assert (copy / "report.md").read_bytes() == (finished / "report.md").read_bytes()


def test_time_and_memory_are_told_and_on_a_gpu_its_hours(tmp_path):
    run = make_run(tmp_path, ["right"] * 30, ["wrong"] * 30)
    cost = Cost(start_seconds=65.1, seconds=20.0, tokens=1000, peak_memory_mib=900, peak_gpu_mib=71_000)
    run.note("stages", {"base": cost})
    run.note("wall_seconds", {"base evaluation": 100.0, "training": 3400.0, "tuned evaluation": 100.0})
    write.write(run)
    text = run.report.read_text()
    assert "| base | 65.1 | 20.0 | 1,000 | 50 | 900 | 71,000 |" in text
    assert (
        "base evaluation 100 s, training 3,400 s, tuned evaluation 100 s. Not in it: an attempt that was killed" in text
    )
    run.note("machine", Machine("Linux", 8, 8, "NVIDIA H100", 79.6))
    write.write(run)
    assert "tuned evaluation 100 s; together 1.000 GPU-hours on one NVIDIA H100." in run.report.read_text()


def test_a_total_of_times_names_the_stages_that_it_leaves_out(tmp_path):
    run = make_run(tmp_path, ["right"] * 30, ["wrong"] * 30)
    run.note("wall_seconds", {"tuned evaluation": 100.0})
    write.write(run)
    assert (
        "included: tuned evaluation 100 s, without base evaluation, training: run by a command of its own, or taken "
        "from another run. Not in it: an attempt"
    ) in run.report.read_text()
    again = make_run(tmp_path / "again", ["right"] * 30, ["wrong"] * 30, "eval.noise_floor=true")
    evaluated(again.again, ["right"] * 30)
    again.note("wall_seconds", dict.fromkeys(("base evaluation", "training", "tuned evaluation"), 100.0))
    write.write(again)
    assert "tuned evaluation 100 s. Not in it" in again.report.read_text()


def test_step_times_tell_the_first_step_from_the_others(tmp_path):
    run = make_run(tmp_path, ["right"] * 30, ["wrong"] * 30)
    metrics = run.train(3407) / "metrics.jsonl"
    rows = files.read_lines(metrics)
    files.write_lines(metrics, [row | {"step_time": 90.0 if row["step"] == 1 else 2.0} for row in rows])
    write.write(run)
    assert "A step took 2.00 s (median), the first one 90.00 s." in run.report.read_text()


def test_names_conditions_and_golds_are_no_html_in_markdown(tmp_path):
    """Fences keep a model's text apart; what stands outside them is escaped as on the page."""
    run = make_run(tmp_path, ["right"] * 3, ["wrong"] * 3)
    hostile = "<img src=x onerror=alert(1)>&lt;"
    conditions = f"transformers {hostile}"
    for folder in (run.base, run.tuned(3407)):
        result = files.read_json(folder / "result.json")
        result["conditions"]["engine"] = conditions
        for score in result["scores"]:
            score["gold"] = hostile
        files.write_json(folder / "result.json", result)
    write.write(run)
    text = re.sub(r"```text\n.*?\n```", "", run.report.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert "<img" not in text and "transformers &lt;img src=x onerror=alert(1)>&amp;lt;" in text
    assert "gold &lt;img" in text and "p < " not in text.replace("< 0.0001", "")
