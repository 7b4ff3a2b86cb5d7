"""Seals: what has changed since its stage wrote it is named, made again or refused, and never believed."""

from __future__ import annotations

import pytest

from harness.report import __main__ as report_command
from harness.rescore import scores as rescore
from harness.runs import directory, seals
from harness.util import files
from harness.util.cli import exit_code
from tests.conftest import SMALL, copied, harness, refused
from tests.constructed import reported

BASE, TUNED = ["right"] * 50 + ["wrong"] * 50, ["right"] * 80 + ["wrong"] * 20


@pytest.fixture
def run(finished, tmp_path):
    """A finished run of its own, with the base's shared completions."""
    return directory.existing(copied(finished, tmp_path) / finished.name)


def edited(file, change):
    file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")


def test_every_file_that_a_number_comes_from_is_sealed(run):
    sealed = run.read_manifest().seals
    seed = "seed-3407"
    assert {
        "base/result.json", "base/samples.jsonl", f"tuned/{seed}/proof.json", f"tuned/{seed}/result.json",
        f"tuned/{seed}/samples.jsonl", f"train/{seed}/metrics.jsonl", f"train/{seed}/completions.parquet",
        f"train/{seed}/effective_settings.json", f"train/{seed}/dropped_prompts.json",
        f"train/{seed}/adapter/adapter_model.safetensors", f"train/{seed}/adapter/adapter_config.json",
        "summary.json", "report.md", "report.html",
    } <= sealed.keys()  # fmt: skip
    assert not list(seals.broken(run))
    adapter = sealed[f"train/{seed}/adapter/adapter_model.safetensors"].sha256
    assert sealed[f"tuned/{seed}/samples.jsonl"].made_from == {
        f"train/{seed}/adapter/adapter_model.safetensors": adapter
    }
    made_from = sealed["summary.json"].made_from
    assert {path: sealed[path].sha256 for path in made_from} == made_from and len(made_from) >= 8
    done = harness("report", run.path, "--verify")
    assert done.returncode == 0, done.stderr
    assert "base/result.json (" in done.stdout and done.stdout.endswith(
        "Every file of a finished stage is as it was written.\n"
    )


REPAIRED = {
    "an edited gold": ("base/result.json", lambda text: text.replace('"gold": "', '"gold": "9', 1)),
    "an edited completion": ("tuned/seed-3407/samples.jsonl", lambda text: text.replace("SOLUTION>", "SOLUTION> ", 1)),
    "an emptied summary": ("summary.json", lambda text: ""),
    "an edited summary": ("summary.json", lambda text: text.replace('"value": 0', '"value": 1', 1)),
    "an edited report": ("report.md", lambda text: text.replace("Accuracy", "Precision", 1)),
    "an edited proof": ("tuned/seed-3407/proof.json", lambda text: text.replace('"tokens": ', '"tokens": 1', 1)),
}


@pytest.mark.parametrize("what", REPAIRED)
def test_what_has_changed_is_made_again_with_a_line_and_the_same_numbers(run, what):
    name, change = REPAIRED[what]
    before = run.summary.read_bytes()
    edited(run.path / name, change)
    verified = harness("report", run.path, "--verify")
    refused(verified, f"{name}: has changed since it was written; restore it, or python -m harness.run")
    assert f"{name} (" in verified.stdout and ": has changed since it was written; made from" in verified.stdout
    drawn = name in ("summary.json", "report.md")
    for command in ("report", "rescore"):
        if not drawn:
            refused(harness(command, run.path), f"{name}: has changed since it was written")
    done = harness("run", run.path)
    assert done.returncode == 0, done.stderr
    assert f"{name}: has changed since it was written; it is made again." in done.stdout
    assert run.summary.read_bytes() == before and not list(seals.broken(run))
    assert (run.path / f"{name}.damaged").exists() == name.endswith(".jsonl")


@pytest.mark.parametrize("name", ["adapter/adapter_model.safetensors", "metrics.jsonl", "completions.parquet"])
def test_a_training_that_has_changed_is_refused_and_nothing_is_lost(run, name):
    file = run.train(3407) / name
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    for command in ("run", "report", "rescore"):
        refused(harness(command, run.path), f"{name}: has changed since it was written; restore it, or")
    file.write_bytes(content)
    assert harness("report", run.path, "--verify").returncode == 0


def test_without_its_manifest_a_run_with_results_is_refused(run):
    run.manifest.unlink()
    for command in ("run", "report", "rescore"):
        refused(harness(command, run.path), "manifest.json: missing, so that what the results were made from")


def test_an_edited_shared_completion_is_not_taken_over(run):
    """By a second experiment on the same base, whose numbers it would change."""
    (log,) = run.path.parent.glob(".base/*/samples.jsonl")
    rows = files.read_lines(log)
    files.write_lines(log, [rows[0] | {"text": "<SOLUTION>1</SOLUTION>"}, *rows[1:]])
    other = ("exp/quickstart.yaml", *SMALL, "lora.r=4", "--results", run.path.parent)
    done = harness("evaluate", *other, "--side", "base")
    assert done.returncode == 0, done.stderr
    assert "samples.jsonl: has changed since it was written; it is made again." in done.stdout
    assert [row["text"] for row in files.read_lines(log)] == [row["text"] for row in rows]
    assert log.with_name("samples.jsonl.damaged").exists()


def test_compare_leaves_out_a_run_whose_results_have_changed(tmp_path):
    runs = [reported(tmp_path, BASE, TUNED, f"lora.r={r}") for r in (2, 4, 8, 16)]
    edited(runs[0].summary, lambda text: text.replace('"n": 100', '"n": 101', 1))
    answers = runs[1].tuned(3407) / "samples.jsonl"
    seals.seal_texts(runs[1], answers.with_name("result.json"), {answers: answers.read_text(encoding="utf-8")}, {})
    edited(answers, lambda text: text.replace("SOLUTION", "SOLUTIoN", 1))
    runs[2].report.unlink()  # as a stage does that is made again
    done = harness("compare", *(run.path for run in runs))
    assert done.returncode == 0 and runs[3].path.name in done.stdout
    assert not any(run.path.name in done.stdout for run in runs[:3])
    for file in (runs[0].summary, answers):
        assert f"skipped {file}: has changed since it was written" in done.stderr
    assert f"skipped {runs[2].path}: not finished" in done.stderr


def test_a_picture_is_sealed_like_the_report_that_shows_it(tmp_path):
    run = reported(tmp_path, BASE, TUNED)
    (picture,) = run.plots.glob("before_after.svg")
    edited(picture, lambda text: text.replace("</svg>", "<!-- --></svg>"))
    refused(harness("report", run.path, "--verify"), "before_after.svg: has changed since it was written")
    assert f"{picture}: has changed since it was written; it is drawn again." in harness("report", run.path).stdout
    assert "Every file" in harness("report", run.path, "--verify").stdout
    run.manifest.rename(run.path / "moved")
    refused(harness("report", run.path, "--verify"), "manifest.json: missing")


def test_a_run_of_a_version_without_seals_is_trusted(tmp_path):
    run = reported(tmp_path, BASE, TUNED)
    noted = files.read_json(run.manifest)
    del noted["seals"]
    files.write_json(run.manifest, noted)
    edited(run.base / "result.json", lambda text: text + "\n")
    assert exit_code(lambda: report_command.main([str(run.path)])) == 0


def test_a_result_that_was_made_anew_makes_the_report_stale(tmp_path):
    run = reported(tmp_path, BASE, TUNED)
    result = run.base / "result.json"
    seals.write_text(run, result, result.read_text(encoding="utf-8") + "\n", {})
    drawn = [f"plots/{file.name}" for file in run.plots.iterdir()]
    assert {each.path: each.why for each in seals.broken(run)} == dict.fromkeys(
        (*drawn, "report.html", "report.md", "summary.json"), "was made from another base/result.json"
    )


def test_a_write_that_was_killed_leaves_what_was_sealed_before(tmp_path):
    """Between the seal and the file: the old file is no damage, and scoring again ends what was begun."""
    run = reported(tmp_path, BASE, TUNED)
    rescore.rescore(run)
    summary, result = run.summary.read_bytes(), run.base / "result.json"
    seals.seal_texts(run, result, {result: "killed before it was written"}, {})
    assert not [each for each in seals.broken(run) if not each.stale]
    rescore.rescore(run)
    assert run.summary.read_bytes() == summary and not list(seals.broken(run))


def test_a_stage_that_leaves_fewer_files_forgets_the_others(tmp_path):
    run = reported(tmp_path, BASE, TUNED)
    folder = run.adapter(3407)
    for names in (("a", "b"), ("a",)):
        for name in names:
            files.write_text(folder / name, name)
        written = seals.hashes(run, map(folder.joinpath, names))
        seals.seal(run, folder, {path: (sha256, {}) for path, sha256 in written.items()})
    (folder / "b").unlink()
    assert not list(seals.broken(run)) and "train/seed-3407/adapter/a" in run.read_manifest().seals


def test_a_damaged_step_of_the_curve_has_the_curve_made_again(tmp_path):
    run = reported(tmp_path, BASE, TUNED)
    step, curve = run.curve(3407) / "step-5" / "result.json", run.curve(3407) / "curve.json"
    for file in (step, curve):
        seals.write_text(run, file, "{}\n", {})
    step.write_text("")
    seals.mend(run)
    assert not step.exists() and not curve.exists()


def test_a_folder_in_place_of_a_result_is_set_aside(tmp_path):
    run = reported(tmp_path, BASE, TUNED)
    result = run.base / "result.json"
    seals.write_text(run, result, result.read_text(encoding="utf-8"), {})
    result.unlink()
    result.mkdir()
    seals.mend(run)
    assert result.with_name("result.json.damaged").is_dir() and not result.exists()


def test_a_damaged_manifest_is_one_line_that_does_not_say_to_delete_it(tmp_path, capsys):
    run = reported(tmp_path, BASE, TUNED)
    run.manifest.write_text("{")
    assert exit_code(lambda: report_command.main([str(run.path)])) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "manifest.json: not JSON" in line and "restore it, or move" in line and "delete" not in line
