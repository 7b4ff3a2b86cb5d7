"""What a run will cost: measured rates are those of the reference, others are named as projected or not known."""

from __future__ import annotations

import pytest

from harness.config import loading
from harness.cost import estimate, memory, rates
from harness.run import inputs
from harness.runs import machine
from harness.runs.machine import Gpu
from harness.tasks.dataset import Data
from harness.tasks.records import Problem
from harness.util.errors import HarnessError
from tests.conftest import ROOT

H200 = Gpu(rates.H200, 139.8, 139.0, (9, 0), "580.0", (13, 0))
SMALL = Gpu("NVIDIA GeForce RTX 3050", 8.0, 7.5, (8, 6), "580.0", (13, 0))
QUESTIONS = tuple(Problem(str(number), "?", "1") for number in range(1319))
DATA = Data((), (), QUESTIONS, 0, "GSM8K")


def configured(name: str, *overrides: str):
    return loading.load(loading.find_experiment(name), list(overrides))


def said(monkeypatch, config, gpu: Gpu | None, count: float | None) -> str:
    monkeypatch.setattr(memory, "parameters", lambda config: count)
    return "\n".join(estimate.lines(config, DATA, [gpu] if gpu else []))


@pytest.mark.parametrize("row", [*rates.TRAININGS, *rates.EVALUATIONS], ids=str)
def test_every_rate_stands_in_the_measurements(row):
    """As written there, in a line of its file."""
    lines = (ROOT / "results/reference" / row.source).read_text().splitlines()
    if isinstance(row, rates.Training):
        found = [line for line in lines if "|" in line and _holds(line, row.first_step) and _holds(line, row.step)]
        assert found and all(
            any(_holds(line, number) for line in found) for number in (row.preparation, row.peak_gib) if number
        )
    else:
        assert any(f"{row.tokens_per_second:,}" in line for line in lines)
        assert any(_holds(line, row.start) for line in lines)


def _holds(line: str, number: float) -> bool:
    words = line.replace(",", " ").replace("|", " ").split()
    return any(word == f"{number:g}" or word == f"{number:.1f}" for word in words)


def test_what_was_measured_is_said_with_its_source(monkeypatch):
    config = configured("qwen2_5_0p5b")
    text = said(monkeypatch, config, H200, rates.QWEN)
    steps, seeds = config.train.steps, len(config.train.seeds)
    hours = seeds * (33 + 4.2 + (steps - 1) * 2.3) / 3600
    assert (
        f"{hours:.2f} h for {seeds} trainings (2.3 s a step, peak 65 GiB with vLLM's share; measured, h200.md)" in text
    )
    completions = 1319 * (1 + config.eval.noise_floor + seeds)
    most = 2 * 147 + completions * config.eval.max_new_tokens / 23_200
    assert f"{most / 3600:.2f} h for the evaluations, if every completion has" in text
    assert f"Together about {hours + most / 3600:.2f} h." in text


def test_another_size_is_projected_by_the_stated_rule(monkeypatch):
    larger = configured("qwen2_5_0p5b", "train.max_completion_tokens=1600", "model.max_seq_length=2048")
    text = said(monkeypatch, larger, H200, rates.QWEN)
    assert "projected from 128 completions of 400 tokens a step" in text and "11.2 s a step" in text
    smaller = configured("qwen2_5_0p5b", "train.max_completion_tokens=128")
    assert "2.3 s a step" in said(monkeypatch, smaller, H200, rates.QWEN)  # never shorter than what was measured


def test_what_was_not_measured_is_not_known(monkeypatch):
    config = configured("qwen2_5_0p5b")
    other = said(monkeypatch, config, SMALL, rates.QWEN)
    assert other.count("not known") == 2 and "Together" not in other and " h " not in other
    assert "not known" in said(monkeypatch, config, H200, 1.5e9)
    assert "size of its weights" in said(monkeypatch, config, H200, None)
    assert said(monkeypatch, config, None, rates.QWEN).startswith("Memory: at least about ")


def test_what_does_not_need_the_questions_is_known_without_them(monkeypatch):
    monkeypatch.setattr(memory, "parameters", lambda config: rates.QWEN)
    text = "\n".join(estimate.lines(configured("qwen2_5_0p5b"), None, [H200]))
    assert " h for 3 trainings (" in text and "follow from the number of questions, which is not known" in text
    assert "Together" not in text


def test_a_run_that_cannot_fit_is_refused_before_it_starts(monkeypatch, tmp_path):
    four = configured("grpo_r8")
    assert memory.cannot_fit(four, [H200]) is None and memory.cannot_fit(configured("quickstart"), []) is None
    assert "eval: the weights of google/gemma-3-4b-it alone take 8.0 GiB" in memory.cannot_fit(four, [SMALL])
    tight = Gpu("NVIDIA", 12.0, 12.0, (8, 0), "580.0", (13, 0))
    twice = configured("grpo_r8", "train.backend=trl")
    assert memory.cannot_fit(four, [tight]) is None
    assert "train: " in memory.cannot_fit(twice, [tight]) and "16.0 GiB" in memory.cannot_fit(twice, [tight])
    # The share is vLLM's in the evaluation: a training may fill the card.
    assert memory.cannot_fit(configured("gemma3_1b", "eval.gpu_memory_utilization=0.2"), [tight]) is None
    monkeypatch.setattr(machine, "cannot_run", lambda config: None)
    monkeypatch.setattr(machine, "gpus", lambda: [SMALL])
    with pytest.raises(
        HarnessError, match=r"8.0 GiB, and this machine has 7.2 GiB of GPU memory for them; set a smaller"
    ):
        inputs.check_inputs(four)
