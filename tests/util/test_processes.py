"""Processes that outlive a stage are found and ended, even if their parent is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from harness.util import processes
from harness.util.errors import BUSY
from tests.conftest import HANG, ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux alone")

# A stage that starts a helper and ends without it.
STAGE = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
RUN = f"""
import subprocess, sys
from harness.util import processes
processes.adopt_orphans()
subprocess.run([sys.executable, "-c", {STAGE!r}], preexec_fn=processes.die_with_parent, check=True)
print(processes.end_descendants(), processes.end_descendants())
"""


def test_an_orphan_of_a_stage_is_ended():
    done = subprocess.run([sys.executable, "-c", RUN], cwd=ROOT, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.strip().rsplit(" ", 1)
    assert "python" in first and second == "[]"


BUSY_UNTIL = """
import os, sys
from harness.util import cli, errors
def main():
    with open(sys.argv[1], "a+") as tries:
        tries.write("x")
        if tries.tell() < int(sys.argv[2]):
            raise errors.BusyError("a.b: another program is in the way")
sys.exit(cli.exit_code(main))
"""


@pytest.mark.parametrize(("free_at", "code", "tries"), [(1, 0, 1), (3, 0, 3), (9, 2, 3)])
def test_a_stage_in_whose_way_another_program_is_is_run_again(tmp_path, capfd, monkeypatch, free_at, code, tries):
    monkeypatch.setattr(processes, "PAUSE", (0.0, 0.0))
    count = tmp_path / "tries"
    assert processes.run(["-c", BUSY_UNTIL, str(count), str(free_at)], os.environ) == code
    assert len(count.read_text()) == tries
    said, errors = capfd.readouterr()
    assert said.count("Once more, attempt") == tries - 1
    assert errors.count("error: a.b: another program is in the way\n") == tries - (code == 0)


def test_by_itself_a_command_that_is_busy_ends_as_for_any_error(tmp_path):
    command = [sys.executable, "-c", BUSY_UNTIL, str(tmp_path / "tries"), "9"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 2
    passed_on = f"import sys; from harness.util import cli; sys.exit(cli.exit_code(lambda: {BUSY}))"  # of a stage
    assert subprocess.run([sys.executable, "-c", passed_on], cwd=ROOT).returncode == 2


def test_a_stage_dies_with_its_run():
    endless = "import time; print('on', flush=True); time.sleep(600)"
    run = (
        "import subprocess, sys; from harness.util import processes; "
        f"stage = subprocess.Popen([sys.executable, '-c', {endless!r}], preexec_fn=processes.die_with_parent); "
        "print(stage.pid, flush=True); stage.wait()"
    )
    process = subprocess.Popen([sys.executable, "-c", run], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    said = {process.stdout.readline().strip() for _ in range(2)}
    (stage,) = (int(line) for line in said if line != "on")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + HANG
    while psutil.pid_exists(stage) and psutil.Process(stage).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(("given", "used"), [(None, "0"), ("2,3", "2"), ("", ""), ("GPU-8f2c,1", "GPU-8f2c")])
def test_a_run_uses_one_gpu(given, used):
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    environment |= {} if given is None else {"CUDA_VISIBLE_DEVICES": given}
    code = "import os; from harness.util import startup; startup.prepare(); print(os.environ['CUDA_VISIBLE_DEVICES'])"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == used
