"""One training in several processes: the same step as in one, its records and resume points, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from harness.config import loading
from harness.runs import directory, machine, training
from harness.runs import stages as run_stages
from harness.runs.directory import RunDir
from harness.train import ranks, resume
from harness.util import locks
from harness.util.errors import HarnessError
from tests.conftest import HANG, ROOT, harness, started, wait_until, without_gpu
from tests.e2e.test_run import lines

ONE_STEP = (
    "train.steps=1", "train.prompts_per_step=4", "train.generations=4", "train.micro_batch=2", "train.loss_type=dapo",
    "train.beta=0.04", "track.mode=disabled",
)  # fmt: skip

# Instead of sampling, completions of fixed and different lengths, by prompt and place in its group.
STORED = """
import sys
from trl import GRPOTrainer
from harness.train.__main__ import main
from harness.util.cli import exit_code

def stored(self, prompt_ids, images, multimodal_fields, has_tool_images=False):
    seen, made = {}, []
    for ids in prompt_ids:
        place = seen[tuple(ids)] = seen.get(tuple(ids), 0) + 1
        length = 3 + (7 * place + sum(ids)) % 23
        text = [20 + (place * token + sum(ids)) % 100 for token in range(length)]
        made.append([*text, self.processing_class.eos_token_id])
    return made, None

GRPOTrainer._generate_single_turn = stored
sys.exit(exit_code(main))
"""
REWARD = "def length(completions, **columns):\n    return [float(len(each[0]['content'])) for each in completions]\n"


def trained(tmp_path: Path, processes: int) -> RunDir:
    """A training of one step on stored rollouts, in so many processes."""
    (tmp_path / "own.py").write_text(REWARD)
    (tmp_path / "stored.py").write_text(STORED)
    reward = f"rewards.functions=[{{name: {tmp_path}/own.py:length}}]"
    run = directory.open_run("quickstart", [*ONE_STEP, f"train.processes={processes}", reward], tmp_path)
    arguments = [str(tmp_path / "stored.py"), str(run.path), "--seed", "3407"]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with locks.lock(run.path):
        environment = run_stages.stage_environment(run) | {"PYTHONPATH": path}
        if processes == 1:
            done = subprocess.run([sys.executable, *arguments], env=environment, timeout=HANG)
            assert done.returncode == 0
        else:
            assert ranks.run(arguments, environment, processes, 1) is None
    return run


@without_gpu
def test_two_processes_take_the_step_that_one_takes(tmp_path):
    alone, together = (trained(tmp_path, processes) for processes in (1, 2))
    (one,), (two,) = (training.read_metrics(run.train(3407) / "metrics.jsonl") for run in (alone, together))
    for name in ("loss", "reward", "reward_std", "grad_norm", "completions/mean_length", "rollout/accuracy"):
        assert two.numbers[name] == pytest.approx(one.numbers[name], rel=1e-4, abs=1e-6), name
    assert one.numbers["loss"] != 0 and one.numbers["grad_norm"] > 0
    weights = [load_file(run.adapter(3407) / "adapter_model.safetensors") for run in (alone, together)]
    assert weights[0].keys() == weights[1].keys()
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=1e-3, atol=1e-6)
    kept = [training.read_rollouts(run.train(3407)) for run in (alone, together)]
    assert kept[0] == kept[1] and len(kept[0]) == 4


@without_gpu
def test_a_training_in_two_processes_ends_alike_after_a_kill(tmp_path):
    settings = (
        "train.steps=4", "train.prompts_per_step=2", "train.generations=4", "train.loss_type=dapo",
        "train.resume_every=1", "train.processes=2", "track.mode=disabled",
    )  # fmt: skip
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    assert harness("train", "exp/quickstart.yaml", *settings, "--results", straight).returncode == 0
    process = started("train", "exp/quickstart.yaml", *settings, "--results", killed)
    wait_until(lambda: any(lines(file) >= 2 for file in killed.glob("*/train/seed-3407/metrics.jsonl")), process)
    process.kill()
    process.wait()
    (run,) = killed.glob("quickstart-*")
    assert not (run / "train/seed-3407/adapter").exists()
    assert harness("train", "exp/quickstart.yaml", *settings, "--results", killed).returncode == 0
    assert "(1 done already)" in (log := (run / "log.txt").read_text()) or "(2 done already)" in log
    folders = [place / run.name / "train/seed-3407" for place in (straight, killed)]
    weights = [(folder / "adapter/adapter_model.safetensors").read_bytes() for folder in folders]
    assert weights[0] == weights[1]
    point = resume.points(folders[0] / "checkpoints")[4]
    assert {f"rng_state_{rank}.pth" for rank in range(2)} <= {file.name for file in point.iterdir()}
    given = json.loads((folders[0] / "effective_settings.json").read_text())
    assert given["completions_per_step"] == {"asked": 8, "effective": 8}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("train.processes=3", "train.loss_type=dapo"), "train.processes: 3 does not divide the 64 completions"),
        (("train.processes=2",), "train.loss_type: bnpo divides by the tokens of one process"),
        (("train.processes=2", "train.loss_type=grpo", "train.micro_batch=64"), "32 for each of 2 processes"),
        (
            ("train.processes=2", "train.loss_type=grpo", "train.prompts_per_step=1"),
            "train.processes: 2 does not divide the 1 prompts of a step, so that a group would lie in two processes",
        ),
        (
            ("train.processes=2", "train.loss_type=grpo", "train.backend=unsloth", "model.precision=bf16"),
            "train.processes: unsloth trains in one process",
        ),
    ],
)
def test_what_cannot_be_right_in_several_processes_is_refused(settings, said):
    with pytest.raises(HarnessError) as error:
        loading.load(ROOT / "experiments/quickstart.yaml", list(settings))
    assert said in str(error.value)


def test_too_few_gpus_are_said_before_the_first_evaluation(monkeypatch):
    config = loading.load(ROOT / "experiments/quickstart.yaml", ["train.processes=2", "train.loss_type=grpo"])
    monkeypatch.setattr(machine, "given_gpus", lambda: ["0"])
    assert machine.cannot_run(config) == (
        "train.processes: 2 need as many GPUs, and there are 1; lower it, or use more"
    )
    with pytest.raises(HarnessError, match="2 need as many GPUs, and there are 1"):
        ranks.run([], {}, 2, 1)


def test_one_process_keeps_the_name_of_a_run():
    file = ROOT / "experiments/quickstart.yaml"
    one, two = (loading.load(file, [f"train.processes={count}", "train.loss_type=grpo"]) for count in (1, 2))
    assert one.digest() == loading.load(file, ["train.loss_type=grpo"]).digest() != two.digest()
