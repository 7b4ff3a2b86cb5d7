"""train.on_drift: stop, on the embedded model: a reward for wrong answers ends its training early."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.config import loading
from harness.report import summary
from harness.runs import directory, training
from harness.util import files
from tests.conftest import harness, made_once

REWARD = """
from harness.scoring import score

def wrong(completions, answer, **columns):
    return [float(not score(made[0]["content"], gold).correct) for made, gold in zip(completions, answer)]
"""
STEPS = 24
SETTINGS = (
    "eval.limit=16", "data.dev=16", f"train.steps={STEPS}", "train.max_completion_tokens=40",
    "train.learning_rate=4e-3", "train.on_drift=stop", "train.save_steps=6", "eval.curve=true", "track.mode=disabled",
)  # fmt: skip


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> Path:
    """The run directory of a complete run whose training was stopped. For reading."""

    def make(place: Path) -> None:
        place.mkdir()
        (place / "wrong.py").write_text(REWARD)
        done = harness("run", "exp/quickstart.yaml", *SETTINGS, rewarded(place), "--results", place)
        assert done.returncode == 0, done.stderr
        assert f"of {STEPS} (train.on_drift: stop)." in done.stdout

    (run,) = made_once(tmp_path_factory, "stopped", make).glob("quickstart-*")
    return run


def rewarded(place: Path) -> str:
    return f"rewards.functions=[{{name: {place}/wrong.py:wrong}}]"


def test_it_ends_where_the_test_finds_the_fall_and_what_was_trained_is_scored(stopped):
    run = directory.existing(stopped)
    (seed,) = run.config.train.seeds
    ended, rows = training.read_stopped(run.train(seed)), training.read_metrics(run.train(seed) / "metrics.jsonl")
    assert ended.step == ended.drift.step == rows[-1].step == len(rows) < STEPS
    watched = training.Watched(rows)
    assert watched.drift(STEPS) == ended.drift and training.Watched(rows[:-1]).drift(STEPS) is None
    assert ended.drift.accuracy[1] < ended.drift.accuracy[0] and ended.drift.reward[1] > ended.drift.reward[0]
    kept = [step for step in (6, 12, 18) if step < ended.step]
    assert run.kept_steps(seed) == [*kept, ended.step] and run.evaluated(seed) == run.adapter(seed)
    curve = files.read_json(run.curve(seed) / "curve.json")
    assert [point["step"] for point in curve["points"]] == [0, *kept, ended.step] and curve["chosen"] == ended.step
    assert f"the state after step {ended.step} of {STEPS}" in (run.adapter(seed) / "README.md").read_text()
    assert f"- {ended.step} steps of 8 prompts" in (run.adapter(seed) / "README.md").read_text()


def test_every_number_that_is_told_is_that_of_the_steps_done(stopped):
    run = directory.existing(stopped)
    numbers, text = summary.read(stopped), run.report.read_text()
    step = numbers.train.steps
    assert numbers.train.asked == STEPS and numbers.identity.done == (step,)
    assert numbers.train.completions == step * 64
    first = text.partition("\n## ")[0]
    said = f"The training with seed 3407 was stopped after step {step} of {STEPS}: its reward had risen from "
    assert f"; {step} of {STEPS} steps of 64 completions;" in first and f"**{said}" in first
    assert said in run.page.read_text()
    assert f"(first and last 10% of {step} steps, {step * 64:,} completions)" in text
    assert f"the adapter after the last step, {step}, whatever the curve says" in text


def test_a_repeated_run_is_complete_and_a_killed_one_takes_no_step_more(stopped, tmp_path):
    again = harness("run", stopped)
    assert again.returncode == 0 and "complete, nothing to do" in again.stdout
    results = tmp_path / "results"
    shutil.copytree(stopped, results / stopped.name)
    run = directory.existing(results / stopped.name)
    folder = run.train(3407)
    kept = ("adapter/adapter_model.safetensors", "metrics.jsonl", "stopped.json")
    before = {name: (folder / name).read_bytes() for name in kept}
    shutil.rmtree(run.adapter(3407))  # as if killed after the last resume point
    training.stopped_file(folder).unlink()
    done = harness("train", run.path)
    assert done.returncode == 0, done.stderr
    assert {name: (folder / name).read_bytes() for name in kept} == before
    last = training.read_stopped(folder).step
    shutil.rmtree(run.adapter(3407))  # as if killed before it: some steps are taken again
    shutil.rmtree(folder / f"checkpoints/checkpoint-{last}")
    done = harness("train", run.path)
    assert done.returncode == 0, done.stderr
    del before["metrics.jsonl"]  # it has the seconds that each step took
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_only_stop_changes_the_name_of_a_run():
    off, warn, stop = (
        loading.load(loading.find_experiment("quickstart"), [f"train.on_drift={each}"])
        for each in ("off", "warn", "stop")
    )
    assert off.digest() == warn.digest() != stop.digest()


def test_with_several_steps_a_rollout_the_step_that_is_named_is_one_of_the_training():
    rows = [
        training.Metrics(
            step, {"reward": step + 0.1 * (step % 3), "rollout/accuracy": 1 - step / 50} if step % 2 else {}
        )
        for step in range(1, 41)
    ]
    assert training.Watched(rows).drift(20).step == 2 * 8 - 1  # the eighth rollout, of which two steps learn
