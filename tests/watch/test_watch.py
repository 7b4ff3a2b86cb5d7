"""The list of runs, and a run's page while it is made and when it is complete."""

from __future__ import annotations

import html
import http.client
import re
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from harness.ls import main as ls
from harness.runs import directory, training
from harness.util import locks
from harness.util.errors import HarnessError
from harness.watch import progress, server
from tests.conftest import HANG, harness, refused, started

PROGRESS = "base evaluation: 40 of 48, 1.06 completions/s, 0:00:08 left"


@pytest.fixture
def unfinished(finished, tmp_path):
    """A copy of the finished run as it was after two steps of its training."""
    run = directory.existing(Path(shutil.copytree(finished, tmp_path / "results" / finished.name)))
    for gone in (run.report, run.page, run.summary):
        gone.unlink()
    shutil.rmtree(run.tuned(3407))
    shutil.rmtree(run.adapter(3407))
    log = training.metrics_log(run.train(3407))
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:2]))
    return run


def test_a_run_is_complete_stopped_or_running(finished, unfinished):
    assert progress.of(directory.existing(finished)).state == "complete"
    stands = progress.of(unfinished)
    assert (stands.state, stands.stage) == ("stopped", "2/4 training") and stands.detail.startswith("2 of 6 steps")
    assert "left" not in stands.detail
    with locks.lock(unfinished.path):
        working = progress.of(unfinished)
        assert working.state == "running" and re.search(r", reward .*, \d:\d\d:\d\d left$", working.detail)
        shutil.rmtree(unfinished.base)
        with (unfinished.path / "log.txt").open("a") as log:
            log.write(f"2026-01-01T00:00:00Z evaluate base INFO {PROGRESS}\nwithout a stamp\n")
        stands = progress.of(unfinished)
        assert (stands.stage, stands.detail) == ("1/4 base evaluation", PROGRESS)
    assert progress.of(unfinished).detail == ""  # nobody works: the log's last line is old


def test_a_verdict_that_was_edited_is_not_listed(finished, tmp_path, capsys):
    summary = Path(shutil.copytree(finished, tmp_path / "results" / finished.name)) / "summary.json"
    summary.write_text(summary.read_text().replace('"value": ', '"value":  ', 1))
    assert ls([str(tmp_path / "results")]) == 0
    said = capsys.readouterr().out
    assert f"broken: {summary}: has changed since it was written" in said and "points of accuracy" not in said


def test_the_list_names_every_run_and_what_is_broken(finished, unfinished, capsys):
    results = unfinished.path.parent
    shutil.copytree(finished, results / "moved-1a2b3c4d")
    (results / "notes").mkdir()
    assert ls([str(results)]) == 0
    said = capsys.readouterr().out
    (row,) = [line for line in said.splitlines() if line.startswith(f" {finished.name} ")]
    assert "stopped  2/4 training  2 of 6 steps, reward " in row
    assert f"broken: {results}/moved-1a2b3c4d: config.yaml has digest " in said and "notes" not in said
    assert ls([str(finished.parent)]) == 0
    said = capsys.readouterr().out
    assert "complete" in said and "points of accuracy" in said
    unfinished.summary.write_text("[]")
    unfinished.report.touch()
    for folder in (unfinished.adapter(3407), unfinished.tuned(3407)):
        folder.mkdir(parents=True)
    (unfinished.tuned(3407) / "result.json").touch()
    assert ls([str(results)]) == 0
    said = capsys.readouterr().out
    assert "broken: " in said and f"{finished.name}/summary.json" in said


def test_a_report_without_its_run_is_listed_and_called_what_it_is(finished, tmp_path, capsys):
    kept = tmp_path / "kept"
    kept.mkdir()
    for name in ("config.yaml", "summary.json", "report.md"):
        shutil.copy(finished / name, kept)
    assert ls([str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert " kept  report only " in said and "points of accuracy" in said and "broken" not in said
    assert "report only: the report was kept without the run's other files" in said
    with pytest.raises(HarnessError, match="only the report of a run"):
        directory.existing(kept)


def test_a_folder_without_runs_and_one_that_is_none(tmp_path):
    done = harness("ls", tmp_path)
    assert done.returncode == 0 and done.stdout.startswith(f"{tmp_path}: no run yet; ")
    refused(harness("ls", tmp_path / "nowhere"), "not found as a folder")


class Page:
    """A browser at the page of a run."""

    def __init__(self, run):
        self.server = server.Server(run, 0)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def get(self, path: str, host: str | None = None) -> tuple[int, bytes, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection(server.ADDRESS, self.server.server_port, timeout=HANG)
        connection.request("GET", path, headers={"Host": host} if host else {})
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers


@pytest.fixture
def page(request, unfinished):
    opened = Page(unfinished)
    yield opened
    opened.server.shutdown()
    opened.server.server_close()


def test_the_page_follows_a_run_until_its_report_is_there(finished, unfinished, page):
    with locks.lock(unfinished.path):
        status, body, headers = page.get("/")
    text = body.decode()
    assert status == 200 and headers["Refresh"] and "Running: 2/4 training" in text and "2 of 6 steps" in text
    assert "Mean reward" in text and "<svg" in text and f'<progress max="1" value="{2 / 6}">' in text
    assert "✓ base evaluation: done" in text and "▶ training" in text and "○ tuned evaluation" in text
    assert "tiny; LoRA r " in text and "; 6 steps of " in text
    *_, last = (unfinished.path / "log.txt").read_text().splitlines()
    assert f"{html.escape(last)}</pre>" in text
    assert f"python -m harness.run {unfinished.path}" in page.get("/")[1].decode()  # nobody holds its lock
    with training.metrics_log(unfinished.train(3407)).open("a") as log:
        log.write("not JSON\n")
    status, body, headers = page.get("/")
    assert status == 200 and headers["Refresh"] and "metrics.jsonl line 3" in body.decode()
    shutil.copytree(finished, unfinished.path, dirs_exist_ok=True)
    status, body, headers = page.get("/")
    assert (status, body) == (200, (finished / "report.html").read_bytes()) and not headers["Refresh"]


def test_only_the_runs_own_files_are_served_and_only_to_this_machine(unfinished, page, tmp_path):
    assert page.get("/config.yaml")[1] == unfinished.settings.read_bytes()
    (tmp_path / "secret.txt").write_text("secret")
    unfinished.report.symlink_to(tmp_path / "secret.txt")
    for path in (
        "/base/",
        "/base/result.json",
        "/../secret.txt",
        "/..%2fsecret.txt",
        "/report.md",
        "/.lock",
        "/nowhere",
    ):
        assert page.get(path)[0] == 404, path
    assert page.get("/", host="elsewhere.example:80")[0] == 403
    assert page.get("/", host=f"localhost:{page.server.server_port}")[0] == 200
    assert page.get("/", host="127.0.0.1")[0] == 200  # as browsers name port 80
    with pytest.raises(HarnessError, match=r"--port: .* cannot be used"):
        server.Server(unfinished, page.server.server_port)


def test_ctrl_c_ends_the_command_and_leaves_the_run(finished):
    process = started("view", finished, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    first = process.stdout.readline()
    assert first.startswith(f"{finished.name}: http://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=HANG)
    assert process.returncode == 0 and said.endswith("Ended.\n") and not errors


def test_what_is_no_run_has_no_page(tmp_path, finished):
    refused(harness("view", tmp_path), "not a run directory")
    refused(harness("view", finished, "--port", "99999"), "--port: 99999 cannot be used")
