"""Training by Unsloth on an NVIDIA GPU, on the embedded checkpoint. `pytest -m gpu -n 0` runs these too."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.config import schema
from harness.models import checkpoint, lora
from harness.runs import machine, training
from harness.util import files
from tests.conftest import HANG, ROOT, harness, memory_is_back, started

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not machine.gpus(), reason="needs an NVIDIA GPU"),
    pytest.mark.xdist_group("gpu"),
]

STEPS, EVERY = 12, 4
SMALL = (
    "train.backend=unsloth", "model.precision=bf16", "eval.precision=bf16", f"train.steps={STEPS}",
    f"train.resume_every={EVERY}", "train.gpu_memory_utilization=0.2",
)  # fmt: skip

# A library that changes a setting without a word, for which the changed attribute of a real trainer stands.
CHANGED = """
import sys
from pathlib import Path
from harness.runs import directory
from harness.train import unsloth_backend
from harness.util import locks
from harness.util.cli import exit_code

def main():
    run = directory.open_run("quickstart", sys.argv[2:], Path(sys.argv[1]))
    unsloth_backend.patch(run.path.parent / ".cache" / "unsloth")
    from harness.train import grpo
    build = grpo._build
    def changed(*arguments):
        trainer = build(*arguments)
        trainer.args.weight_decay = 0.5
        return trainer
    grpo._build = changed
    with locks.lock(run.path):
        grpo.train(run, run.config.train.seeds[0], unsloth_backend.BACKEND)

sys.exit(exit_code(main))
"""

# A card with room for the weights of the embedded model and hardly more.
SMALL_CARD = """
import sys
import torch
from harness.train import __main__ as train
from harness.util.cli import exit_code
torch.cuda.set_per_process_memory_fraction(48 * 2**20 / torch.cuda.mem_get_info()[1])
sys.exit(exit_code(train.main))
"""


@pytest.mark.parametrize("rollouts", ["vllm", "hf"])
def test_a_killed_training_goes_on_from_its_last_resume_point(tmp_path, rollouts):
    free = machine.gpus()[0].free
    model = Path(shutil.copytree(checkpoint.resolve(schema.ModelSection(id="tiny")).path, tmp_path / "model"))
    own = files.read_json(model / "generation_config.json")
    files.write_json(model / "generation_config.json", own | {"no_repeat_ngram_size": 1})
    command = ["train", "exp/quickstart.yaml", *SMALL, f"model.id={model}", f"train.rollouts={rollouts}"]
    command += ["--results", tmp_path]
    killed = started(*command)
    begun = ()
    while killed.poll() is None:
        begun = begun or tuple(tmp_path.glob("quickstart-*/train/seed-3407"))
        if begun and len(files.read_lines(begun[0] / "metrics.jsonl")) > EVERY:
            os.kill(killed.pid, signal.SIGKILL)
            break
        time.sleep(0.005)
    assert killed.wait() == -signal.SIGKILL
    (folder,) = begun
    assert not (folder / "adapter").exists()
    assert memory_is_back(free)
    again = harness(*command)
    assert again.returncode == 0, again.stdout + again.stderr
    assert [row["step"] for row in files.read_lines(folder / "metrics.jsonl")] == list(range(1, STEPS + 1))
    settings = files.read_json(folder / "effective_settings.json")
    assert all(pair["asked"] == pair["effective"] for pair in settings.values())
    assert settings["use_vllm"]["effective"] is (rollouts == "vllm")
    assert settings["weights"]["effective"] == "bfloat16"
    (run,) = tmp_path.glob("quickstart-*")
    manifest = files.read_json(run / "manifest.json")
    assert manifest["backends"] == {"training (seed 3407)": "unsloth"}
    assert 1 <= manifest["stages"]["training (seed 3407)"]["steps"] <= STEPS - EVERY
    weights = lora.adapter_weights(folder / "adapter")
    assert any(weight.abs().max() > 0 for name, weight in weights.items() if ".lora_B." in name)
    completions = [row["completion"].split() for row in training.read_rollouts(folder)]
    assert any(len(set(words)) < len(words) for words in completions)  # else by the checkpoint's own settings
    assert not list(ROOT.glob("unsloth_compiled_cache")) and not list(ROOT.glob("vllm_gen_lora*"))


def test_a_setting_that_the_library_changes_stops_the_run(tmp_path):
    overrides = [*SMALL, "train.rollouts=hf"]
    command = [sys.executable, "-c", CHANGED, str(tmp_path), *overrides]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 2, done.stderr
    assert "weight_decay (asked 0.1, got 0.5)" in done.stderr.splitlines()[-1]


def test_a_gpu_too_small_for_the_training_is_one_line(tmp_path):
    command = [sys.executable, "-c", SMALL_CARD, "exp/quickstart.yaml", *SMALL, "train.backend=trl"]
    done = subprocess.run([*command, "--results", tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 2, done.stderr
    assert "error: not enough memory (CUDA out of memory. Tried to allocate" in done.stderr.splitlines()[-1]
    assert "set train.micro_batch below 64" in done.stderr.splitlines()[-1]
