"""The modules that must answer in a second pull in no heavy library."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from tests.conftest import ROOT

LIGHT = (
    "schema", "errors", "config", "checkpoint", "gsm8k", "scoring", "rewards", "stats", "rundir", "results", "summary",
    "report", "compare", "inspect_match", "panel", "rescore", "run", "train", "machine", "doctor", "samples",
    "resampling", "seeds", "pairwise", "bounds", "bench_coverage", "html_report", "html_compare", "curve",
    "sections_training", "flips", "verdict", "phrases", "sections_checks", "sweep", "log", "console", "processes",
    "crosscheck", "crosscheck_inputs", "crosscheck_side", "crosscheck_table", "lm_eval_task", "track", "track_reader",
    "ask", "export", "card", "trained",
)  # fmt: skip
HEAVY = ("torch", "transformers", "vllm", "unsloth", "trl", "peft", "datasets", "matplotlib", "lm_eval", "swanlab")


def test_light_modules_stay_light():
    """All in one process, which names the first that brings a heavy one."""
    code = f"""
import importlib, sys
for name in {LIGHT!r}:
    importlib.import_module(f"harness.{{name}}")
    if heavy := [each for each in {HEAVY!r} if each in sys.modules]:
        sys.exit(f"{{name}} imports {{heavy}}")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


COMMANDS = "run sweep compare ask export crosscheck track evaluate train report rescore doctor"


@pytest.mark.parametrize("command", COMMANDS.split())
def test_the_help_of_a_command_shows_how_it_is_used(command, capsys):
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"harness.{command}").main(["--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0 and f"examples:\n    python -m harness.{command}" in said
