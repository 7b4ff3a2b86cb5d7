"""A control (rewards.control) in real runs: with random rewards, killed and resumed; added to a finished run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.config import loading
from harness.cost import estimate
from harness.report import summary
from harness.runs import directory, seals
from harness.runs import stages as run_stages
from harness.runs.directory import RunDir
from harness.tasks.benchmarks import gsm8k
from harness.track.reader import Reader
from harness.util import files
from harness.util.errors import HarnessError
from harness.watch import progress
from tests.conftest import SMALL, harness, made_once, refused
from tests.e2e.test_run import kill_when, lines

SEEDS = (3407, 1)
TWINS = (
    *SMALL, "eval.limit=12", "train.steps=3", "train.save_steps=3", "train.resume_every=1", "train.seeds=[3407,1]",
    "rewards.control=random",
)  # fmt: skip


@pytest.fixture(scope="module")
def random_twins(tmp_path_factory) -> Path:
    """A complete run of two seeds with random controls, killed with -9 in the training of the second. For reading."""

    def make(results: Path) -> None:
        kill_when(results, lambda run: lines(run / "train/control-1/metrics.jsonl") >= 2, "second control", *TWINS)
        (run,) = results.glob("quickstart-*")
        assert (run / "train/control-3407/adapter").exists() and not (run / "train/control-1/adapter").exists()
        done = harness("run", "exp/quickstart.yaml", *TWINS, "--results", results)
        assert done.returncode == 0, done.stderr
        assert "[4/7] training (control of seed 3407): done already." in done.stdout
        assert "[5/7] training (control of seed 1)\n" in done.stdout

    (run,) = made_once(tmp_path_factory, "random_twins", make).glob("quickstart-*")
    return run


def test_a_control_killed_and_resumed_ends_as_one_that_was_not(random_twins, tmp_path):
    straight = harness("train", "exp/quickstart.yaml", *TWINS, "--control", "--seed", "1", "--results", tmp_path)
    assert straight.returncode == 0, straight.stderr
    (other,) = tmp_path.glob("quickstart-*")
    assert not (other / "train/seed-1").exists() and not (other / "train/control-3407").exists()
    weights = "train/control-1/adapter/adapter_model.safetensors"
    assert (other / weights).read_bytes() == (random_twins / weights).read_bytes()


def test_random_controls_have_their_folders_their_rewards_and_their_interval(random_twins):
    run = directory.existing(random_twins)
    hashes = {files.file_hash(arm.adapter(seed) / "adapter_model.safetensors") for arm in run.arms for seed in SEEDS}
    assert len(hashes) == 4
    for seed in SEEDS:
        rows = [files.read_lines(arm.train(seed) / "metrics.jsonl") for arm in run.arms]
        own = {name for name in rows[1][0] if name.startswith("rewards/")}
        assert own == {"rewards/random/mean", "rewards/random/std"} and 0 < rows[1][0]["reward"] < 1
        # The same questions, and until the first step's weights the same completions.
        assert rows[0][0]["num_tokens"] == rows[1][0]["num_tokens"]
        assert rows[0][0]["rollout/accuracy"] == rows[1][0]["rollout/accuracy"]
        assert (run.control.tuned(seed) / "proof.json").exists()
    found = summary.read(run.path).control
    d = found.difference.accuracy
    assert found.reward == "random" and len(d.per_seed) == len(found.train) == 2 and d.low <= d.value <= d.high
    gains = summary.read(run.path).difference.accuracy.value - found.gain.accuracy.value
    assert d.value == pytest.approx(gains)
    assert "## Against a control" in run.report.read_text()
    assert seals.whole(run) and "train/control-1/adapter/adapter_model.safetensors" in run.read_manifest().seals


def test_list_tracker_and_page_know_the_control(random_twins):
    run = directory.existing(random_twins)
    stands = progress.of(run)
    assert [name for name, _ in stands.stages] == [
        "base evaluation", "training (seed 3407)", "training (seed 1)", "training (control of seed 3407)",
        "training (control of seed 1)", "tuned evaluation", "report",
    ]  # fmt: skip
    assert set(stands.rewards) == {"seed 3407", "seed 1", "control of seed 3407", "control of seed 1"}
    shown = {key for each in Reader(run, following=False).new() for key in each.numbers}
    assert {"train/seed-1/reward", "train/control-1/reward", "tuned/control-3407/accuracy"} <= shown


def test_a_control_is_added_to_a_finished_run_and_changes_none_of_its_numbers(finished, tmp_path):
    results = tmp_path / "results"
    for name in (finished.name, ".base"):
        shutil.copytree(finished.parent / name, results / name)
    before, kept = files.read_json(finished / "summary.json"), finished / "train/seed-3407/metrics.jsonl"
    command = ("run", "exp/quickstart.yaml", *SMALL, "--results", results)
    done = harness(*command, "rewards.control=format_only")
    assert done.returncode == 0, done.stderr
    assert "training: done already" in done.stdout and "training (control of seed 3407)\n" in done.stdout
    run = directory.existing(results / finished.name)
    after = files.read_json(run.summary)
    assert after.pop("control")["reward"] == "format_only" and after == before
    assert (run.train(3407) / "metrics.jsonl").read_bytes() == kept.read_bytes()
    columns = set(files.read_lines(run.control.train(3407) / "metrics.jsonl")[0])
    assert {"rewards/format_exact/mean", "rewards/format_approximate/mean"} <= columns
    assert "rewards/check_answer/mean" not in columns
    refused(harness(*command, "rewards.control=random"), "the control's reward changed since this run began")


# --- without a model


def opened(tmp_path, *overrides: str) -> RunDir:
    return directory.open_run("quickstart", list(overrides), tmp_path)


def test_a_control_is_not_in_the_name_of_a_run():
    file = loading.find_experiment("quickstart")
    assert loading.load(file, ["rewards.control=random"]).digest() == loading.load(file).digest()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("train.on_drift=stop",), "rewards.control: a training that is stopped has no control of as many steps"),
        (("eval.curve=true", "train.checkpoint=best_dev"), "set train.checkpoint to last"),
        (
            ("model.full_finetuning=true", "eval.engine=vllm", "eval.precision=bf16"),
            "give one seed and no rewards.control",
        ),
    ],
)
def test_what_a_control_does_not_go_with_is_one_line(settings, said):
    with pytest.raises(HarnessError) as error:
        loading.load(loading.find_experiment("quickstart"), ["rewards.control=random", *settings])
    assert said in str(error.value)


def test_without_one_there_is_none_to_train(tmp_path):
    refused(harness("train", opened(tmp_path).path, "--control"), "--control: ", "set rewards.control")


def test_the_tuned_evaluation_waits_for_the_controls(tmp_path):
    from harness.evaluate import evaluation

    run = opened(tmp_path, "rewards.control=random")
    run.adapter(3407).mkdir(parents=True)
    (stage,) = [stage for stage in run_stages.stages(run) if stage.command[-1] == "--control"]
    assert stage.outcomes == [run.path / "train/control-3407/adapter"] and not stage.done
    with pytest.raises(HarnessError, match=r"control of seed 3407 is not trained yet; .* --control"):
        evaluation.evaluate(run, "tuned")


def test_the_plan_names_the_control(tmp_path):
    done = harness("run", "quickstart", "rewards.control=format_only", "--dry-run", "--results", tmp_path)
    said = "Control: each training once more, on rewards for the format alone, evaluated as tuned is."
    assert done.returncode == 0 and said in done.stdout


def test_a_control_costs_as_much_again():
    alone, twice = (
        loading.load(loading.find_experiment("quickstart"), [f"rewards.control={kind}"]) for kind in ("null", "random")
    )
    assert (alone.trainings, twice.trainings) == (1, 2)
    assert list(estimate.lines(twice, gsm8k.load(twice.data.source()), []))
