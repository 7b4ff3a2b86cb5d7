"""The run directory: complete files, torn lines, one writer, and inputs that must not change during a run."""

from __future__ import annotations

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.runs import directory
from harness.runs import stages as run_stages
from harness.runs.manifest import Machine
from harness.util import files, locks
from harness.util.errors import HarnessError


def test_a_run_directory_is_named_for_its_digest_and_reopens(tmp_path):
    run = directory.open_run("quickstart", ["train.steps=3"], tmp_path)
    assert run.path.name == run.config.run_name()
    assert directory.open_run(str(run.path), [], tmp_path).config == run.config
    with pytest.raises(HarnessError, match="settings are fixed"):
        directory.open_run(str(run.path), ["train.steps=4"], tmp_path)


def test_nothing_is_written_for_a_plan(tmp_path):
    run = directory.open_run("quickstart", [], tmp_path / "results", create=False)
    assert not run.path.exists() and not (tmp_path / "results").exists()


def test_an_edited_configuration_is_refused(tmp_path):
    run = directory.open_run("quickstart", [], tmp_path)
    file = run.path / "config.yaml"
    file.write_text(file.read_text().replace("\n  steps: ", "\n  steps: 1"))
    for target in (str(run.path), "quickstart"):
        with pytest.raises(HarnessError, match="the directory's name ends in"):
            directory.open_run(target, [], tmp_path)


def test_settings_outside_the_digest_meet_the_run_that_is_there(tmp_path):
    run = directory.open_run("quickstart", [], tmp_path)
    assert directory.open_run("quickstart", ["train.resume_every=3"], tmp_path).path == run.path


def test_a_run_is_named_by_the_beginning_of_its_name(tmp_path):
    run = directory.open_run("quickstart", [], tmp_path)
    for target in (run.path.name, run.path.name[:-5], str(tmp_path / run.path.name[:-5])):
        assert directory.open_run(target, [], tmp_path).path == run.path
    directory.open_run("quickstart", ["train.steps=3"], tmp_path)
    with pytest.raises(HarnessError, match=r"2 runs in .* begin so"):
        directory.open_run("quickstar", [], tmp_path)
    with pytest.raises(HarnessError, match=r"did you mean experiments/quickstart\.yaml"):
        directory.open_run("quikstart", [], tmp_path)


def test_what_was_noted_of_another_machine_does_not_stay(tmp_path):
    run = directory.open_run("quickstart", [], tmp_path)
    for machine in (Machine("Linux", 16, 8, gpu="NVIDIA H200", gpu_gib=139.8), Machine("Linux", 2, 1)):
        run.note("machine", machine)
        assert run.read_manifest().machine == machine


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(HarnessError, match="not a run directory"):
        directory.existing(tmp_path)


def test_a_run_killed_before_its_first_file_starts_again(tmp_path):
    path = directory.open_run("quickstart", [], tmp_path).path
    (path / "config.yaml").unlink()
    assert (directory.open_run("quickstart", [], tmp_path).path / "config.yaml").exists()


def test_a_torn_last_line_is_dropped_and_appending_goes_on(tmp_path):
    log = tmp_path / "samples.jsonl"
    files.append_lines(log, [{"n": 1}, {"n": 2}])
    with log.open("a") as stream:
        stream.write('{"n": 3, "text": "cut in the mid')
    torn = log.read_bytes()
    assert files.read_lines(log) == [{"n": 1}, {"n": 2}]
    assert log.read_bytes() == torn  # reading writes nothing
    files.append_lines(log, [{"n": 3, "text": "a\u2028b"}])
    assert [row["n"] for row in files.read_lines(log)] == [1, 2, 3]
    log.write_text('{"n": 1')
    assert files.read_lines(log) == []
    files.append_lines(log, [{"n": 2}])
    assert log.read_text() == '{"n": 2}\n'


def test_a_broken_line_inside_a_log_is_an_error(tmp_path):
    log = tmp_path / "samples.jsonl"
    log.write_text('{"n": 1}\nnot json\n{"n": 2}\n')
    with pytest.raises(HarnessError, match="line 2"):
        files.read_lines(log)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    file = tmp_path / "summary.json"
    files.write_json(file, {"a": 1})
    with pytest.raises(ValueError):
        files.write_json(file, {"a": float("nan")})
    assert json.loads(file.read_text()) == {"a": 1}


def test_several_may_begin_a_run_at_once(tmp_path):
    together = threading.Barrier(8)

    def begin(_):
        together.wait()
        return directory.open_run("quickstart", [], tmp_path).path

    with ThreadPoolExecutor(8) as pool:
        (path,) = set(pool.map(begin, range(8)))
    assert directory.existing(path).config.name == "quickstart"


def test_a_results_folder_whose_name_is_no_utf8_is_refused(tmp_path):
    with pytest.raises(HarnessError, match=r"--results: .* not valid UTF-8; choose another"):
        directory.open_run("quickstart", [], tmp_path / os.fsdecode(b"l1\xe9"))
    assert not list(tmp_path.iterdir())


def test_a_stage_under_the_runs_lock_does_not_wait_for_it(tmp_path, monkeypatch):
    run = directory.open_run("quickstart", [], tmp_path)
    with locks.lock(run.path):
        monkeypatch.setattr("os.environ", run_stages.stage_environment(run))
        with locks.lock(run.path) as descriptor:
            assert descriptor is None


def test_inputs_may_not_change_under_a_run(tmp_path):
    run = directory.open_run("quickstart", [], tmp_path)
    run.pin({"data": "a" * 64})
    run.pin({"data": "a" * 64, "base weights": "b" * 64})
    with pytest.raises(HarnessError, match="the data changed since this run began"):
        run.pin({"data": "c" * 64})
    assert run.read_manifest().inputs == {"data": "a" * 64, "base weights": "b" * 64}


needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full")


@needs_dev_full
def test_a_full_disk_is_told_by_the_files_name(tmp_path):
    (tmp_path / ".a.json.part").symlink_to("/dev/full")
    with pytest.raises(OSError) as told:
        files.write_json(tmp_path / "a.json", {})
    assert told.value.filename == str(tmp_path / "a.json")
    (tmp_path / "log.jsonl").symlink_to("/dev/full")
    with pytest.raises(OSError) as told, files.appending(tmp_path / "log.jsonl") as append:
        append([{"a": 1}])
    assert told.value.filename == str(tmp_path / "log.jsonl")


@needs_dev_full
def test_a_disk_that_a_stage_found_full_is_told_once(tmp_path):
    """The stage has said it, and its seconds cannot be noted."""
    run = directory.open_run("quickstart", [], tmp_path)
    run.manifest.with_name(f".{run.manifest.name}.part").symlink_to("/dev/full")
    stage = run_stages.Stage("training", [tmp_path / "never"], ["harness.train", "--seed", "-1"])
    assert run_stages.start(run, None, stage) == 2
