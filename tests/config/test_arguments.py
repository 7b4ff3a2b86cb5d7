"""What a shell completes, what the command says of itself, and which arguments are required."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from harness import __version__
from harness.config.arguments import find_run
from harness.util.errors import HarnessError
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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("__main__", "rnu", "quickstart"), "rnu: no such command; did you mean run?"),
        (("__main__", "zzz"), "zzz: no such command; harness --help lists them"),
        (("__main__", "--hlp"), "--hlp: no such option; did you mean --help?"),
        (("run", "--hlp"), "--hlp: no such option; did you mean --help?"),
        (("run", "quickstart", "--dryrun"), "--dryrun: no such option; did you mean --dry-run?"),
        (
            ("run", "quickstart", "--train.steps", "4"),
            "--train.steps: no such option; a setting is given as train.steps=",
        ),
        (("view", "--prot=1"), "--prot: no such option; did you mean --port?"),
        (("settings", "train.stps"), "train.stps: no such setting; did you mean train.steps?"),
        (("settings", "zzz"), "zzz: no such setting; allowed: name, model, data, "),
    ],
)
def test_a_word_that_is_not_known_gets_the_nearest_one(words, said):
    refused(harness(*words), said)


def test_a_question_may_look_like_an_option_and_an_option_may_be_shortened(finished):
    refused(harness("run", "quickstrt", "--dry"), "did you mean experiments/quickstart.yaml?")
    refused(harness("settings", "--", "--is it"), "--is it: no such setting")


def test_a_setting_or_a_section_is_explained(capsys):
    from harness.settings import main

    assert main(["train.steps=4", "lora"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "train.steps\n    optimizer steps\n    allowed: integer, ≥ 1, ≤ 1,000,000\n    default: 50\n"
    )
    assert "\nlora.r\n" in said and "\nlora.alpha\n" in said and "train.seeds" not in said


def test_a_run_is_named_by_its_path_its_name_or_a_beginning_of_it(tmp_path):
    for name in ("one-1a2b3c4d", "one-1a2b3c4d5", "two-1a2b3c4d"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").touch()
    (tmp_path / "three").mkdir()
    assert find_run(str(tmp_path / "three"), tmp_path) == tmp_path / "three"
    assert find_run("one-1a2b3c4d", tmp_path) == tmp_path / "one-1a2b3c4d"
    assert find_run("tw", tmp_path) == tmp_path / "two-1a2b3c4d"
    with pytest.raises(HarnessError, match=r"one: 2 runs in .* begin so: one-1a2b3c4d, one-1a2b3c4d5; give more"):
        find_run("one", tmp_path)
    with pytest.raises(HarnessError, match=r"tow-1a2b3c4d: not found, .*; did you mean two-1a2b3c4d\?"):
        find_run("tow-1a2b3c4d", tmp_path)
    with pytest.raises(HarnessError, match=r"three/four: not found, .*; python -m harness\.ls lists the runs"):
        find_run("three/four", tmp_path)


def test_every_command_finds_a_run_by_its_name(finished):
    place = finished.parent.parent / "names"
    place.mkdir(exist_ok=True)
    (place / "results").symlink_to(finished.parent)
    for words in (("report", finished.name[:-2]), ("compare", finished.name), ("run", finished.name)):
        done = harness(*words, cwd=place)
        assert done.returncode == 0 and finished.name in done.stdout, done.stderr
    refused(harness("compare", finished.name, "nowhere", cwd=place), "nowhere: not found")
