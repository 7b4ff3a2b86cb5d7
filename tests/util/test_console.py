"""What a stage prints, what it suppresses, and how long work is shown with and without a terminal."""

from __future__ import annotations

import importlib
import io
import os
import pty
import re
import subprocess
import sys

import pytest
from rich.console import Console

from harness.util import console, startup
from tests.conftest import HANG, ROOT

LIBRARY = """
import os
from harness.util.console import hushed
with hushed():
    print("from Python")
    os.write(1, b"from C")
    os.write(2, b"and its errors")
print("between")
with hushed(False):
    print("asked for")
"""

WORK = """
import sys, time
from pathlib import Path
from harness.util import console
from harness.util import logs as log
log.keep(Path(sys.argv[1]), "stage")
console.EVERY = 0.0
with console.working("loading"), console.hushed():
    print("library")
    time.sleep(0.3)
with console.progress("base evaluation", 20, 5) as update:
    for completed in (10, 15, 20):
        time.sleep(0.1)
        update(completed, "accuracy [so far] 50.0%")
"""


def test_what_a_library_prints_is_dropped_unless_it_is_asked_for():
    done = subprocess.run([sys.executable, "-c", LIBRARY], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("between\nasked for\n", "")


def test_without_a_terminal_long_work_is_a_line_now_and_then(tmp_path):
    done = subprocess.run([sys.executable, "-c", WORK, tmp_path], cwd=ROOT, capture_output=True, text=True)
    said = done.stdout.splitlines()
    assert said[:2] == ["Loading.", "base evaluation: 20 completions (5 done already)"] and done.stderr == ""
    # 5 in a tenth of a second or more are at most 50 a second; the last of the 20 needs no line.
    line = r"base evaluation: (\d+) of 20, ([\d.]+) completions/s, \d:\d\d:\d\d left; accuracy \[so far\] 50\.0%"
    found = [re.fullmatch(line, each) for each in said[2:]]
    assert [int(each[1]) for each in found] == [10, 15] and all(0 < float(each[2]) <= 50 for each in found)
    assert "\x1b" not in done.stdout


def test_in_a_terminal_there_is_a_bar_and_the_log_has_the_lines(tmp_path):
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "160"}
    process = subprocess.Popen([sys.executable, "-c", WORK, tmp_path], cwd=ROOT, env=environment, stdout=theirs)
    os.close(theirs)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    assert process.wait(timeout=HANG) == 0
    text = shown.decode()
    assert "loading" in text and "library" not in text
    assert "20/20" in text and "accuracy [so far] 50.0%" in text and "completions/s" not in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 2  # the cursor is back after each
    logged = (tmp_path / "log.txt").read_text(encoding="utf-8")
    assert logged.count(" completions/s, ") == 2 and re.search(r" stage INFO loading: \d+\.\d s\n", logged)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # Linux says so when the other end is closed
        return b""


STOP = """
import os, signal, sys
from harness.util import console
from harness.util.cli import exit_code

def main():
    with console.working("first evaluation"), console.progress("base", 9, unit="steps") as update:
        update(4)
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            {}["what the engine then makes of it"]

def loading():
    with console.working("start of the engine"):
        os.kill(os.getpid(), signal.SIGINT)

print(exit_code(main), exit_code(loading))
"""


def test_who_stops_long_work_is_told_how_far_it_was():
    done = subprocess.run([sys.executable, "-c", STOP, "a b"], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "143 130", done.stderr
    first, second = done.stderr.splitlines()  # and no traceback
    assert first.startswith("Stopped in the base, at 4 of 9 steps. The same command resumes: ")
    assert second.startswith("Stopped in the start of the engine. The same") and second.endswith("'a b'")


PASSED_OVER = """
import os, signal, sys
from harness.util import console
from harness.util.cli import exit_code

def ask():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except BaseException:
        pass  # as C code does that calls back into Python

def counting():
    with console.progress("base", 9, unit="steps") as update:
        update(1)
        ask()
        for step in range(2, 10):
            update(step)
    print("not reached")

def loading():
    ask()
    with console.working("start of the engine"):
        print("not reached")

print(exit_code(counting), exit_code(loading))
"""


def test_a_stop_that_a_library_passes_over_is_heeded_at_the_next_step():
    done = subprocess.run([sys.executable, "-c", PASSED_OVER], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["base: 9 steps", "143 143"], done.stderr
    first, second = done.stderr.splitlines()
    assert first.startswith("Stopped in the base, at 2 of 9 steps. ")
    assert second.startswith("Stopped in the start of the engine. ")


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_bar_keeps_its_counts_and_times_in_a_narrow_terminal(width):
    """With the training's note, the longest."""
    note = "reward 7.86, 29 tokens a completion (mean of the last 10)"
    code = (
        f"from harness.util import console\nwith console.progress('training (seed 3407)', 60) as bar: bar(33, {note!r})"
    )
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": str(width)}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=theirs)
    os.close(theirs)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    assert process.wait(timeout=HANG) == 0
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).splitlines()[-1].rpartition("\r")[2]
    assert "training (seed 3407)" in last and re.search(r" 55% 33/60 \d:\d\d:\d\d left [-\d:]+ reward", last), last
    assert (note in last) == (width == 200)


@pytest.mark.parametrize(("seconds", "shown"), [(0.4, "0:00:00"), (59.6, "0:01:00"), (7384, "2:03:04")])
def test_a_time_left_is_hours_minutes_seconds(seconds, shown):
    assert console.duration(seconds) == shown


def test_progress_is_published_for_a_command_that_shows_several_stages(tmp_path, monkeypatch):
    monkeypatch.setenv(console.SHOWN, str(tmp_path / "shown.json"))
    monkeypatch.setattr(console, "PUBLISH", 0.0)
    with console.working("start of the engine"):
        assert console.published(tmp_path / "shown.json") == console.Shown("start of the engine")
    with console.progress("training", 9, 3, unit="steps") as update:
        assert console.published(tmp_path / "shown.json") == console.Shown("training", 3, 9)
        update(6, "reward 2.31")
        shown = console.published(tmp_path / "shown.json")
    assert (shown.done, shown.total, shown.note) == (6, 9, "reward 2.31") and shown.left > 0
    monkeypatch.setenv(console.SHOWN, str(tmp_path / "nowhere/shown.json"))
    console.publish(shown)  # a full disk ends no stage
    assert console.published(tmp_path / "nowhere/shown.json") is None


def test_a_board_shows_every_row_in_a_terminal_and_a_line_of_each_now_and_then_without(monkeypatch):
    rows = [
        {"run": "lora.r=4", "state": "running", "done": "12 of 60"},
        {"run": "[r=8]", "state": "waiting", "done": ""},
    ]
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=80, highlight=False)
    monkeypatch.setattr(console, "_console", terminal)
    with console.board("") as show:
        show(rows)
        assert "12 of 60" in screen.getvalue() and "[r=8]" in screen.getvalue()
    monkeypatch.setattr(console, "_console", Console(file=screen, width=80, highlight=False, soft_wrap=True))
    monkeypatch.setattr(console, "EVERY", 0.0)
    screen.truncate(0)
    with console.board("") as show:
        show(rows)
    assert screen.getvalue().lstrip("\0") == "lora.r=4, running, 12 of 60\n[r=8], waiting\n"


def test_markdown_in_a_narrow_terminal_loses_no_word(monkeypatch):
    screen = io.StringIO()
    narrow = Console(file=screen, force_terminal=True, width=40, soft_wrap=True, highlight=False)
    monkeypatch.setattr(console, "_console", narrow)
    console.markdown(
        "- a list item that is longer than forty characters and ends so\n\nAnd a paragraph that does that too"
    )
    assert "ends so" in screen.getvalue() and "too" in screen.getvalue()


def test_what_a_command_loads_does_without_a_package_that_it_never_uses(monkeypatch, tmp_path):
    (tmp_path / "sklearn.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sklearn", raising=False)
    monkeypatch.setattr(startup, "one_command", True)
    with console.loading("libraries"), pytest.raises(ModuleNotFoundError):
        importlib.import_module("sklearn")
    assert importlib.import_module("sklearn").__file__ == str(tmp_path / "sklearn.py")
    with console.loading("libraries"):  # one that is there already stays
        assert sys.modules.get("sklearn")
    del sys.modules["sklearn"]
