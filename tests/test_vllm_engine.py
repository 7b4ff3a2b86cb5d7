"""The vLLM engine's own logic, over a stand-in for vLLM (see fake_vllm); tests/test_gpu.py has the real one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from harness import config, engine, evaluate, proof, rundir, vllm_engine
from harness.adapter import adapter_weights
from harness.errors import HarnessError
from harness.rundir import RunDir
from harness.vllm_engine import VllmEngine
from tests import fake_vllm
from tests.test_engine import CHECKPOINT, MODULES, STOPS, adapter, ids, prove, questions, requests, sampling, texts

__all__ = ["ids", "questions"]  # fixtures

CONFIG = config.load(
    config.find_experiment("quickstart"),
    ["eval.engine=vllm", "eval.precision=bf16", "eval.limit=10", "eval.max_new_tokens=40"],
)
WORK = engine.Work(completions=10, longest=300, lora_rank=4)


@pytest.fixture
def llm(monkeypatch):
    return fake_vllm.install(monkeypatch)


@pytest.fixture
def running(llm, questions):
    return VllmEngine(CONFIG.eval, questions.checkpoint, questions.tokenizer, WORK)


def test_completions_are_matched_to_their_requests_as_they_end(running, questions, ids):
    settings = sampling(questions, max_new_tokens=40)
    plain = engine.TransformersEngine(questions.checkpoint, questions.tokenizer, "fp32", 4)
    expected = [c for batch in plain.generate(requests(ids), settings, None, ()) for c in batch]
    batches = list(running.generate(requests(ids), settings, None, ()))
    assert len(batches) > 1
    found = {c.index: c for batch in batches for c in batch}
    for c in expected:
        assert dataclasses.replace(found[c.index], seconds=0) == dataclasses.replace(c, seconds=0)
    assert {c.finish_reason for c in found.values()} == {"stop", "length"}


def test_what_is_done_is_not_asked_again_and_what_is_left_is_aborted(running, questions, ids):
    settings = sampling(questions, max_new_tokens=4)
    batches = running.generate(requests(ids), settings, None, {(0, 0), (3, 0)})
    first = next(batches)
    batches.close()  # an error in whoever takes the completions
    assert running.llm.queue == []
    left = texts(running, requests(ids), settings, done={(c.index, c.sample) for c in first})
    assert len(left) == len(ids) - len(first)


def test_the_proof_passes_and_fails_as_on_the_other_engine(running, ids, tmp_path):
    figures = prove(running, adapter(tmp_path / "good", 1e-4), ids)
    assert figures["modules_loaded"] == figures["modules"] == MODULES
    assert figures["correlation_amplified"] > 0.99
    good = proof.reference(CHECKPOINT, adapter(tmp_path / "again", 0.01), ids, STOPS, "fp32")
    wrong = adapter(tmp_path / "wrong", 0.01, rename="language_model.layers")
    with pytest.raises(HarnessError, match=f"loaded 0 of the adapter's {MODULES} modules: language_model"):
        proof.prove(running, wrong, good)


def test_a_module_with_other_numbers_than_its_file_is_not_loaded(running, tmp_path):
    folder = adapter(tmp_path, 0.01)
    request = running._request(folder)
    running.llm.add_lora(request)
    weights = adapter_weights(folder)
    key = next(key for key in weights if "k_proj.lora_B" in key)
    weights[key] = weights[key] * 1.01
    model = running.llm.apply_model(lambda model: model)[0]
    found = vllm_engine.loaded_modules(model, request.lora_int_id, weights, 2.0)
    assert len(found) == MODULES - 1 and key.partition(".lora_")[0] not in found


def test_an_adapter_is_known_by_its_content(running, tmp_path):
    first, second = running._request(adapter(tmp_path / "a", 0.01)), running._request(adapter(tmp_path / "a", 0.02))
    assert first.lora_path == second.lora_path
    assert (first.lora_name, first.lora_int_id) != (second.lora_name, second.lora_int_id)
    moved = running._request(adapter(tmp_path / "b", 0.01))
    assert (moved.lora_name, moved.lora_int_id) == (first.lora_name, first.lora_int_id)
    assert moved.lora_path == str(tmp_path / "b")


def test_an_evaluation_goes_on_where_it_stopped_and_shares_its_base(llm, tmp_path, monkeypatch):
    """The stage itself, stopped after some completions: the same rows as in a straight run, each made once."""
    straight, stopped = RunDir(tmp_path / "a" / "run", CONFIG), RunDir(tmp_path / "b" / "run", CONFIG)
    evaluate.evaluate(straight, "base")
    step = fake_vllm.LLM.step

    def breaking(self):
        if self.asked - len(self.queue) > 6:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(fake_vllm.LLM, "step", breaking)
    with pytest.raises(KeyboardInterrupt):
        evaluate.evaluate(stopped, "base")
    (log,) = stopped.shared_bases.glob("*/samples.jsonl")
    kept = rundir.read_lines(log)
    assert 0 < len(kept) < 10
    monkeypatch.setattr(fake_vllm.LLM, "step", step)
    evaluate.evaluate(stopped, "base")
    assert rundir.read_lines(log)[: len(kept)] == kept and len(rundir.read_lines(log)) == 10
    results = [rundir.read_json(run.base / "result.json") for run in (straight, stopped)]
    assert results[0] == results[1]
    other = RunDir(tmp_path / "b" / "other", CONFIG)
    starts = len(llm.started)
    evaluate.evaluate(other, "base")
    assert len(llm.started) == starts


def test_how_it_starts_follows_the_work_and_the_settings(llm, questions):
    section = CONFIG.eval
    small, large = WORK, dataclasses.replace(WORK, completions=1319, lora_rank=0)
    assert vllm_engine.eager(section, small)
    assert not vllm_engine.eager(section.model_copy(update={"max_new_tokens": 768}), large)
    assert vllm_engine.eager(section.model_copy(update={"max_new_tokens": 768, "enforce_eager": True}), large)
    settings = vllm_engine.llm_settings(section, CHECKPOINT, small)
    assert settings["max_lora_rank"] == 8 and settings["enable_lora"]
    assert settings["max_model_len"] == 512 and not settings["language_model_only"]
    assert "enable_lora" not in vllm_engine.llm_settings(section, CHECKPOINT, large)
    with pytest.raises(HarnessError, match="up to rank 512"):
        vllm_engine.llm_settings(section, CHECKPOINT, dataclasses.replace(WORK, lora_rank=600))
    assert vllm_engine.describe(section, small) != vllm_engine.describe(
        section, dataclasses.replace(WORK, completions=9**9)
    )


def test_too_little_memory_is_one_line_that_names_the_setting(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (3 * 2**30, 24 * 2**30))
    assert vllm_engine.memory_share(CONFIG.eval, CHECKPOINT) == 0.11
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1 * 2**30, 24 * 2**30))
    with pytest.raises(HarnessError, match=r"gpu_memory_utilization: tiny needs about 2\.0 GiB and vLLM may take 0\.5"):
        vllm_engine.memory_share(CONFIG.eval, CHECKPOINT)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "lower the setting"),
        (ValueError("No available memory for the cache blocks. Try"), "raise the setting"),
        (ValueError("To serve at least one request ... KV cache is needed"), "lower eval.max_new_tokens"),
    ],
)
def test_vllms_own_ways_of_lacking_memory_are_one_line_too(llm, questions, monkeypatch, error, says):
    def refuse(self, **settings):
        raise error

    monkeypatch.setattr(fake_vllm.LLM, "__init__", refuse)
    with pytest.raises(HarnessError, match="gpu_memory_utilization") as refusal:
        VllmEngine(CONFIG.eval, questions.checkpoint, questions.tokenizer, WORK)
    assert says in str(refusal.value)


def test_without_a_gpu_or_vllm_the_experiment_is_refused_at_once(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    from tests.conftest import harness, refused

    done = harness("run", "exp/quickstart.yaml", "eval.engine=vllm", "eval.precision=bf16", "--results", tmp_path / "r")
    refused(done, "eval.engine: vllm needs an NVIDIA GPU", "eval.engine=transformers")
    assert not Path(tmp_path / "r").exists()
    done = harness(
        "evaluate",
        "exp/quickstart.yaml",
        "eval.engine=vllm",
        "eval.precision=bf16",
        "--side",
        "base",
        "--results",
        tmp_path / "r",
    )
    refused(done, "eval.engine: vllm needs an NVIDIA GPU")
