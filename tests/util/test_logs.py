"""A run's log: every process appends complete lines without control characters, and the error that ended it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.util import logs
from tests.conftest import HANG, ROOT

STAGE = """
import sys, warnings
from pathlib import Path
from harness.util import logs as log
from harness.util.console import say
from harness.util.cli import exit_code
from harness.util.errors import HarnessError

def main():
    log.keep(Path(sys.argv[1]), sys.argv[2])
    for number in range(200):
        say(f"{sys.argv[2]} {number}")
    if sys.argv[2] == "refuses":
        warnings.warn("old")
        say("red \\x1b[31m")
        raise HarnessError("raise\\nit")
    if sys.argv[2] == "breaks":
        {}["key"]

sys.exit(exit_code(main))
"""
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (\w+) (INFO|WARNING|ERROR) (.*)")


def test_the_stages_lines_do_not_mix_and_what_ended_one_is_there(tmp_path):
    names = ("first", "refuses", "breaks")
    stages = [
        subprocess.Popen([sys.executable, "-c", STAGE, tmp_path, name], cwd=ROOT, stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, text=True)
        for name in names
    ]  # fmt: skip
    errors = [stage.communicate(timeout=HANG)[1] for stage in stages]
    assert [stage.returncode for stage in stages] == [0, 2, 1]
    assert errors[0] == "" and "UserWarning: old" in errors[1] and errors[1].endswith("error: raise it\n")
    assert errors[2].startswith("Traceback") and "KeyError: 'key'" in errors[2]
    text = (tmp_path / logs.FILE).read_text(encoding="utf-8")
    entries = [found.groups() for line in text.splitlines() if (found := LINE.fullmatch(line))]
    for name in names:
        said = [message for stage, _, message in entries if stage == name]
        assert said[:200] == [f"{name} {number}" for number in range(200)]
    assert ("refuses", "INFO", "red ⟨U+001B⟩[31m") in entries
    assert ("refuses", "ERROR", "raise it") in entries and ("breaks", "ERROR", "KeyError: 'key'") in entries
    (warned,) = [message for _, level, message in entries if level == "WARNING"]
    assert warned.startswith("UserWarning: old (")
    assert "\nTraceback (most recent call last):\n" in text and "\nKeyError: 'key'\n" in text


WHISPERS = """
import sys, warnings
from pathlib import Path
from harness.util import logs as log
from harness.util.cli import exit_code

def main():
    log.keep(Path(sys.argv[1]), "train")
    warnings.warn("no https://me:hunter2@proxy.example:80/x with Bearer hf_AbCdEfGh; mail a@b; KEY=on")
    raise ValueError("hf_AbCdEfGh refused")

sys.exit(exit_code(main))
"""


@pytest.mark.parametrize(
    "error",
    [
        "RuntimeError('[enforce fail at inline_container.cc:858] . unexpected pos 64 vs 0')",  # torch.save
        "RuntimeError('basic_ios::clear: iostream error')",  # torch.save, too
        "SafetensorError('Error while serializing: I/O error: No space left on device (os error 28)')",
    ],
)
def test_a_full_disk_is_one_line_whoever_finds_it(error):
    code = f"""
import sys
from safetensors import SafetensorError
from harness.util.cli import exit_code
def main():
    raise {error}
sys.exit(exit_code(main))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: the disk is full (") and "make room or choose another place" in done.stderr


def test_no_secret_gets_into_it(tmp_path):
    """A library's message about the network may quote a proxy's password, or a token from the environment."""
    environment = os.environ | {"HF_TOKEN": "hf_AbCdEfGh", "SOME_KEY": "on"}
    command = [sys.executable, "-c", WHISPERS, tmp_path]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=HANG)
    text = (tmp_path / logs.FILE).read_text(encoding="utf-8")
    assert done.returncode == 1 and "hunter2" not in text and "hf_AbCdEfGh" not in text
    assert "no https://***@proxy.example:80/x with Bearer ***; mail a@b; KEY=on (" in text
    assert "\nValueError: *** refused\n" in text


@pytest.mark.parametrize(
    "key",
    [
        "hf_" + "aB3" * 10, "sk-proj-" + "aB3_" * 8, "ghp_" + "a1" * 18, "github_pat_" + "a1" * 20, "AKIA" + "ABCD" * 4,
        "glpat-" + "a1-" * 7, "xoxb-" + "1234567890", "AIza" + "a1_" * 12,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc_def",
    ],
)  # fmt: skip
def test_what_looks_like_a_key_is_hidden_and_words_are_not(key, monkeypatch):
    assert logs.without_secrets(f'token = "{key}";') == 'token = "***";'
    assert logs.without_secrets("risk-averse tasks-in-progress-here AKIARA hf_models") == (
        "risk-averse tasks-in-progress-here AKIARA hf_models"
    )
    monkeypatch.setenv("MY_PASSWORD", "correct horse")
    assert logs.without_secrets("the correct horse ran") == "the *** ran"


@pytest.mark.parametrize(("gone", "said"), [(True, "the output is no longer read"), (False, "BrokenPipeError")])
def test_the_log_says_that_nobody_read_the_output(tmp_path, gone, said):
    """As with `| head -1`. A broken pipe to another process is a different error, and must not be ignored."""
    stage = STAGE if gone else STAGE.replace('say(f"', 'raise BrokenPipeError(f"')
    ours, theirs = os.pipe()
    if gone:
        os.close(ours)
    command = [sys.executable, "-c", stage, tmp_path, "first"]
    done = subprocess.run(command, cwd=ROOT, stdout=theirs, stderr=subprocess.PIPE, text=True, timeout=HANG)
    os.close(theirs)
    entries = [LINE.fullmatch(line) for line in (tmp_path / logs.FILE).read_text(encoding="utf-8").splitlines()]
    ((_, _, error),) = [found.groups() for found in entries if found and found[2] == "ERROR"]
    assert done.returncode == 1 and said in error and (done.stderr == "") == gone


def test_the_last_error_of_one_attempt(tmp_path):
    assert logs.last_error(tmp_path, logs.size(tmp_path)) is None
    (tmp_path / logs.FILE).write_text("T run ERROR then\nT run INFO on\n")
    since = logs.size(tmp_path)
    assert logs.last_error(tmp_path, 0) == "then" and logs.last_error(tmp_path, since) is None
    with (tmp_path / logs.FILE).open("a") as stream:
        stream.write("T train ERROR a\nT evaluate base ERROR b ERROR c\nT run INFO no ERROR here\n")
    assert logs.last_error(tmp_path, since) == "b ERROR c"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full")
def test_a_full_disk_is_not_the_logs_to_tell(tmp_path):
    (tmp_path / logs.FILE).symlink_to("/dev/full")
    done = subprocess.run(
        [sys.executable, "-c", STAGE, tmp_path, "first"], cwd=ROOT, capture_output=True, text=True, timeout=HANG
    )
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.count("\n") == 200


def test_what_is_said_goes_into_no_other_file_where_standard_output_is_closed(tmp_path):
    """`>&-`: the log must not be given descriptor 1, which a library's C code prints to."""
    stage = "import os\n" + STAGE.replace("    for number", "    os.write(1, b'from C')\n    for number")
    command = ["sh", "-c", 'exec "$0" "$@" >&- 2>&-', sys.executable, "-c", stage, tmp_path, "first"]
    assert subprocess.run(command, cwd=ROOT, timeout=HANG).returncode == 0
    lines = (tmp_path / logs.FILE).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 200 and all(map(LINE.fullmatch, lines))


def test_a_run_has_one(finished):
    text = (finished / logs.FILE).read_text(encoding="utf-8")
    stages = re.findall(r"Z (run|train|evaluate base|evaluate tuned) INFO ", text)
    assert set(stages) == {"run", "train", "evaluate base", "evaluate tuned"} and stages[0] == stages[-1] == "run"
    assert re.search(r" run INFO training: \d+\.\d s, exit code 0\n", text)
    assert "exp/quickstart.yaml" in text.splitlines()[0] and " ERROR " not in text
