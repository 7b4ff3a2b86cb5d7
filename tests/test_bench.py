"""The benchmarks run and print their tables; their figures are nobody's test."""

from __future__ import annotations

from tests.conftest import harness, refused


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
    refused(harness("bench", "eval", "exp/quickstart.yaml", "--paths", "raw,tgi"), "--paths: tgi")
    refused(harness("bench", "eval", "exp/quickstrt.yaml"), "did you mean exp/quickstart.yaml?")
