"""Ctrl-C and SIGTERM: a line that says where and how to resume, the shell's exit code, and no process left."""

from __future__ import annotations

import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.conftest import HANG, ROOT, SMALL, started, wait_until
from tests.e2e.test_run import lines, start

# A process that does not end when it is asked to, started as a stage is.
STUBBORN = """
import signal, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
print("on", flush=True)
time.sleep(600)
"""
COMMAND = f"""
import os, sys
from harness.util import processes
from harness.util.cli import exit_code
sys.exit(exit_code(lambda: processes.run(["-c", {STUBBORN!r}], os.environ)))
"""


def nothing_is_left(group: int) -> bool:
    with_group = (p for p in psutil.process_iter() if p.status() != psutil.STATUS_ZOMBIE)
    return not any(os.getpgid(p.pid) == group for p in with_group if psutil.pid_exists(p.pid))


def test_a_stopped_run_says_where_and_ends_as_a_straight_one(finished, tmp_path):
    """Ctrl-C in the base evaluation, to both processes as a terminal sends it; SIGTERM in the training, to the run."""
    results = tmp_path / "re sults"
    typed = shlex.join([sys.executable, "-m", "harness.run", "exp/quickstart.yaml", *SMALL, "--results", str(results)])
    process = start(results)
    wait_until(lambda: any(0 < lines(f) < 48 for f in results.glob(".base/*/samples.jsonl")), process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=HANG)
    (log,) = results.glob(".base/*/samples.jsonl")
    assert process.returncode == 130 and 0 < lines(log) < 48
    line = re.escape(f" of 48 completions. The same command resumes: {typed}\n")
    said = re.fullmatch(rf"Stopped in the base evaluation, at (\d+){line}", errors)
    assert said and int(said[1]) in (lines(log), lines(log) - 8)  # a batch that was kept and not counted yet
    assert nothing_is_left(process.pid)

    process = start(results)
    (run,) = results.glob("quickstart-*")
    wait_until(lambda: lines(run / "train/seed-3407/metrics.jsonl") >= 3, process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=HANG)
    assert process.returncode == 143 and errors.count("\n") == 1
    assert "Stopped in the training (seed 3407), at " in errors and errors.endswith(f" resumes: {typed}\n")
    assert nothing_is_left(process.pid) and not (run / "train/seed-3407/adapter").exists()

    last = start(results)
    _, errors = last.communicate(timeout=HANG)
    assert last.returncode == 0, errors
    assert (run / "summary.json").read_bytes() == (finished / "summary.json").read_bytes()
    assert lines(run / "base/samples.jsonl") == 48  # nothing was generated twice
    said = (run / "log.txt").read_text(encoding="utf-8")
    assert said.count(" run INFO started: ") == 3 and said.count(" INFO Stopped in the ") == 2


def test_a_stage_alone_is_stopped_likewise(tmp_path):
    process = started(
        "evaluate", "quickstart", "eval.batch_size=4", "--side", "base", "--results", tmp_path,
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    wait_until(lambda: any(lines(f) for f in tmp_path.glob(".base/*/samples.jsonl")), process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=HANG)
    assert process.returncode == 130 and errors.count("\n") == 1
    assert "of 1200 completions. The same command resumes: " in errors and "harness.evaluate quickstart" in errors


def test_a_stopped_benchmark_says_that_it_starts_over_and_leaves_nothing(tmp_path):
    process = started(
        "bench", "train", "exp/quickstart.yaml", "--paths", "trl-hf", "--steps", "500",
        stderr=subprocess.PIPE, start_new_session=True, env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    wait_until(lambda: any(lines(f) >= 2 for f in tmp_path.glob("bench-train-*/*/train/*/metrics.jsonl")), process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=HANG)
    assert process.returncode == 143 and errors.count("\n") == 1
    typed = shlex.join(process.args)
    assert re.fullmatch(
        rf"Stopped in the training .* steps\. The same command starts over: {re.escape(typed)}\n", errors
    )
    assert nothing_is_left(process.pid) and not list(tmp_path.glob("bench-train-*"))


# A run and its stage that keep a log, in a terminal.
WATCHED = """
import os, sys, time
from pathlib import Path
from harness.util import console, processes
from harness.util import logs as log
from harness.util.cli import exit_code

def stage():
    log.keep(Path(sys.argv[1]), "train")
    with console.progress("training", 9, unit="steps") as update:
        update(4)
        (Path(sys.argv[1]) / "on").touch()
        time.sleep(600)

def run():
    log.keep(Path(sys.argv[1]), "run")
    return processes.run(["-c", sys.orig_argv[2], sys.argv[1], "stage"], os.environ)

sys.exit(exit_code(stage if sys.argv[2:] else run))
"""


@pytest.mark.parametrize("immune", [False, True])
def test_closing_the_terminal_stops_a_run_in_order_unless_it_is_under_nohup(tmp_path, immune):
    ours, theirs = pty.openpty()
    command = ["nohup"] * immune + [sys.executable, "-c", WATCHED, tmp_path]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # the tests themselves may run under nohup
    )  # fmt: skip
    os.close(theirs)
    log = tmp_path / "log.txt"
    wait_until((tmp_path / "on").exists, process)
    os.close(ours)
    os.killpg(process.pid, signal.SIGHUP)
    if immune:
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=HANG) == (143 if immune else 129)
    (line,) = [line for line in log.read_text().splitlines() if " run INFO Stopped" in line or "train INFO S" in line]
    assert " train INFO Stopped in the training, at 4 of 9 steps. The same command resumes: " in line
    assert "Traceback" not in log.read_text() and nothing_is_left(process.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="counts the processes of a session")
def test_a_second_ctrl_c_ends_a_stage_that_does_not_end():
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND], cwd=ROOT, text=True, start_new_session=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.readline() == "on\n"
    os.killpg(process.pid, signal.SIGINT)
    os.killpg(process.pid, signal.SIGTERM)  # almost at once: counts as the same signal
    time.sleep(1)
    assert process.poll() is None and not nothing_is_left(process.pid)  # it is given time
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=HANG)
    assert process.returncode == 130 and errors.startswith("Stopped. The same command resumes: ")
    assert nothing_is_left(process.pid)
