"""Locks of a folder: held alone, shared with processes elsewhere, waited for, and refused where there are none."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from harness.runs import directory
from harness.util import locks
from harness.util.errors import HarnessError
from tests.conftest import ROOT

HOLD = """
import sys, time
from pathlib import Path
from harness.util import locks
with locks.lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holding(folder: Path, seconds: float = 600, **told: str) -> subprocess.Popen:
    """A process that holds the folder's lock, or its part of a shared one."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(seconds)],
        cwd=ROOT, env=os.environ | told, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.first = process.stdout.readline()
    return process


def told(folder: Path, token: str, part: str) -> dict[str, str]:
    return {locks.HELD: str((folder / locks.NAME).resolve()), locks.TOKEN: token, locks.PART: part}


def test_one_holds_it_alone_and_a_killed_one_leaves_no_lock(tmp_path):
    holder = holding(tmp_path)
    with pytest.raises(HarnessError, match=f"another process \\(pid {holder.pid} on "), locks.lock(tmp_path):
        pass
    holder.kill()
    holder.wait()
    with locks.lock(tmp_path) as descriptor:
        assert descriptor is not None


def test_a_turn_ends_with_its_context_whatever_was_started_in_it(tmp_path):
    with locks.in_turn(tmp_path):
        opened = psutil.Process().open_files()
        (inherited,) = (each.fd for each in opened if each.path == str(tmp_path / ".lock"))
        with pytest.raises(HarnessError, match="another process"), locks.lock(tmp_path):
            pass
        kept = subprocess.Popen(["sleep", "600"], pass_fds=[inherited])
    try:
        with locks.lock(tmp_path):
            assert kept.poll() is None
    finally:
        kept.kill()
        kept.wait()


def test_a_command_shares_its_lock_with_the_parts_that_it_started_elsewhere(tmp_path):
    with locks.lock(tmp_path) as held, locks.shared(tmp_path, held) as token:
        parts = [holding(tmp_path, **told(tmp_path, token, part)) for part in ("training (seed 1)", "tuned, part 1/2")]
        assert [part.first for part in parts] == ["held\n"] * 2
        running = locks.parts(tmp_path)
        assert list(running) == ["training (seed 1)", "tuned, part 1 of 2"]
        assert running["training (seed 1)"].startswith(f"pid {parts[0].pid} on ")
        with pytest.raises(HarnessError, match="another process"), locks.lock(tmp_path):
            pass
    for part in parts:
        part.kill()
        part.wait()
    assert locks.parts(tmp_path) == {}
    with locks.lock(tmp_path):
        pass


def test_what_a_killed_command_has_left_is_waited_for(tmp_path, capsys):
    with locks.lock(tmp_path) as held, locks.shared(tmp_path, held) as token:
        left = holding(tmp_path, 3, **told(tmp_path, token, "training"))
    with locks.lock(tmp_path):
        assert left.wait() == 0
    assert "which has ended, to end too" in capsys.readouterr().out


def test_a_part_that_begins_after_another_command_took_over_does_not_work(tmp_path):
    with locks.lock(tmp_path) as held, locks.shared(tmp_path, held) as token:
        pass
    with locks.lock(tmp_path) as held, locks.shared(tmp_path, held):
        late = holding(tmp_path, **told(tmp_path, token, "training"))
        assert late.first == "" and late.wait() != 0
        assert "the command that started this stage is no longer working on it" in late.stderr.read()


def test_a_second_attempt_at_a_part_waits_for_the_first_to_end(tmp_path):
    with locks.lock(tmp_path) as held, locks.shared(tmp_path, held) as token:
        first = holding(tmp_path, 2, **told(tmp_path, token, "training"))
        second = holding(tmp_path, 0, **told(tmp_path, token, "training"))
        assert second.first.startswith(f"Waiting for another process (pid {first.pid} on ")
        assert second.stdout.readline() == "held\n" and second.wait() == 0 and first.wait() == 0


def test_several_hold_it_together_and_the_last_of_them_alone(tmp_path):
    with locks.together(tmp_path), locks.together(tmp_path), locks.at_once(tmp_path) as alone:
        assert not alone
    with locks.at_once(tmp_path) as alone:
        assert alone


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch, code):
    def none(stream, how):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", none)
    said = r"its file system cannot lock files .* choose another place with --results"
    with pytest.raises(HarnessError, match=said), locks.lock(tmp_path):
        pass


def test_stages_side_by_side_lose_none_of_each_others_notes(tmp_path):
    run = directory.open_run("quickstart", [], tmp_path)

    def note(number: int) -> None:
        for each in range(20):
            run.note("inputs", {f"{number} {each}": "x"})

    threads = [threading.Thread(target=note, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(run.read_manifest().inputs) == 80
