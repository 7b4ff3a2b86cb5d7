"""The benchmarks run and print their tables; their numbers are not tested."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.bench import common
from harness.util.errors import HarnessError
from tests.conftest import harness, refused, without_gpu
from tests.constructed import reported


def test_the_evaluation_is_measured_with_adapters_that_are_proven_and_broken_ones_that_are_refused():
    done = harness(
        "bench", "eval", "exp/quickstart.yaml", "eval.max_new_tokens=16", "--paths", "transformers",
        "--slow-questions", "12", "--repeats", "1", "--adapters", "1", "--fixed",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "| transformers | base, round 1 |" in done.stdout and " | 12 | 192 | " in done.stdout
    assert '"modules_loaded": 14' in done.stdout
    for kind in ("zeroed", "wrongly named", "named for the other class"):
        assert f"{kind} copy: refused" in done.stdout


def test_wrong_arguments_are_one_line():
    refused(harness("bench", "speed"), "invalid choice", "scoring")
    refused(harness("bench", "eval", "exp/quickstart.yaml", "--paths", "raw,tgi"), "--paths: found tgi")
    refused(harness("bench", "coverage", "--replications", "0"), "--replications: found 0, allowed: 1 or more")
    refused(harness("bench", "eval", "exp/quickstrt.yaml"), "did you mean experiments/quickstart.yaml?")


def test_a_training_step_is_measured_by_the_ordinary_stage():
    done = harness(
        "bench", "train", "exp/quickstart.yaml", "train.prompts_per_step=2", "train.generations=2", "--paths", "trl-hf",
        "--steps", "2", "--warm-up", "1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "| trl-hf | " in done.stdout and "| 4 x " in done.stdout
    refused(harness("bench", "train", "exp/quickstart.yaml", "--steps", "2"), "--steps: 2 leaves no step")


@without_gpu
def test_a_step_by_another_backend_than_the_path_names_is_no_row():
    """If Unsloth cannot run, the training stage continues with TRL; a benchmark must not call that Unsloth."""
    done = harness(
        "bench", "train", "exp/quickstart.yaml", "model.precision=bf16", "train.prompts_per_step=2",
        "train.generations=2", "--paths", "unsloth-hf", "--steps", "2", "--warm-up", "1", cold=True,
    )  # fmt: skip
    refused(done, "bench train: unsloth could not run")
    assert "| unsloth-hf |" not in done.stdout


def test_what_was_measured_before_a_path_fails_is_printed_all_the_same():
    def measure(path: str, folder: Path) -> list[dict[str, str]]:
        if path == "second":
            raise HarnessError("it failed")
        return [{"path": path}]

    drawn = []
    with pytest.raises(HarnessError, match="it failed"):
        common.measured("train", ["first", "second", "third"], measure, drawn.extend)
    assert drawn == [{"path": "first"}]


def test_reports_and_their_comparison_are_measured(tmp_path):
    runs = [reported(tmp_path, ["right"] * 30, ["wrong"] * 30, f"lora.r={rank}").path for rank in (1, 2)]
    done = harness("bench", "report", *runs, tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [
        *(run.name for run in runs), "all 2", "their comparison",
    ]  # fmt: skip
