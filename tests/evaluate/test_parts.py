"""Evaluations in parts that run side by side: the result of one process, whoever makes what, whenever it is killed."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.config.schema import Config
from harness.evaluate import evaluation
from harness.models import registry
from harness.models.engine import Request
from harness.runs import directory
from harness.runs.completions import Part
from harness.util import files, locks
from harness.util.errors import HarnessError
from tests.conftest import environment, harness, refused

FEW = ("eval.limit=24", "eval.batch_size=4", "track.mode=disabled")


def result(results: Path, side: str = "base") -> bytes:
    (found,) = results.glob(f"quickstart-*/{side}/result.json")
    return found.read_bytes()


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> bytes:
    results = tmp_path_factory.mktemp("straight")
    assert harness("evaluate", "quickstart", *FEW, "--side", "base", "--results", results).returncode == 0
    return result(results)


def evaluated(results: Path, part: str | None = None) -> str:
    options = [] if part is None else ["--part", part]
    done = harness("evaluate", "quickstart", *FEW, "--side", "base", "--results", results, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("count", [2, 4])
def test_parts_make_the_result_of_one_process(straight, tmp_path, count):
    for number in range(count, 0, -1):
        assert not list(tmp_path.glob("quickstart-*/base/result.json"))
        evaluated(tmp_path, f"{number}/{count}")
    assert result(tmp_path) == straight
    assert not list(tmp_path.rglob("*.part-*"))


def test_it_does_not_matter_how_many_parts_there_were_before(straight, tmp_path):
    """As if a command in three parts had been killed, then one in two, and a process by itself made the rest."""
    assert "base, part 1/3 evaluation: 8 completions" in evaluated(tmp_path, "1/3")
    (log,) = tmp_path.glob(".base/*/samples.*.part-1-of-3.jsonl")
    torn = log.read_bytes()
    log.write_bytes(torn[: len(torn) // 2])
    assert "base, part 2/2 evaluation: " in evaluated(tmp_path, "2/2")
    assert "base evaluation: " in evaluated(tmp_path)
    assert result(tmp_path) == straight
    (log,) = tmp_path.glob(".base/*/samples.jsonl")
    keys = [(row["id"], row["sample"]) for row in files.read_lines(log)]
    assert len(keys) == len(set(keys)) == 24


def test_tuned_models_are_proven_once_and_checked_in_every_part(finished, tmp_path):
    run = tmp_path / "results" / finished.name
    shutil.copytree(finished, run)
    shutil.rmtree(run / "tuned")
    for number in (2, 1):
        done = harness("evaluate", run, "--side", "tuned", "--part", f"{number}/2")
        assert done.returncode == 0, done.stderr
        assert (run / "tuned/seed-3407/proof.json").exists() == ("Adapter proof" in done.stdout) == (number == 1)
    for name in ("result.json", "proof.json"):
        assert (run / "tuned/seed-3407" / name).read_bytes() == (finished / "tuned/seed-3407" / name).read_bytes()


def test_completions_of_another_adapter_are_never_joined(finished, tmp_path):
    run = tmp_path / "results" / finished.name
    shutil.copytree(finished, run)
    shutil.rmtree(run / "tuned")
    folder = run / "tuned/seed-3407"
    folder.mkdir(parents=True)
    row = files.read_lines(finished / "tuned/seed-3407/samples.jsonl")[0]
    files.write_lines(folder / "samples.0000aaaa.part-1-of-2.jsonl", [row | {"text": "of another adapter"}])
    done = harness("evaluate", run, "--side", "tuned")
    assert done.returncode == 0 and "tuned (seed 3407) evaluation: 48 completions" in done.stdout
    assert "of another adapter" not in (folder / "samples.jsonl").read_text()


def test_parts_that_end_at_the_same_moment_write_one_result(straight, tmp_path):
    run = directory.open_run("quickstart", FEW, tmp_path)
    with locks.lock(run.path) as held, locks.shared(run.path, held) as token, ThreadPoolExecutor(3) as pool:

        def evaluated_elsewhere(part: str) -> int:
            told = {locks.HELD: str((run.path / ".lock").resolve()), locks.TOKEN: token, locks.PART: part}
            return harness("evaluate", run.path, "--side", "base", "--part", part, env=environment() | told).returncode

        assert list(pool.map(evaluated_elsewhere, ("1/3", "2/3", "3/3"))) == [0, 0, 0]
    assert result(tmp_path) == straight


@pytest.mark.parametrize(("part", "said"), [("0/2", "'0/2'"), ("3/2", "'3/2'"), ("2", "'2'"), ("a/b", "'a/b'")])
def test_a_part_that_is_none_is_refused(tmp_path, part, said):
    refused(harness("evaluate", "quickstart", "--side", "base", "--part", part, "--results", tmp_path), said, "1/4")


def test_a_batch_stays_together_and_every_completion_is_in_one_part():
    section = Config(name="x").eval.model_copy(update={"engine": "transformers", "batch_size": 3})
    requests = [Request(index, sample, tuple(range(5 + index % 4)), 0) for index in range(10) for sample in range(2)]
    ids = [f"{(7 * index) % 10}" for index in range(10)]
    groups = registry.kind(section).inseparable(section, requests, ids)
    assert [len(group) for group in groups] == [3] * 6 + [2]
    assert sorted(map(id, requests)) == sorted(id(request) for group in groups for request in group)
    vllm = section.model_copy(update={"engine": "vllm"})
    by_id = registry.kind(vllm).inseparable(vllm, requests, ids)
    assert [ids[group[0].index] for group in by_id] == sorted(ids) and {len(group) for group in by_id} == {2}


def test_vllm_has_parts_only_if_a_completion_does_not_depend_on_its_batch(tmp_path):
    settings = ["eval.engine=vllm", "eval.precision=bf16", "eval.batch_invariant=false"]
    run = directory.open_run("quickstart", settings, tmp_path)
    with pytest.raises(HarnessError, match=r"without eval\.batch_invariant a completion depends on all others"):
        evaluation.evaluate(run, "base", Part(1, 2))
