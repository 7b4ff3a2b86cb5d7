"""What a shell completes, what the command says of itself, and which arguments are required."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from harness import __version__
from tests.conftest import ROOT, harness, refused

SEPARATOR = "\v"  # argcomplete's, between two candidates


def completed(line: str, **options) -> list[str]:
    """What `harness` offers for the last word of a command line, as a shell asks for it: on descriptor 8."""
    asks = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": SEPARATOR, "COMP_LINE": line, "COMP_POINT": str(len(line))}
    command = f"exec {sys.executable} -X importtime -m harness 8>&1 9>&2 1>/dev/null"
    environment = os.environ | asks | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, check=True, **options
    )
    assert not {"torch", "transformers", "numpy"} & {row.split("|")[-1].strip() for row in done.stderr.splitlines()}
    return [each.strip() for each in done.stdout.split(SEPARATOR)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("harness ", "doctor"),
        ("harness co", "compare"),
        ("harness run quick", "quickstart"),
        ("harness run experiments/quick", "experiments/quickstart.yaml"),
        ("harness run exp/quick", "exp/quickstart.yaml"),
        ("harness run quickstart train.lea", "train.learning_rate="),
        ("harness sweep quickstart lora.r=4,8 --dr", "--dry-run"),
        ("harness evaluate quickstart --side no-such --si", "--side"),
        ("harness track --mode of", "offline"),
    ],
)
def test_a_shell_completes_commands_experiments_settings_and_options(line, expected):
    assert expected in completed(line)


def test_a_shell_completes_runs(tmp_path):
    (tmp_path / "one-1a2b3c4d").mkdir()
    (tmp_path / "one-1a2b3c4d/config.yaml").touch()
    (tmp_path / "notes").mkdir()
    assert completed(f"harness compare {tmp_path}/") == [f"{tmp_path}/one-1a2b3c4d"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_code_for_each_shell_names_the_command(shell):
    done = harness("__main__", "--completion", shell, cold=True)
    assert done.returncode == 0 and "harness" in done.stdout and "_ARGCOMPLETE" in done.stdout


def test_the_version_is_said(capsys):
    from harness.__main__ import main

    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert not ended.value.code and capsys.readouterr().out == f"grpo-harness {__version__}\n"


@pytest.mark.parametrize("command", ["run", "ask", "evaluate"])
def test_no_optional_argument_is_named_as_required(command):
    done = harness(command)
    refused(done, "are required: ")
    assert "overrides" not in done.stderr and "question" not in done.stderr
