"""The outside check: lm-eval's own task, filters and backends on a run, and the table that compares them with ours."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import io
import os
import shutil
import signal
import subprocess
import sys
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import psutil
import pytest
from rich.console import Console
from rich.markdown import Markdown
from transformers import AutoTokenizer

from harness.crosscheck import __main__ as crosscheck_command
from harness.crosscheck import check as crosscheck_check
from harness.crosscheck import inputs, lm_eval_task, options, worker
from harness.crosscheck.lm_eval_task import FILTERS
from harness.crosscheck.options import Check
from harness.crosscheck.table import _differs, compare, draw
from harness.models.checkpoint import Checkpoint
from harness.models.engine import Request, Sampling
from harness.models.lora import adapter_weights, save_copy
from harness.runs import directory
from harness.runs.directory import RunDir
from harness.stats import intervals
from harness.tasks import panel
from harness.tasks.benchmarks import gsm8k
from harness.tasks.panel import Ruling
from harness.tasks.records import Problem, Tags
from harness.tasks.tiny import CHECKPOINT
from harness.util import files
from harness.util.cli import Parser
from harness.util.errors import HarnessError
from tests import constructed, fake_vllm
from tests.conftest import HANG, harness, refused, started, wait_until, without_gpu
from tests.e2e.test_run import mapped
from tests.e2e.test_stopping import nothing_is_left

SEED = 3407
TAGS = Tags()
QUESTION = Problem("0", "How much is 9 * 2,000?", "18,000", "9*2000=<<9*2000=18000>>18,000 in all\n#### 18,000")
EXAMPLES = [dataclasses.replace(QUESTION, question=f"Number {number}: how much is 9 * 2,000?") for number in range(6)]


@pytest.fixture
def run(finished, tmp_path) -> RunDir:
    """A copy of the finished run."""
    return directory.existing(shutil.copytree(finished, tmp_path / "results" / finished.name))


def asked(run: RunDir, check: Check) -> list[Problem]:
    return list(inputs.prepare(run, check).asked)


def answered(run: RunDir, check: Check, base: list[str], tuned: list[str]) -> inputs.Material:
    """As if lm-eval had got these completions: judged by lm-eval's own filters and metric."""
    material = inputs.prepare(run, check)
    problems = material.asked
    task = lm_eval_task.build(problems, EXAMPLES, check.shots)
    for seed, texts in ((None, base), (SEED, tuned)):
        rulings = lm_eval_task.judge(task, problems, texts)
        rows = [
            {"id": problem.id, "prompt_hash": "p", "completion": text}
            | {name: rulings[name][number]._asdict() for name in FILTERS}
            for number, (problem, text) in enumerate(zip(problems, texts, strict=True))
        ]
        facts = {
            "shots": check.shots, "max_new_tokens": 256, "context": 1024, "longest prompt": 700,
            "prompts cut": 0, "stops": ["Question:"],
        }  # fmt: skip
        made = inputs.conditions(run, check, material, inputs.model(run, material, seed)[2])
        files.write_lines(inputs.folder(run, check) / f"{inputs.side(seed)}.jsonl", rows)
        files.write_json(inputs.folder(run, check) / f"{inputs.side(seed)}.json", {"conditions": made, "facts": facts})
    return material


# --- lm-eval's task and its verdicts

# What lm-eval's yaml says of each text: strict takes the first "#### " and the number behind it, flexible the last run
# of two or more of "$0-9.," or of digits; both compare without commas, dollar signs and one dot at the end.
VERDICTS = {
    "#### 18,000": (("18,000", True), ("18,000", True)),
    "so #### 18000. Or #### 3": (("18000.", True), ("3", False)),
    "It is $18,000.": ((None, False), ("$18,000.", True)),
    "####18000": ((None, False), ("18000", True)),
    "#### 18000.00": (("18000.00", False), ("18000.00", False)),
    "18000 of 7": ((None, False), ("7", False)),
    "-18,000": ((None, False), ("-18,000", False)),
    "nothing": ((None, False), (None, False)),
    "the end..": ((None, False), ("..", False)),
    "": ((None, False), (None, False)),
}


def test_lm_evals_verdicts_on_any_text_are_the_panels():
    texts = list(VERDICTS)
    task = lm_eval_task.build([QUESTION], EXAMPLES, 0)
    found = lm_eval_task.judge(task, [QUESTION] * len(texts), texts)
    for place, name in enumerate(FILTERS):
        assert found[name] == [Ruling(*VERDICTS[text][place]) for text in texts]
        (rule,) = (scorer.rule for scorer in panel.SCORERS if scorer.name == f"lm-eval {name}")
        assert [rule(text, QUESTION.gold, TAGS) for text in texts] == found[name]


def test_the_task_is_lm_evals_own_on_our_rows():
    task = lm_eval_task.build([QUESTION], EXAMPLES, options.SHOTS)
    assert str(task.VERSION) == "3.0" and f"version {task.VERSION}" in panel.SCORERS[1].source
    assert task.config.generation_kwargs["until"] == ["Question:", "</s>", "<|im_end|>"]
    prompt = task.fewshot_context(lm_eval_task.document(QUESTION), 5)
    *worked, last = prompt.split("\n\n")
    assert last == f"Question: {QUESTION.question}\nAnswer:"
    assert len(set(worked)) == 5  # drawn without replacement
    for example in worked:
        assert example.startswith("Question: Number ") and example.endswith(f"\nAnswer: {QUESTION.solution}")
    again = lm_eval_task.build([QUESTION], EXAMPLES, 5).fewshot_context(lm_eval_task.document(QUESTION), 5)
    assert again == prompt  # lm-eval's own seed
    with pytest.raises(HarnessError, match="--shots: 7 worked examples, but only 6 training problems"):
        lm_eval_task.build([QUESTION], EXAMPLES, 7)


def test_worked_examples_are_those_of_lm_evals_command_line(tmp_path):
    """Examples are drawn from all training rows, also those of the dev split, unless dev questions are asked."""
    rows = [lm_eval_task.document(each) for each in EXAMPLES * 5]
    for number, row in enumerate(rows):
        row["question"] += f" And plus {number}?"
    for name, part in (("train", rows), ("test", rows[:1])):
        files.write_lines(
            tmp_path / "data" / f"{name}.jsonl", [row | {"question": name + row["question"]} for row in part]
        )
    overrides = [f"data.path={tmp_path / 'data'}", "data.dev=7"]
    run = directory.open_run("quickstart", overrides, tmp_path)
    whole = [problem.question for problem in inputs.prepare(run, Check()).examples]
    assert whole == ["train" + row["question"] for row in rows]
    on_dev = directory.open_run("quickstart", [*overrides, "eval.split=dev"], tmp_path)
    material = inputs.prepare(on_dev, Check())
    assert len(material.examples) == 23 and not set(material.examples) & set(material.asked)
    again = dataclasses.replace(material, examples=(dataclasses.replace(material.examples[0], solution="#### 18,000"),))
    first = dataclasses.replace(material, examples=material.examples[:1])
    assert inputs.conditions(on_dev, Check(), again, None) != inputs.conditions(on_dev, Check(), first, None)


def test_gsm8ks_own_solutions_are_right_under_both_filters(gsm8k_folder):
    run = directory.open_run("quickstart", [f"data.path={gsm8k_folder}"], Path("nowhere"), create=False)
    data = gsm8k.load(run.config.data.source())
    task = lm_eval_task.build(data.test, data.train, 5)
    found = lm_eval_task.judge(task, data.test, [problem.solution for problem in data.test])
    assert len(data.test) == 1319 and all(ruling.correct for name in FILTERS for ruling in found[name])


# --- the whole command


def test_with_our_prompt_lm_eval_finds_what_we_found(run, monkeypatch, tmp_path, capsys):
    """The base exists from an interrupted call, the tuned model runs in its own process; nothing else is written."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    check = Check(0, 12, chat=True, our_prompt=True)
    worker.score(run, check, None)
    base = inputs.folder(run, check) / "base.jsonl"
    answers = files.read_lines(base)
    own = Path(shutil.copytree(CHECKPOINT, tmp_path / "own"))  # with settings of its own, which ours ignore
    files.write_json(own / "generation_config.json", {"repetition_penalty": 5.0, "eos_token_id": 1, "pad_token_id": 0})
    with monkeypatch.context() as other:
        other.setattr(inputs, "model", lambda *_: (Checkpoint("own", own), None, None))
        worker.score(run, check, None)
    assert files.read_lines(base) == answers
    before = base.stat().st_mtime_ns
    done = harness("crosscheck", run.path, "--our-prompt", "--limit", "12")
    assert done.returncode == 0, done.stderr
    assert f"crosscheck (tuned-seed-{SEED}): lm-eval" in done.stdout and "crosscheck (base)" not in done.stdout
    assert not (tmp_path / "home").exists()
    assert "of its 24 prompts 24 are ours token for token" in done.stdout

    place = run.path / "crosscheck" / "our-prompt-first-12"
    assert (place / "base.jsonl").stat().st_mtime_ns == before
    numbers = files.read_json(place / "crosscheck.json")
    (table,) = numbers["tables"]
    folders = {"base": run.base, "tuned": run.tuned(SEED)}
    scores = {name: files.read_json(folder / "result.json")["scores"][:12] for name, folder in folders.items()}
    by = {(row["completions"], row["rule"]): row for row in table["rows"]}
    for name in folders:
        right = sum(score["correct"] for score in scores[name])
        assert by["ours", "our accuracy"][name]["k"] == right
        # Not equal: lm-eval has other batches, so a near tie may differ, and it judges what was cut.
        cut = sum(score["finish_reason"] == "length" for score in scores[name])
        assert abs(by["lm-eval's", "our accuracy"][name]["k"] - right) <= 1 + cut
    for seed, name in ((None, "base"), (SEED, "tuned")):
        rows = files.read_lines(place / f"{inputs.side(seed)}.jsonl")
        facts = files.read_json(place / f"{inputs.side(seed)}.json")["facts"]
        assert (facts["max_new_tokens"], facts["prompts cut"]) == (run.config.eval.max_new_tokens, 0)
        totals = facts["totals"]
        assert [row["id"] for row in rows] == [problem.id for problem in asked(run, check)]
        for rule in FILTERS:
            share = float(np.mean([row[rule]["correct"] for row in rows]))
            assert totals[rule] == pytest.approx(share) == by["lm-eval's", rule][name]["value"]
    assert [(each["checked"], each["mismatches"]) for each in numbers["agreement"]] == [(48, 0), (48, 0)]

    stored = {file: file.stat().st_mtime_ns for file in place.glob("*.json*")}
    assert crosscheck_command.main([str(run.path), "--our-prompt", "--limit", "12"]) == 0
    assert "crosscheck (" not in capsys.readouterr().out  # shown, not made
    assert {file: file.stat().st_mtime_ns for file in place.glob("*.json*")} == stored


def test_prompts_that_lm_eval_cuts_are_counted(gsm8k_folder, tmp_path):
    """Five of GSM8K's solutions and a question need more than the 768 tokens that fit in the tiny model's context."""
    run = directory.open_run("quickstart", [f"data.path={gsm8k_folder}"], tmp_path)
    check = Check(limit=2, batch_size=2)
    worker.score(run, check, None)
    facts = files.read_json(inputs.folder(run, check) / "base.json")["facts"]
    assert (facts["prompts cut"], facts["context"], facts["max_new_tokens"], facts["shots"]) == (2, 1024, 256, 5)
    rows = files.read_lines(inputs.folder(run, check) / "base.jsonl")
    for row in rows:
        assert row["prompt"].count("\n#### ") == 5 and row["prompt_tokens_cut"] == row["prompt_tokens"] - 768 > 0


# --- the table


def test_rates_differences_and_reasons(run):
    """Of four questions lm-eval's base has one right under strict, two under flexible; tuned has all under both."""
    check = Check(limit=4)
    golds = [problem.gold for problem in asked(run, check)]
    base = [f"#### {golds[0]}", f"It is {golds[1]}.", "9 or so, I do not know", "none"]
    answered(run, check, base, [f"#### {gold}" for gold in golds])
    assert crosscheck_check.crosscheck(run, check, [SEED], None) == 0
    place = inputs.folder(run, check)
    (table,) = files.read_json(place / "crosscheck.json")["tables"]
    rows = {row["rule"]: row for row in table["rows"] if row["completions"] == "lm-eval's"}
    for rule, right in (("strict-match", 1), ("flexible-extract", 2), ("our accuracy", 2)):
        row, wilson = rows[rule], intervals.wilson(right, 4)
        assert (row["base"]["k"], row["base"]["low"], row["base"]["high"]) == (right, wilson.low, wilson.high)
        difference = row["difference"]
        assert (row["tuned"]["k"], difference["gained"], difference["lost"]) == (4, 4 - right, 0)
        assert difference["value"] == 1 - right / 4
        assert (difference["low"], difference["high"]) == dataclasses.astuple(intervals.tango(4 - right, 0, 4))
    assert (
        "finds an answer in 25.0% of base's completions and 100.0% of tuned's; too few" in rows["strict-match"]["why"]
    )
    assert "75.0% of base's" in rows["flexible-extract"]["why"]
    text = (place / "crosscheck.md").read_text()
    assert "5 worked examples, no system text, 256 new tokens, not 72" in text
    assert "the run's own number on the first 4 of its 48 questions" in text
    narrow = Console(width=80, soft_wrap=True, file=io.StringIO())
    narrow.print(Markdown(text))
    assert "…" not in narrow.file.getvalue().replace("Question: …", "")  # in 80 columns no word of the table is cut
    assert "our system" in " ".join(narrow.file.getvalue().lower().split())  # nor the notes below it
    assert "(plain text, no chat template, no system text)" in text
    assert "No prompt was cut: the longest of theirs has 700 tokens, 768 fit." in text
    assert "agree on all 16 completions above" in text


def test_each_seed_has_a_table_and_nothing_right_is_said(run):
    check, both = Check(limit=3), run.config.train.model_copy(update={"seeds": [SEED, 1]})
    material = answered(run, check, ["none"] * 3, ["none"] * 3)
    place = inputs.folder(run, check)
    for ending in ("json", "jsonl"):
        shutil.copy(place / f"tuned-seed-{SEED}.{ending}", place / f"tuned-seed-1.{ending}")
    shutil.copytree(run.tuned(SEED), run.tuned(1))
    two = RunDir(run.path, run.config.model_copy(update={"train": both}))
    numbers = compare(two, check, material, [SEED, 1], {})
    first, second = numbers.tables
    assert (first.seed, second.seed) == (SEED, 1) and first.rows == second.rows
    assert [each.checked for each in numbers.agreement] == [18, 18]  # three models, ours and lm-eval's, 3 each
    text = draw(numbers)
    assert "3 questions, seed 3407**" in text and "3 questions, seed 1**" in text
    assert text.count("Neither model has one answer right when lm-eval asks") == 2


def test_several_samples_of_ours_are_question_means(run):
    """Every completion again as a second sample that counts as wrong, which halves each rate."""
    check = Check(limit=20)
    right = {}
    for folder in (run.base, run.tuned(SEED)):
        result, rows = files.read_json(folder / "result.json"), files.read_lines(folder / "samples.jsonl")
        right[folder] = sum(score["correct"] for score in result["scores"][:20])
        again = [score | {"sample": 1, "correct": False} for score in result["scores"]]
        result["scores"] = [each for pair in zip(result["scores"], again, strict=True) for each in pair]
        files.write_json(folder / "result.json", result)
        files.write_lines(folder / "samples.jsonl", rows + [row | {"sample": 1} for row in rows])
    sampled = run.config.eval.model_copy(update={"samples": 2})
    material = answered(run, check, ["none"] * 20, ["none"] * 20)
    two = RunDir(run.path, run.config.model_copy(update={"eval": sampled}))
    numbers = compare(two, check, material, [SEED], {})
    ours = numbers.tables[0].rows[0]
    assert ours.base.value == pytest.approx(right[run.base] / 40)
    assert ours.tuned.value == pytest.approx(right[run.tuned(SEED)] / 40)
    assert "bootstrap" in ours.base.method and numbers.agreement[0].checked == 2 * 40 + 2 * 20
    assert "of rates Wilson and bootstrap of question means" in draw(numbers)


def test_a_rule_of_the_panel_that_says_something_else_is_shown_with_its_text(run):
    check = Check(limit=2)
    material = answered(run, check, ["#### 1", "![x](http://y) \x1b[2J``` #### 2"], ["#### 1", "#### 2"])
    log = inputs.folder(run, check) / "base.jsonl"
    rows = files.read_lines(log)
    rows[1]["strict-match"] = {"extracted": "7", "correct": True}  # as another version of lm-eval might rule
    files.write_lines(log, rows)
    numbers = compare(run, check, material, [SEED], {})
    strict, flexible = numbers.agreement
    assert (strict.checked, strict.mismatches, flexible.mismatches) == (8, 1, 0)
    assert strict.examples[0].panel.extracted == "2"
    text = draw(numbers)
    assert "DISAGREE on 1 of 8 completions" in text and "lm-eval 7 (right), panel 2 (wrong)" in text
    assert "\x1b" not in text and "\n````text\n![x](http://y) ⟨U+001B⟩[2J``` #### 2\n````" in text


def test_two_signs_that_are_both_detected_and_apart_are_loud(run):
    check = Check(limit=48)
    golds = [problem.gold for problem in asked(run, check)]
    material = answered(run, check, [f"#### {gold}" for gold in golds], ["none"] * 48)
    for folder, right in ((run.base, False), (run.tuned(SEED), True)):  # ours, the other way round
        result = files.read_json(folder / "result.json")
        for score in result["scores"]:
            score["correct"] = right
        files.write_json(folder / "result.json", result)
    numbers = compare(run, check, material, [SEED], {})
    assert "**THE SIGN IS ANOTHER UNDER LM-EVAL: ours +100.0 [" in draw(numbers)


def test_cut_prompts_and_sampling_are_among_the_reasons(run):
    sampled = run.config.eval.model_copy(update={"samples": 4, "temperature": 0.7, "max_new_tokens": 256})
    config = run.config.model_copy(update={"eval": sampled})
    material = inputs.prepare(run, Check(limit=20))
    facts = {"max_new_tokens": 256, "context": 1024, "longest prompt": 2095, "prompts cut": 20, "stops": ["</s>"]}
    lines = list(_differs(RunDir(run.path, config), material, {None: facts}))
    assert lines[0].startswith("CUT PROMPTS: lm-eval cut the beginning off 20 of base's 20 prompts")
    assert "up to 2,095 tokens and 768 fit" in lines[0]
    assert any("both end after 256 new tokens; theirs is judged by what it says by then" in line for line in lines)
    assert any("ours draws 4 completions a question at temperature 0.7" in line for line in lines)


def test_ctrl_c_names_the_model_that_begins_anew(run):
    process = started(
        "crosscheck", run.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, cold=True
    )
    assert process.stdout.readline().startswith("crosscheck (base): lm-eval")
    wait_until(lambda: any("torch" in mapped(stage) for stage in psutil.Process(process.pid).children()), process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=HANG)
    assert process.returncode == 130 and errors.count("\n") == 1
    assert errors.startswith("Stopped in the crosscheck (base), which starts over. The same command resumes: ")
    assert nothing_is_left(process.pid)


# --- what is refused


def test_a_run_that_is_not_finished_names_what_is_missing(run):
    (run.tuned(SEED) / "result.json").unlink()
    refused(harness("crosscheck", run.path), "not finished, the tuned evaluation is missing", "python -m harness.run")


def test_without_lm_eval_one_line_says_what_to_install(run, monkeypatch):
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(lm_eval_task, "version", missing)
    with pytest.raises(HarnessError, match=r'pip install -e "\.\[crosscheck\]"'):
        crosscheck_command.main([str(run.path)])


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--seed", "1"], "--seed: 1 is not one of this run's train.seeds (3407)"),
        (["--limit", "0"], "--limit: found 0, allowed: 1 or more"),
        (["--shots", "-1"], "--shots: found -1, allowed: 0 or more"),
        (["--batch-size", "0"], "--batch-size: found 0, allowed: 1 or more"),
        (["--our-prompt", "--chat"], "--our-prompt: always uses the chat template"),
    ],
)
def test_impossible_options(run, options, line):
    with pytest.raises(HarnessError) as error:
        crosscheck_command.main([str(run.path), *options])
    assert line in str(error.value)


def test_answers_of_other_conditions_are_not_used(run):
    check = Check(limit=2)
    answered(run, check, ["1", "2"], ["1", "2"])
    file = inputs.folder(run, check) / "base.json"
    stored = files.read_json(file)
    files.write_json(file, stored | {"conditions": stored["conditions"] | {"precision": "bf16"}})
    with pytest.raises(HarnessError, match=r"base\.json: was made under other conditions \(precision\); delete"):
        crosscheck_command.main([str(run.path), "--limit", "2"])


def test_another_adapter_than_was_evaluated_is_refused(run):
    adapter = run.evaluated(SEED) / "adapter_model.safetensors"
    adapter.write_bytes(adapter.read_bytes() + b" ")
    with pytest.raises(HarnessError, match="has changed since tuned/seed-3407 was made"):
        crosscheck_command.main([str(run.path), "--limit", "2"])
    adapter.unlink()
    with pytest.raises(HarnessError, match="the weights trained with seed 3407 are missing"):
        crosscheck_command.main([str(run.path), "--limit", "2"])


def test_an_adapter_that_peft_cannot_place_is_refused(run, tmp_path):
    adapter = run.evaluated(SEED)
    renamed = {key.replace("layers", "blocks"): value for key, value in adapter_weights(adapter).items()}
    wrong = save_copy(adapter, renamed, tmp_path / "wrong")
    material = inputs.prepare(run, Check(limit=2))
    with pytest.raises(HarnessError, match="is not an adapter of this checkpoint"):
        worker._transformers(run, Check(), material, material.checkpoint, wrong)


def test_scored_anew_it_is_compared_anew_and_nobody_is_asked_again(run, capsys):
    check = Check(limit=2)
    answered(run, check, ["1", "2"], ["1", "2"])
    assert crosscheck_command.main([str(run.path), "--limit", "2"]) == 0
    result = files.read_json(run.base / "result.json")
    result["scores"][0]["correct"] = not result["scores"][0]["correct"]
    files.write_json(run.base / "result.json", result)
    before = files.read_json(inputs.folder(run, check) / "crosscheck.json")["tables"][0]["rows"][0]["base"]["k"]
    capsys.readouterr()
    assert crosscheck_command.main([str(run.path), "--limit", "2"]) == 0
    after = files.read_json(inputs.folder(run, check) / "crosscheck.json")["tables"][0]["rows"][0]["base"]["k"]
    assert abs(after - before) == 1 and "crosscheck (base)" not in capsys.readouterr().out


def test_a_record_of_how_lm_eval_asked_that_lacks_a_field_is_one_line(tmp_path):
    inputs.write_asked(tmp_path, None, inputs.Asked({"precision": "fp32"}, {"shots": 5}))
    assert inputs.read_asked(tmp_path, None).facts == {"shots": 5}
    files.write_json(tmp_path / "base.json", {"conditions": {}})
    with pytest.raises(HarnessError, match=r"base\.json: facts is missing"):
        inputs.read_asked(tmp_path, None)


# --- which model, and the settings on their way


def test_a_model_whose_weights_were_all_trained_is_loaded_itself(tmp_path):
    run = directory.open_run("quickstart", ["model.full_finetuning=true"], tmp_path)
    shutil.copytree(CHECKPOINT, run.adapter(SEED))
    trained = Checkpoint("tiny", run.adapter(SEED))
    files.write_json(run.tuned(SEED) / "result.json", constructed.result(["right"]) | {"adapter": trained.weights_hash})
    material = inputs.prepare(run, Check(limit=1))
    assert inputs.model(run, material, SEED) == (trained, None, trained.weights_hash)
    assert inputs.model(run, material, None) == (material.checkpoint, None, None)


@pytest.mark.parametrize(
    ("check", "name"),
    [
        (Check(), "5-shot"),
        (Check(0, chat=True), "0-shot-chat"),
        (Check(3, 20, batch_size=4), "3-shot-first-20-batch-4"),
        (Check(0, 20, True, True), "our-prompt-first-20"),
    ],
)
def test_settings_name_their_folder_and_reach_the_stage(check, name):
    assert check.name == name
    parser = Parser("crosscheck", "")
    options.add(parser)
    assert options.check_of(parser.parse([*check.options()])) == check


@without_gpu
def test_the_vllm_backend_is_started_as_our_own_engine_is(run, monkeypatch):
    """lm-eval's own backend over a stand-in for vLLM: settings, adapter, prompts and stops arrive, text comes back."""
    llm = lm_evals_vllm(monkeypatch)
    section = run.config.eval.model_copy(update={"engine": "vllm", "precision": "bf16", "batch_invariant": False})
    on_vllm = RunDir(run.path, run.config.model_copy(update={"eval": section}))
    check = Check(0, 3, chat=True, our_prompt=True)
    for seed in (None, SEED):
        worker.score(on_vllm, check, seed)
        started = llm.started[-1]
        assert started["model"] == str(CHECKPOINT) and started["dtype"] == "bfloat16"
        assert started["load_format"] == "safetensors" and started["gpu_memory_utilization"] == 0.9
        assert started["enable_lora"] == (seed is not None)
        request = llm.asked_with[-1]
        assert request is None if seed is None else Path(request.lora_path) == run.evaluated(seed).resolve()
        facts = files.read_json(inputs.folder(on_vllm, check) / f"{inputs.side(seed)}.json")["facts"]
        assert facts["context"] == started["max_model_len"] >= facts["longest prompt"] + section.max_new_tokens
        rows = files.read_lines(inputs.folder(on_vllm, check) / f"{inputs.side(seed)}.jsonl")
        folder = run.base if seed is None else run.tuned(seed)
        texts = {(row["id"], row["prompt"]): row["text"] for row in files.read_lines(folder / "samples.jsonl")}
        assert all(row["completion"] == texts[row["id"], row["prompt_hash"]] for row in rows)


def lm_evals_vllm(monkeypatch) -> type:
    """As fake_vllm, with what lm-eval's backend needs in addition."""

    class LLM(fake_vllm.LLM):
        asked_with: list = []  # noqa: RUF012

        def __init__(self, model: str, **settings) -> None:
            super().__init__(model, **settings)
            self.model_config = SimpleNamespace(max_model_len=settings["max_model_len"])

        def generate(self, prompts, sampling_params, use_tqdm, lora_request):
            self.asked_with.append(lora_request)
            stops = tuple(Checkpoint("tiny", CHECKPOINT).generation_stop_ids)  # which vLLM reads too
            requests = [Request(i, 0, tuple(prompt["prompt_token_ids"]), 0) for i, prompt in enumerate(prompts)]
            sampling = Sampling(sampling_params[0].max_tokens, 0.0, 1.0, 0, 0.0, stops)
            adapter = None if lora_request is None else Path(lora_request.lora_path)
            done = {c.index: c for batch in self.engine.generate(requests, sampling, adapter, ()) for c in batch}
            return [SimpleNamespace(outputs=[SimpleNamespace(text=done[i].text)]) for i in range(len(prompts))]

    fake_vllm.install(monkeypatch)
    LLM.started = fake_vllm.LLM.started
    vllm = sys.modules["vllm"]
    vllm.__spec__ = ModuleSpec("vllm", None)
    vllm.LLM, vllm.TokensPrompt, vllm.SamplingParams = LLM, dict, SimpleNamespace
    for name, content in {
        "vllm.renderers": {},
        "vllm.renderers.hf": {"resolve_chat_template": lambda tokenizer, **_: tokenizer.chat_template},
        "vllm.tokenizers": {
            "get_tokenizer": lambda path, tokenizer_mode, **settings: AutoTokenizer.from_pretrained(path, **settings)
        },
    }.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.26.0" if name == "vllm" else real(name))
    monkeypatch.delitem(sys.modules, "lm_eval.models.vllm_causallms", raising=False)
    return LLM


def test_gsm_plus_is_lm_evals_own_task_too():
    asked = [Problem("a", "How high?", "4.33", "13 / 3 = 4.33\n#### 4.33", "seed", "numerical substitution")]
    task = lm_eval_task.build(asked, asked, 0, name="gsm_plus")
    assert task.config.task == "gsm_plus_mini"
    assert task.fewshot_context(lm_eval_task.document(asked[0]), 0) == "Question: How high?\nAnswer:"
    found = lm_eval_task.judge(task, asked * 2, ["13 / 3 = 4.33\n#### 4.33", "It is 4.3."])
    assert [ruling.correct for ruling in found["strict-match"]] == [True, False]
    assert [ruling.extracted for ruling in found["flexible-extract"]] == ["4.33", "4.3."]
