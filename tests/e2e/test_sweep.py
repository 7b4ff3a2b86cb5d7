"""Sweeps: the grid and its errors, and real ones that share the base, are stopped and resumed, and have a failure."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import subprocess
import sys

import pytest

from harness.run import execute, inputs
from harness.runs import directory
from harness.sweep import __main__ as sweep_command
from harness.sweep import grid
from harness.util import locks
from harness.util.errors import HarnessError
from harness.util.logs import LOG
from tests.conftest import HANG, SMALL, copied, harness, refused, started, wait_until
from tests.e2e.test_run import lines
from tests.e2e.test_stopping import nothing_is_left


@pytest.mark.parametrize(
    ("item", "key", "values"),
    [
        ("lora.r=4,8, 16", "lora.r", ["4", "8", " 16"]),
        ("lora.r=4", "lora.r", ["4"]),
        ("train.seeds=0,1", "train.seeds", ["[0]", "[1]"]),
        ("train.seeds=7", "train.seeds", ["[7]"]),
        ("train.seeds=[0,1]", "train.seeds", ["[0,1]"]),
        ("train.seeds=[0,1],[2,3]", "train.seeds", ["[0,1]", "[2,3]"]),
        ("prompt.system='Think, then say.',Think.", "prompt.system", ["'Think, then say.'", "Think."]),
        ('prompt.system="It\'s [easy, Think."', "prompt.system", ['"It\'s [easy, Think."']),
        ("prompt.system=Don't", "prompt.system", ["Don't"]),
        ("rewards.functions=[{name: a.py:f, weight: 2.0},{name: b.py:f}]", "rewards.functions",
         ["[{name: a.py:f, weight: 2.0},{name: b.py:f}]"]),
        ("eval.limit=null,8", "eval.limit", ["null", "8"]),
        ("no.such=1,2", "no.such", ["1", "2"]),
        ("prompt.system=", "prompt.system", [""]),
    ],
)  # fmt: skip
def test_commas_part_values_but_not_in_brackets_and_quotes(item, key, values):
    assert grid.split(item) == (key, values)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["lora.r"], "allowed: key.path=value,value"),
        (["lora.r=4,,8"], "an empty value between commas"),
        (["lora.r=4,8,"], "an empty value between commas"),
        (["lora.r=4,8", "lora.r=16"], "given twice"),
        (["prompt.system=a,[b"], "a closing ] is missing"),
        (["prompt.system=it's,ok"], "a closing ' is missing"),
        (["lora.r=4,8,eight"], "lora.r: found 'eight'"),
        (["lora.r=4,8", "train.stps=5"], "did you mean train.steps?"),
        (["data.path=tiny,./nowhere"], "./nowhere: file or folder not found"),
        (["rewards.functions={name: check_answer},{name: none.py:f}"], "none.py does not exist"),
        (["rewards.control=random,format_only"], "rewards.control: adds to a run and makes no other one of it"),
        (["eval.tasks=[gsm8k],[gsm8k, svamp]", "lora.r=4,8"], "eval.tasks: adds to a run"),
        (["eval.limit=1", "train.seeds=[0],[0, 1]"], "several training seeds need at least 2 questions"),
        (["eval.limit=1", "train.seeds=[0, 1],[0]"], "several training seeds need at least 2 questions"),
    ],
)
def test_a_mistake_in_any_combination_is_found_before_the_first_starts(overrides, message, tmp_path):
    with pytest.raises(HarnessError) as error:
        sweep_command.main(["quickstart", *overrides, "--results", str(tmp_path)])
    assert message in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_grid_is_all_combinations_and_a_run_that_occurs_twice_is_one(tmp_path, capsys):
    """4 and 4.0 are not: a rank is an integer. eval.batch_invariant changes nothing unless vLLM is the engine."""
    combinations = ["lora.r=4,8", "train.seeds=0,[1,2]", "eval.batch_invariant=true,false", "train.steps=9"]
    planned, repeated = grid.plan("quickstart", combinations, tmp_path)
    configs = [each.run.config for each in planned]
    assert [(c.lora.r, c.train.seeds) for c in configs] == [(4, [0]), (4, [1, 2]), (8, [0]), (8, [1, 2])]
    assert {c.train.steps for c in configs} == {9}
    assert planned[1].label == "lora.r=4 train.seeds=[1,2] eval.batch_invariant=true"
    assert len(repeated) == 4 and repeated[1] == (planned[1].label.replace("true", "false"), planned[1].label)
    assert sweep_command.main(["quickstart", *combinations, "--dry-run", "--results", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "4 runs: 0 complete, 0 begun, 4 new." in said and said.count("is the same run as") == 4
    for each in planned:
        assert each.run.path.name in said
    assert not list(tmp_path.iterdir())


def test_the_page_is_named_for_the_runs(tmp_path):
    def name(*settings: str) -> str:
        return grid.page_name(grid.plan("quickstart", list(settings), tmp_path)[0])

    assert name("lora.r=4,8") == name("lora.r=4,8", "eval.batch_invariant=true,false") != name("lora.r=4,16")


def test_what_is_no_experiment_or_no_page_is_refused(tmp_path):
    refused(harness("sweep", tmp_path, "lora.r=4,8"), "is a directory; give an experiment file")
    refused(harness("sweep", "quickstart", "lora.r=4,8", "--out", "x.csv"), "x.csv is not a file name ending in .html")
    done = harness("sweep", "--help", cold=True)
    assert done.returncode == 0 and "python -m harness.sweep experiments/grpo_r8.yaml lora.r=4,8,16" in done.stdout
    assert "train.seeds=[0,1,2] one run of three" in done.stdout


def test_a_sweep_shares_the_base_is_stopped_and_goes_on(finished, tmp_path):
    results = copied(finished, tmp_path)
    arguments = ["exp/quickstart.yaml", *SMALL, "lora.r=8,4", "--results", str(results)]
    process = started("sweep", *arguments, stderr=subprocess.PIPE, start_new_session=True)
    new = directory.open_run("quickstart", [*SMALL, "lora.r=4"], results, create=False)
    wait_until(lambda: lines(new.train(3407) / "metrics.jsonl") >= 3, process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=HANG)
    assert process.returncode == 130 and errors.count("\n") == 1
    assert errors.startswith("Stopped in the training (seed 3407), at ")
    assert f"resumes: {sys.executable} -m harness.sweep exp/quickstart.yaml " in errors
    assert nothing_is_left(process.pid)

    done = harness("sweep", *arguments)
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert "2 runs: 1 complete, 1 begun, 0 new." in said and "Run 1 of 2: lora.r=8: complete already." in said
    assert f"Base completions: generated by {finished.name}; 1 of 2 runs used existing ones." in said
    assert f"{finished.name}: lora.r=8\n" in said and f"{new.path.name}: lora.r=4\n" in said
    assert "p (Holm)" in said and grid.SELECTION in said
    assert "base" not in new.read_manifest().stages
    (page,) = results.glob("sweep-quickstart-*.html")
    text = page.read_text(encoding="utf-8")
    assert "2 runs compared" in text and f'href="{new.path.name}/report.html"' in text


def test_a_run_that_fails_does_not_stop_the_others(finished, tmp_path):
    results, page = copied(finished, tmp_path), tmp_path / "page.html"
    done = harness(
        "sweep", "exp/quickstart.yaml", *SMALL, "train.max_prompt_tokens=1,256", "--results", results, "--out", page
    )
    assert done.returncode == 2
    *_, last = done.stderr.splitlines()
    assert last == "error: 1 of 2 runs failed; the same command runs them again"
    assert "Run 2 of 2: train.max_prompt_tokens=256: complete already." in done.stdout
    assert f"Base completions: generated by {finished.name}.\n" in done.stdout
    assert "(train.max_prompt_tokens=1): train.max_prompt_tokens: only 0 training prompts have" in done.stdout
    assert "1 run" in page.read_text(encoding="utf-8") and "Holm" not in done.stdout


def test_a_complete_run_of_a_reward_that_changed_since_is_no_part_of_the_sweep(tmp_path, monkeypatch, capsys):
    reward = tmp_path / "own.py"
    reward.write_text("def f(completions, **columns):\n    return [0.0] * len(completions)\n")
    overrides = ["lora.r=4", f"rewards.functions={{name: {reward}:f}}"]
    planned, _ = grid.plan("quickstart", overrides, tmp_path)
    (each,) = planned
    directory.open_run("quickstart", each.overrides, tmp_path)
    each.run.pin(inputs.local_inputs(each.run.config))
    each.run.adapter(3407).mkdir(parents=True)
    for module in (execute, grid):
        monkeypatch.setattr(module, "complete", lambda run: True)
    assert grid.execute(planned, "quickstart", tmp_path) == {}
    assert "complete already" in capsys.readouterr().out
    reward.write_text("def f(completions, **columns):\n    return [1.0] * len(completions)\n")
    failed = grid.execute(planned, "quickstart", tmp_path)
    assert "the reward file" in failed[0] and "changed since this run began" in failed[0]
    monkeypatch.setattr(grid.run_groups, "load", lambda paths: [] if not paths else pytest.fail(f"shown: {paths}"))
    grid.finish(planned, tmp_path / "page.html", failed)


def test_a_complete_run_with_a_changed_file_is_run_again_and_another_control_is_refused(
    finished, tmp_path, monkeypatch
):
    results = copied(finished, tmp_path)
    (planned,), _ = grid.plan("quickstart", [*SMALL], results)
    planned.run.pin({"control's reward": "random"})
    (other,), _ = grid.plan("quickstart", [*SMALL, "rewards.control=format_only"], results)
    for module in (execute, grid):
        monkeypatch.setattr(module, "complete", lambda run: True)
    assert "control's reward changed" in grid.execute([other], "quickstart", results)[0]
    log = planned.run.tuned(3407) / "samples.jsonl"
    log.write_text(log.read_text() + "{}\n")
    started = []
    monkeypatch.setattr(grid, "_one_by_one", lambda planned, missing, arguments: started.extend(missing) or {})
    assert grid.execute([planned], "quickstart", results) == {} and started == [0]


def test_a_run_that_another_command_completes_meanwhile_did_not_fail(finished, tmp_path, capfd):
    results = copied(finished, tmp_path)
    (report,) = results.glob("quickstart-*/report.md")
    text = report.read_text(encoding="utf-8")
    report.unlink()
    planned, _ = grid.plan("quickstart", [*SMALL], results)
    with locks.lock(report.parent):
        assert grid.execute(planned, "quickstart", results) == {0: "its error line above says why"}
        assert "another process (pid " in capfd.readouterr().err

    class Meanwhile(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:  # at the line that announces the run
            report.write_text(text, encoding="utf-8")

    meanwhile = Meanwhile()
    LOG.addHandler(meanwhile)
    try:
        refused_now = [dataclasses.replace(planned[0], overrides=["no.such=1"])]
        assert grid.execute(refused_now, "quickstart", results) == {}
    finally:
        LOG.removeHandler(meanwhile)
    assert "unknown key" in capfd.readouterr().err
