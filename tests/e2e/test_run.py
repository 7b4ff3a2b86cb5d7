"""The real command from end to end: the plan, refusals, kills at every stage, reruns and shared bases."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from safetensors.torch import load_file, save_file

from harness.config import loading
from harness.config.schema import ModelSection
from harness.models import checkpoint, prompts
from harness.run import __main__ as run_command
from harness.run import execute, inputs, plan
from harness.runs import directory, seals
from harness.runs import stages as run_stages
from harness.runs.results import read_evaluation
from harness.stats import power
from harness.tasks.tiny import CHECKPOINT
from harness.train import rewards
from harness.util import files
from harness.util.errors import HarnessError
from tests.conftest import HANG, ROOT, SMALL, copied, harness, refused, started, wait_until, without_gpu
from tests.constructed import reported

SHIPPED = sorted(path.stem for path in (ROOT / "experiments").glob("*.yaml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_experiment_has_a_plan(name, tmp_path, capsys):
    """With the embedded model and data, if the file names ones from the hub."""
    here = ["model.id=tiny", "data.path=tiny", "eval.max_new_tokens=64"]
    assert run_command.main([f"exp/{name}.yaml", *here, "--dry-run", "--results", str(tmp_path / "results")]) == 0
    plan = capsys.readouterr().out
    for part in ("digest", "<start_of_turn>user", "Token ids (", "<end_of_turn>", "if 5% change"):
        assert part in plan
    assert yaml.safe_load(plan.partition("\nResults: ")[0])["name"] == name
    assert not (tmp_path / "results").exists()


def test_a_plan_of_several_trainings_says_that_their_mean_detects_something_else(tmp_path, capsys):
    for seeds in ("1", "1,2", "1,2,3"):
        settings = [f"train.seeds=[{seeds}]", "--dry-run", "--results", str(tmp_path)]
        assert run_command.main(["exp/quickstart.yaml", *settings]) == 0
        plan = capsys.readouterr().out
        assert ("by the standard deviation of the trainings' accuracies" in plan) == (seeds != "1")
        assert ("The report will give no power: two seeds do not bound" in plan) == (seeds == "1,2")
        if seeds == "1,2,3":  # of 1,200 questions
            assert "the mean of 3 trainings, if 10% of the questions change" in plan
            for deviation in (0.005, 0.01, 0.02):
                true = 100 * power.planned(1200, 0.1, deviation, 3)
                said = 100 * power.stated(1200, 0.1, deviation=deviation, count=3)
                assert f"≥ {true:.2f} points at {100 * deviation:g} (the report: ≥ {said:.2f})" in plan


def test_one_question_is_too_few_for_several_trainings(tmp_path):
    done = harness("run", "exp/quickstart.yaml", "eval.limit=1", "train.seeds=[1,2]", "--results", tmp_path / "results")
    refused(done, "eval.limit: several training seeds need at least 2 questions")
    assert not (tmp_path / "results").exists()


def test_a_plan_is_printed_by_the_command(tmp_path):
    done = harness("run", "exp/quickstart.yaml", "--dry-run", "--results", tmp_path / "results")
    assert done.returncode == 0, done.stderr
    assert "Token ids (" in done.stdout and not (tmp_path / "results").exists()
    assert "Evaluation: all 1,200 test questions, base and tuned, on transformers." in done.stdout


def test_a_plan_shows_the_settings_that_differ_from_the_defaults_as_a_file(tmp_path, capsys):
    own = ["train.steps=7", "eval.limit=32", "prompt.tags.working_end=</think>"]
    assert run_command.main(["exp/quickstart.yaml", *own, "--dry-run", "--results", str(tmp_path / "results")]) == 0
    said = capsys.readouterr().out
    (tmp_path / "shown.yaml").write_text(said.partition("\nResults: ")[0])
    config = directory.open_run("quickstart", own, tmp_path, create=False).config
    assert loading.load(tmp_path / "shown.yaml") == config
    assert "  steps: 7\n" in said and "adam_beta1" not in said and "the first 32 of 1,200 test questions" in said


def test_a_plan_sees_that_the_data_of_a_run_were_edited(tmp_path):
    folder = data_folder(tmp_path)
    run = reported(tmp_path / "results", ["wrong"], ["right"], f"data.path={folder}")
    run.adapter(3407).mkdir(parents=True)
    run.pin(inputs.local_inputs(run.config))
    assert harness("run", run.path, "--dry-run").returncode == 0
    pinned = run.manifest.read_bytes()
    (folder / "test.jsonl").write_text(json.dumps({"question": "What is 2 + 2?", "answer": "#### 4"}) + "\n")
    refused(harness("run", run.path, "--dry-run"), "the data changed since this run began")
    assert run.manifest.read_bytes() == pinned


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("model.id=./nowhere", ("model.id: ./nowhere: folder not found", "relative to the working directory, ")),
        ("model.id=~/model", ("folder not found; ~ is not expanded",)),
        ("model.id=models/nowhere", ("folder not found; it is not looked for on the hub, because there is a folder",)),
        ("model.id=nowhere/model", ("is not on this machine (no such folder, and not in the hub's cache)",)),
        ("data.path=../nowhere", ("data.path: ../nowhere: file or folder not found", "relative to the working")),
        ("data.path=models/nowhere", ("data.path: models/nowhere: file or folder not found; it is not looked for",)),
    ],
)
def test_a_path_that_does_not_exist_is_no_hub_id_and_nothing_is_written(tmp_path, setting, parts):
    (tmp_path / "models").mkdir()
    refused(harness("run", "quickstart", setting, cwd=tmp_path), *parts)
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_a_plan_without_the_hub_says_what_is_missing(tmp_path):
    done = harness("run", "exp/grpo_r8.yaml", "--dry-run", "--results", tmp_path)
    refused(
        done, "data.path: openai/gsm8k is not on this machine", "the hub is not asked for it (HF_HUB_OFFLINE is set)"
    )
    assert "name: grpo_r8" in done.stdout and "Memory: at least about 10.0 GiB" in done.stdout
    done = harness("run", "grpo_r8", "data.path=tiny", "--dry-run", "--results", tmp_path)
    refused(done, "model.id: google/gemma-3-4b-it is not on this machine", "give a local folder with model.id=PATH")
    assert "licence" not in done.stderr


def test_a_plan_has_the_token_ids_of_the_evaluation_and_does_without_torch(tmp_path):
    code = (
        "import sys; from harness.run.__main__ import main; from harness.util.cli import exit_code; "
        "exit_code(lambda: main(sys.argv[1:])); print('torch' in sys.modules)"
    )
    arguments = ["quickstart", "--dry-run", "--results", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    config = directory.open_run("quickstart", [], tmp_path, create=False).config
    (first, *_) = prompts.prepare(config, inputs.load_data(config)[0]).prompts
    shown = done.stdout.partition("Token ids (")[2].partition("): ")
    assert shown[0] == str(len(first.ids)) and shown[2].startswith(", ".join(map(str, first.ids[: plan.SHOWN_IDS])))
    assert done.stdout.endswith("False\n") and not done.stderr


def data_folder(tmp_path: Path, question="What is 1 + 1?", answer="#### 2") -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    rows = [{"question": f"What is {n} + 1?", "answer": f"#### {n + 1}"} for n in range(300)]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "test.jsonl").write_text(json.dumps({"question": question, "answer": answer}) + "\n")
    return folder


QUICK = [
    (("train.learing_rate=1",), ("train.learing_rate: unknown key", "did you mean train.learning_rate?")),
    (("train.steps=many",), ("train.steps: found 'many'",)),
    (("rewards.functions=[{name: fromat_exact}]",), ("rewards.functions", "format_exact")),
    (("rewards.functions=[{name: my_rewards.py:f}]",), ("rewards.functions", "my_rewards.py")),
]


@pytest.mark.parametrize(("overrides", "parts"), QUICK)
def test_a_mistake_in_the_settings_is_answered_before_anything_is_written(tmp_path, overrides, parts):
    refused(harness("run", "exp/quickstart.yaml", *overrides, "--results", tmp_path / "results"), *parts)
    assert not (tmp_path / "results").exists()


def test_a_missing_and_a_malformed_file(tmp_path):
    refused(
        harness("run", "exp/quikstart.yaml", "--results", tmp_path / "results"),
        "did you mean experiments/quickstart.yaml",
    )
    (tmp_path / "bad.yaml").write_text("train: {steps: 1\nmodel: [")
    refused(harness("run", tmp_path / "bad.yaml", "--results", tmp_path / "results"), "bad.yaml", "is not valid YAML")
    assert not (tmp_path / "results").exists()


def test_results_that_cannot_be_written_are_one_line(tmp_path):
    (tmp_path / "file").write_text("mine")
    refused(harness("run", "exp/quickstart.yaml", "--results", tmp_path / "file"), "choose another place")
    taken = directory.open_run("quickstart", [], tmp_path, create=False).path
    taken.write_text("mine")
    refused(harness("run", "exp/quickstart.yaml", "--results", tmp_path), "choose another place")
    assert taken.read_text() == "mine"


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        (None, ("no rows",)),
        ({"question": "1+1?", "solution": "#### 2"}, ("no 'answer' column",)),
        ({"question": "1+1?", "answer": "#### two"}, ("row 1", "'two' is not a number")),
    ],
)
def test_bad_data_is_refused_before_anything_is_written(tmp_path, row, parts):
    folder = data_folder(tmp_path)
    (folder / "test.jsonl").write_text(json.dumps(row) + "\n" if row else "")
    done = harness("run", "exp/quickstart.yaml", f"data.path={folder}", "--results", tmp_path / "results")
    refused(done, "data.path", *parts)
    assert not (tmp_path / "results").exists()


def test_a_question_that_does_not_fit_is_refused_at_the_start(tmp_path):
    folder = data_folder(tmp_path, question="How much is 1 + 1? " * 400)
    done = harness("run", "exp/quickstart.yaml", f"data.path={folder}", "--results", tmp_path / "results")
    refused(done, "do not fit the model's context of 1024 tokens")


def test_an_edited_run_directory_is_refused(finished, tmp_path):
    copy = tmp_path / finished.name
    copy.mkdir()
    (copy / "config.yaml").write_text((finished / "config.yaml").read_text().replace("steps: 6", "steps: 7"))
    refused(harness("run", copy), "the directory's name ends in")


def test_a_complete_run_does_nothing_and_shows_its_verdict(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.name != ".lock"}
    done = harness("run", "exp/quickstart.yaml", *SMALL, "--results", finished.parent)
    assert done.returncode == 0, done.stderr
    assert ": complete, nothing to do." in done.stdout and "points" in done.stdout and "report.md" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.name != ".lock"} == before


def test_a_reward_that_was_edited_shows_no_numbers_of_the_old_one(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def f(completions, **columns):\n    return [0.0] * len(completions)\n")
    run = reported(tmp_path / "results", ["wrong"], ["right"], f"rewards.functions=[{{name: {file}:f}}]")
    run.adapter(3407).mkdir(parents=True)
    run.pin(rewards.inputs(run.config))  # as the training does
    assert "Report: " in harness("run", run.path).stdout
    file.write_text("def f(completions, **columns):\n    return [1.0] * len(completions)\n")
    refused(harness("run", run.path), f"the reward file {file} changed since this run began", "name=...")


def start(results: Path, *overrides: str, cold: bool = False) -> subprocess.Popen:
    return started(
        "run", "exp/quickstart.yaml", *SMALL, *overrides, "--results", results,
        stderr=subprocess.PIPE, start_new_session=True, cold=cold,
    )  # fmt: skip


def kill_when(results: Path, ready, what: str, *overrides: str, cold: bool = False) -> None:
    """Start the run, kill -9 it the moment `ready(run directory)` holds, and wait until it is gone."""
    process = start(results, *overrides, cold=cold)
    deadline = time.monotonic() + HANG
    while time.monotonic() < deadline:
        runs = list(results.glob("quickstart-*"))
        if runs and ready(runs[0]):
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            return
        assert process.poll() is None, f"{what}: ended before the kill: {process.stderr.read()}"
        time.sleep(0.002)
    raise AssertionError(f"{what}: never got there")


def mapped(process: psutil.Process) -> str:
    """The libraries that a process has loaded."""
    return " ".join(each.path for each in process.memory_maps())


def lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def test_kill_9_in_every_stage_changes_nothing(finished, tmp_path):
    """Killed while evaluating the base, training, evaluating the tuned model and reporting; then left to finish."""
    results, total, batch = tmp_path / "results", 48, 8
    stages = {
        "base evaluation": lambda run: any(0 < lines(f) < total for f in results.glob(".base/*/samples.jsonl")),
        "training": lambda run: lines(run / "train/seed-3407/metrics.jsonl") >= 3,
        "tuned evaluation": lambda run: 0 < lines(run / "tuned/seed-3407/samples.jsonl") < total,
        # Its files are written within milliseconds: what precedes them takes the time.
        "report": lambda run: (run / "tuned/seed-3407/result.json").exists() and not (run / "report.md").exists(),
    }
    for what, ready in stages.items():
        kill_when(results, ready, what, cold=True)
        (run,) = results.glob("quickstart-*")
        assert ready(run), f"{what}: the kill came too late to be in the middle"
        if what == "base evaluation":
            assert lines(next(results.glob(".base/*/samples.jsonl"))) % batch == 0
        if what == "training":
            assert (run / "train/seed-3407/checkpoints/checkpoint-2/complete").exists()
            assert not (run / "train/seed-3407/adapter").exists()
    last = start(results, cold=True)
    _, errors = last.communicate(timeout=HANG)
    assert last.returncode == 0, errors
    assert (run / "summary.json").read_bytes() == (finished / "summary.json").read_bytes()
    for name in ("base/samples.jsonl", "tuned/seed-3407/samples.jsonl"):
        assert lines(run / name) == total  # nothing was generated twice
    assert (finished / "swanlab").exists() and not (run / "swanlab").exists()  # tracking changes no number


def test_a_second_process_on_the_same_run_is_told_so(tmp_path):
    process = start(tmp_path)
    wait_until(lambda: any(lock.stat().st_size for lock in tmp_path.glob("quickstart-*/.lock")), process)
    refused(harness("run", "exp/quickstart.yaml", *SMALL, "--results", tmp_path), f"pid {process.pid}")
    process.kill()
    process.communicate()


def test_a_second_experiment_on_the_same_base_generates_no_base_completion(finished, tmp_path):
    run = directory.open_run("quickstart", [*SMALL, "lora.r=4"], copied(finished, tmp_path))
    done = harness("evaluate", run.path, "--side", "base")
    assert done.returncode == 0, done.stderr
    assert "all 48 completions exist already, none generated" in done.stdout
    assert (run.base / "result.json").read_bytes() == (finished / "base/result.json").read_bytes()


def test_another_prompt_is_another_base(finished, tmp_path):
    results = copied(finished, tmp_path)
    before = set((results / ".base").iterdir())
    run = directory.open_run("quickstart", [*SMALL, "eval.limit=8", "prompt.system=Think."], results)
    assert harness("evaluate", run.path, "--side", "base").returncode == 0
    assert len(set((results / ".base").iterdir()) - before) == 1


def test_an_adapter_whose_b_is_zero_stops_the_tuned_stage_before_generation(finished, tmp_path):
    run = directory.open_run("quickstart", [*SMALL, "train.seeds=[5]"], tmp_path)
    adapter = run.adapter(5)
    adapter.mkdir(parents=True)
    source = finished / "train/seed-3407/adapter"
    (adapter / "adapter_config.json").write_text((source / "adapter_config.json").read_text())
    weights = load_file(source / "adapter_model.safetensors")
    zeroed = {key: weight * 0 if "lora_B" in key else weight for key, weight in weights.items()}
    save_file(zeroed, adapter / "adapter_model.safetensors")
    refused(harness("evaluate", run.path, "--side", "tuned"), "every B matrix is zero")
    assert not run.tuned(5).exists()


def test_a_tuned_stage_without_an_adapter_says_so(tmp_path):
    run = directory.open_run("quickstart", [*SMALL], tmp_path)
    refused(harness("evaluate", run.path, "--side", "tuned"), "seed 3407 is not trained yet; python -m harness.train")


UNSLOTH = ("train.backend=unsloth", "model.precision=bf16")


@without_gpu
def test_what_this_machine_cannot_do_is_refused_at_once(tmp_path):
    by_trl = ("train.backend=trl", "model.precision=bf16")
    for backend, setting, part in (
        (UNSLOTH, "model.load_in_4bit=true", "training on quantized weights needs unsloth"),
        (UNSLOTH, "train.rollouts=vllm", "train.rollouts: vllm needs an NVIDIA GPU"),
        (by_trl, "train.rollouts=vllm", "train.rollouts: vllm needs an NVIDIA GPU"),
    ):
        refused(harness("run", "exp/quickstart.yaml", *backend, setting, "--results", tmp_path / "results"), part)
        assert not (tmp_path / "results").exists()
        refused(harness("train", "exp/quickstart.yaml", *backend, setting, "--results", tmp_path / "alone"), part)


@without_gpu
def test_where_unsloth_cannot_run_trl_trains_and_the_report_says_so(tmp_path):
    experiment = ("exp/quickstart.yaml", *SMALL, *UNSLOTH, "train.steps=2", "--results", tmp_path)
    done = harness("train", *experiment, cold=True)  # Unsloth wants to be imported before the others
    assert done.returncode == 0, done.stderr
    assert "train.backend: unsloth cannot run here" in done.stdout
    assert "Training with TRL and PEFT instead." in done.stdout
    done = harness("run", *experiment)
    assert done.returncode == 0, done.stderr
    (report,) = tmp_path.glob("*/report.md")
    assert "training (seed 3407): by trl, because unsloth could not run there" in report.read_text()


def test_a_stage_that_is_killed_is_named_and_ctrl_c_ends_with_a_line(tmp_path):
    def stage_of(process):
        while True:
            assert process.poll() is None
            for child in psutil.Process(process.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):  # git, which is asked for the commit, comes and goes
                    if "harness.evaluate" in child.cmdline():
                        return child
            time.sleep(0.01)

    process = start(tmp_path, cold=True)
    stage_of(process).kill()
    _, errors = process.communicate(timeout=HANG)
    assert process.returncode == 2 and errors.count("\n") == 1 and "base evaluation was ended by SIGKILL" in errors
    process = start(tmp_path, cold=True)
    stage = stage_of(process)
    wait_until(lambda: "torch" in mapped(stage), process)  # in the middle of the stage's imports
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the command and its stage
    _, errors = process.communicate(timeout=HANG)
    assert process.returncode == 130 and errors.count("\n") == 1
    assert errors.startswith("Stopped in the base evaluation. The same command resumes: ")


def test_a_report_goes_when_a_result_changes_and_not_before(finished, tmp_path, monkeypatch):
    run = directory.existing(Path(shutil.copytree(finished, tmp_path / finished.name)))
    assert run_stages.complete(run)
    with_floor = run.config.model_copy(update={"eval": run.config.eval.model_copy(update={"noise_floor": True})})
    run = directory.RunDir(run.path, with_floor)
    monkeypatch.setattr(execute, "start", lambda *arguments: 130)  # stopped in the stage that it is given
    assert execute.execute(run, None) == 130 and run.report.exists()
    same = read_evaluation(run.base)
    seals.write_result(run, run.base, same)
    assert run.report.exists()
    seals.write_result(run, run.again, same)
    assert not run.report.exists() and read_evaluation(run.again) == same


@pytest.mark.parametrize("lost", ["report.md", "summary.json"])
def test_a_run_without_its_report_or_its_numbers_is_not_complete(finished, tmp_path, lost):
    run = directory.existing(Path(shutil.copytree(finished, tmp_path / finished.name)))
    (run.path / lost).unlink()
    assert not run_stages.complete(run)
    assert execute.execute(run, None) == 0
    assert run_stages.complete(run) and run.summary.read_bytes() == (finished / "summary.json").read_bytes()


@pytest.mark.parametrize("changed", ["base weights", "data"])
def test_a_complete_run_is_not_shown_for_other_data_or_weights(tmp_path, monkeypatch, capsys, changed):
    model = shutil.copytree(CHECKPOINT, tmp_path / "model")
    settings = [f"data.path={data_folder(tmp_path)}", f"model.id={model}"]
    run = directory.open_run("quickstart", settings, tmp_path)
    run.pin(inputs.local_inputs(run.config))
    monkeypatch.setattr(execute, "complete", lambda run: True)
    monkeypatch.setattr("harness.report.write.show", lambda run: print("shown"))
    command = ["quickstart", *settings, "--results", str(tmp_path)]
    assert run_command.main(command) == 0 and capsys.readouterr().out.endswith(": complete, nothing to do.\n\nshown\n")
    shutil.move(tmp_path / "data", tmp_path / "away")  # gone is not changed
    assert run_command.main(command) == 0
    shutil.move(tmp_path / "away", tmp_path / "data")
    file = tmp_path / "data/test.jsonl" if changed == "data" else model / "config.json"
    file.write_text(file.read_text().replace("1 + 1", "2 + 0").replace("{", "{ ", 1))
    with pytest.raises(HarnessError, match=f"the {changed} changed since this run began"):
        run_command.main(command)


@pytest.mark.parametrize("command", ["compare", "report", "rescore"])
def test_an_output_that_cannot_hold_our_signs_shows_their_numbers(finished, tmp_path, command):
    copy = shutil.copytree(finished, tmp_path / finished.name)
    done = subprocess.run(
        [sys.executable, "-m", f"harness.{command}", copy],
        cwd=ROOT, env=os.environ | {"PYTHONIOENCODING": "ascii", "COLUMNS": "200"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii() and "\\u" in done.stdout


def test_settings_may_stand_before_and_after_options(tmp_path, capsys):
    arguments = ["exp/quickstart.yaml", "train.steps=2", "--dry-run", "eval.limit=3", "--results", str(tmp_path)]
    assert run_command.main(arguments) == 0
    plan = yaml.safe_load(capsys.readouterr().out.partition("\nResults: ")[0])
    assert (plan["train"]["steps"], plan["eval"]["limit"]) == (2, 3)
    refused(harness("run", "exp/quickstart.yaml", "--dri-run"), "--dri-run")


def test_answers_that_were_deleted_are_made_again(finished, tmp_path):
    """A report in its folder does not make a run complete."""
    copy = tmp_path / "results" / finished.name
    shutil.copytree(finished, copy)
    shutil.rmtree(copy / "tuned")
    done = harness("run", copy)
    assert done.returncode == 0, done.stderr
    assert (copy / "summary.json").read_bytes() == (finished / "summary.json").read_bytes()


def test_answers_of_another_adapter_are_refused(finished, tmp_path):
    copy = tmp_path / "results" / finished.name
    shutil.copytree(finished, copy)
    (copy / "tuned/seed-3407/result.json").unlink()
    weights = load_file(copy / "train/seed-3407/adapter/adapter_model.safetensors")
    doubled = {key: weight * 2 for key, weight in weights.items()}
    save_file(doubled, copy / "train/seed-3407/adapter/adapter_model.safetensors")
    refused(harness("evaluate", copy, "--side", "tuned"), "holds completions of another adapter")


def test_all_weights_can_be_trained_instead_of_an_adapter(tmp_path):
    results = tmp_path / "results"
    settings = [*SMALL, "model.full_finetuning=true", "train.learning_rate=1e-4", "train.beta=0.01"]
    settings += ["train.seeds=[3407,1]", "train.steps=2"]
    done = harness("run", "exp/quickstart.yaml", *settings, "--results", results)
    assert done.returncode == 0, done.stderr
    (run,) = results.glob("quickstart-*")
    given = files.read_json(run / "summary.json")["proof"]
    assert given["tensors_changed"] == given["tensors"] and given["changed"] > 0.5
    said = (run / "report.md").read_text(encoding="utf-8").partition("## Did the weights change?")[2]
    assert "Seed 3407: " in said and "Seed 1: " in said
    settings = files.read_json(run / "train/seed-3407/effective_settings.json")
    assert settings["adapters"] == {"asked": [], "effective": []}
    base, model = checkpoint.resolve(ModelSection(id="tiny")), run / "train/seed-3407/model"
    for name in ("config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja"):
        assert (model / name).read_bytes() == (base.path / name).read_bytes()
    (run / "tuned/seed-3407/proof.json").unlink()
    shutil.copy(base.path / "model.safetensors", model)
    refused(harness("evaluate", run, "--side", "tuned"), "no weight differs from the base's in fp32")
