"""Scoring a finished run again: changes are printed and written, nothing else is, and no model is loaded."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from harness.report import write
from harness.rescore import scores as rescore
from harness.runs import directory
from harness.runs.directory import RunDir
from harness.tasks import dataset, scoring
from harness.tasks.records import Problem
from harness.util import files, locks
from harness.util.errors import HarnessError
from tests.conftest import ROOT, harness, refused
from tests.constructed import GOLD, make_run, reported, unsealed

SEED = 3407
BASE = ["right"] * 30 + ["wrong"] * 30
TUNED = ["right"] * 50 + ["right, no format"] * 5 + ["nothing, cut"] * 5


def contents(run: RunDir) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in run.path.rglob("*") if file.is_file() and file.name != ".lock"}


def by_an_older_scorer(run: RunDir) -> None:
    """A run as scored by a scorer that took 3 wrong base answers for right and missed 5 tuned answers."""
    for folder, chosen, right in ((run.base, range(30, 33), True), (run.tuned(SEED), range(50, 55), False)):
        result = files.read_json(folder / "result.json")
        result["conditions"]["scorer"] = "0"
        result["selftest"]["spellings"] = 1
        for score in result["scores"]:
            del score["marked"]
        for number in chosen:
            del result["scores"][number]["why"]
            result["scores"][number] |= {"correct": right, "strict": right, "answer": None}
        files.write_json(folder / "result.json", result)
    unsealed(run)


def test_a_run_of_an_older_scorer_is_brought_up_to_date(tmp_path):
    run = reported(tmp_path / "old", BASE, TUNED)
    fresh = make_run(tmp_path / "fresh", BASE, TUNED)
    by_an_older_scorer(run)
    done = harness("rescore", run.path)
    assert done.returncode == 0, done.stderr
    assert f"Scorer version: 0 then, {scoring.VERSION} now." in done.stdout
    assert "base: 3 of 60 verdicts changed (accuracy +0 −3, strict +0 −3)." in done.stdout
    assert f"tuned (seed {SEED}): 5 of 60 verdicts changed (accuracy +5 −0)." in done.stdout
    assert "| Accuracy | 50.0% [" in done.stdout  # the report's head
    for folder in (run.base, run.tuned(SEED)):
        again = files.read_json(folder / "result.json")
        expected = files.read_json((fresh.base if folder == run.base else fresh.tuned(SEED)) / "result.json")
        assert again["scores"] == expected["scores"] and again["conditions"] == expected["conditions"]
        assert again["selftest"]["spellings"] == 60 * 12  # 9 spellings of each gold and 3 texts that end in it
    summary = files.read_json(run.summary)
    assert summary["base"]["accuracy"]["value"] == 0.5 and summary["conditions"]["scorer"] == scoring.VERSION
    assert f"Scorer version {scoring.VERSION};" in run.report.read_text()
    assert list(run.read_manifest().made_with) == ["scoring anew"]


def test_a_kill_between_its_writes_is_put_right_by_scoring_again(tmp_path):
    run = reported(tmp_path, BASE, TUNED)
    rescore.rescore(run)
    whole = contents(run)
    result = files.read_json(run.tuned(SEED) / "result.json")
    result["conditions"]["scorer"] = "0"
    files.write_json(run.tuned(SEED) / "result.json", result)
    unsealed(run)
    with pytest.raises(HarnessError, match=r"python -m harness\.rescore .* scores both again"):
        write.write(run)
    rescore.rescore(run)
    changed = {name for name in contents(run) if contents(run)[name] != whole.get(name)}
    assert changed <= {str(run.manifest), str(run.report), str(run.page)}  # they name the second scoring


def test_a_kill_before_the_new_report_leaves_no_old_one(tmp_path, monkeypatch):
    run = reported(tmp_path, BASE, TUNED)
    rescore.rescore(run)
    whole = contents(run)
    by_an_older_scorer(run)
    monkeypatch.setattr(rescore.write, "write", lambda run: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        rescore.rescore(run)
    assert not run.report.exists()
    monkeypatch.undo()
    rescore.rescore(run)
    assert run.report.exists() and run.summary.read_bytes() == whole[str(run.summary)]


def test_only_the_reading_may_change(tmp_path):
    run = reported(tmp_path, BASE, TUNED)
    result = files.read_json(run.base / "result.json")
    for score in result["scores"][:4]:
        score["why"] = "because"
    files.write_json(run.base / "result.json", result)
    unsealed(run)
    done = harness("rescore", run.path)
    assert "base: none of 60 verdicts changed; for 4 others only the answer, the rule or the reason did." in done.stdout


def test_where_nothing_changes_it_says_so_and_changes_nothing(finished, tmp_path):
    copy = RunDir(tmp_path / finished.name, directory.existing(finished).config)
    shutil.copytree(finished, copy.path)
    before = contents(copy)
    done = harness("rescore", copy.path)
    assert done.returncode == 0, done.stderr
    assert "base: none of 48 verdicts changed.\n" in done.stdout
    assert f"tuned (seed {SEED}): none of 48 verdicts changed.\n" in done.stdout and "Scorer version" not in done.stdout
    assert contents(copy).keys() == before.keys()
    panel = files.read_json(copy.summary)["panel"]  # of texts that a model wrote
    assert all(entry["difference"]["n"] == 48 for entry in panel["scorers"])
    changed = {name for name, content in contents(copy).items() if content != before[name]}
    # The report counts the other runs in the folder, and with it its seal changes.
    assert changed <= {str(file) for file in (copy.report, copy.page, copy.manifest)}


def test_no_model_library_is_loaded(tmp_path):
    run = reported(tmp_path, BASE, TUNED)
    code = "import sys; from harness.rescore.__main__ import main; main(sys.argv[1:]); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code, run.path], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1]
    assert "'harness.rescore'" in loaded
    assert not [name for name in ("torch", "transformers", "vllm", "datasets") if f"'{name}'" in loaded]


def test_several_samples_a_question(tmp_path):
    run = reported(tmp_path, BASE, TUNED)
    sampled = RunDir(
        run.path, run.config.model_copy(update={"eval": run.config.eval.model_copy(update={"samples": 2})})
    )
    data = dataset.content_hash(Problem(f"{number:016x}", "", GOLD) for number in range(30))
    for folder in (run.base, run.tuned(SEED)):
        result, rows = files.read_json(folder / "result.json"), files.read_lines(folder / "samples.jsonl")
        for number, pair in enumerate(zip(result["scores"], rows, strict=True)):
            for entry in pair:
                entry |= {"id": f"{number // 2:016x}", "sample": number % 2}
        result["conditions"] |= {"data": data, "samples": 2, "questions": 30}
        files.write_json(folder / "result.json", result)
        files.write_lines(folder / "samples.jsonl", rows[::-1])  # as they finished
    before = files.read_json(run.base / "result.json")["scores"]
    rescore.rescore(sampled)
    assert files.read_json(run.base / "result.json")["scores"] == before
    assert files.read_json(run.summary)["n"] == 30


def missing(run: RunDir) -> None:
    log = run.tuned(SEED) / "samples.jsonl"
    files.write_lines(log, files.read_lines(log)[:-2])


def gone(run: RunDir) -> None:
    (run.base / "samples.jsonl").unlink()


def another_prompt(run: RunDir) -> None:
    log = run.tuned(SEED) / "samples.jsonl"
    rows = files.read_lines(log)
    files.write_lines(log, [rows[0] | {"prompt": "q"}, *rows[1:]])


def no_completion(run: RunDir) -> None:
    files.append_lines(run.base / "samples.jsonl", [{"id": "0"}])


def torn(run: RunDir) -> None:
    missing(run)
    with (run.tuned(SEED) / "samples.jsonl").open("a") as stream:
        stream.write('{"id": "000000000000003a", "te')


def another_gold(run: RunDir) -> None:
    result = files.read_json(run.base / "result.json")
    result["scores"][0]["gold"] = "19"
    files.write_json(run.base / "result.json", result)


def no_result(run: RunDir) -> None:
    files.write_json(run.base / "result.json", {"scores": {}})


def other_conditions(run: RunDir) -> None:
    result = files.read_json(run.base / "result.json")
    result["conditions"]["precision"] = "bf16"
    files.write_json(run.base / "result.json", result)


def no_tuned_evaluation(run: RunDir) -> None:
    (run.tuned(SEED) / "result.json").unlink()


REFUSED = {
    missing: ("found 58 of 60 completions", "harness.evaluate makes the rest"),
    torn: ("found 58 of 60 completions",),
    gone: ("found 0 of 60 completions",),
    another_prompt: ("a completion of another prompt", "0000000000000000"),
    no_completion: ("samples.jsonl line 61: prompt is missing",),
    another_gold: ("its questions and golds are not those that were asked",),
    no_result: ("base/result.json: conditions is missing",),
    other_conditions: ("under different conditions (precision",),
    no_tuned_evaluation: ("not finished", "resumes it"),
}


@pytest.mark.parametrize("damage", REFUSED)
def test_what_cannot_be_scored_again_is_one_line_and_nothing_is_written(tmp_path, damage):
    run = reported(tmp_path, BASE, TUNED)
    by_an_older_scorer(run)
    damage(run)
    before = contents(run)
    refused(harness("rescore", run.path), *REFUSED[damage])
    assert contents(run) == before


def test_what_is_no_run_and_who_else_works_on_it(tmp_path):
    refused(harness("rescore", tmp_path), "not a run directory")
    refused(harness("rescore", tmp_path / "nowhere"), "nowhere: not found")
    run = reported(tmp_path, BASE, TUNED)
    with locks.lock(run.path):
        refused(harness("rescore", run.path), "is working on this run")
