"""The vLLM engine's own logic, over a stand-in for vLLM (see fake_vllm); tests/gpu has the real one."""

from __future__ import annotations

import dataclasses
import os
from types import SimpleNamespace

import pytest
import torch

from harness.config import loading
from harness.evaluate import adapter_proof, evaluation
from harness.models import engine, hf_engine, vllm_engine
from harness.models.checkpoint import Checkpoint
from harness.models.lora import adapter_weights
from harness.models.vllm_engine import VllmEngine
from harness.runs import machine
from harness.runs.directory import RunDir
from harness.util import files
from harness.util.errors import BusyError, HarnessError
from tests import fake_vllm
from tests.conftest import harness, refused, without_gpu
from tests.models.test_hf_engine import CHECKPOINT, MODULES, STOPS, adapter, prove, requests, sampling, texts
from tests.models.test_hf_engine import ids as ids
from tests.models.test_hf_engine import questions as questions

__all__ = ["ids", "questions"]  # fixtures

CONFIG = loading.load(
    loading.find_experiment("quickstart"),
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
    plain = hf_engine.TransformersEngine(questions.checkpoint, questions.tokenizer, "fp32", 4)
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
    assert figures.modules_loaded == figures.modules == MODULES
    assert figures.correlation_amplified > 0.99
    good = adapter_proof.reference(CHECKPOINT, adapter(tmp_path / "again", 0.01), ids, STOPS, "fp32")
    wrong = adapter(tmp_path / "wrong", 0.01, rename="language_model.layers")
    with pytest.raises(HarnessError, match=f"loaded 0 of the adapter's {MODULES} modules: language_model"):
        adapter_proof.prove(running, wrong, good)


@pytest.mark.parametrize("part", ["k_proj.lora_A", "k_proj.lora_B", "down_proj.lora_A"])
def test_a_module_with_other_numbers_than_its_file_is_not_loaded(running, tmp_path, part):
    folder = adapter(tmp_path, 0.01)
    request = running._request(folder)
    running.llm.add_lora(request)
    weights = adapter_weights(folder)
    key = next(key for key in weights if part in key)
    weights[key] = weights[key] * 1.01
    model = running.llm.apply_model(lambda model: model)[0]
    found = vllm_engine.loaded_modules(model, request.lora_int_id, weights, 2.0)
    assert len(found) == MODULES - 1 and key.partition(".lora_")[0] not in found


def test_names_are_mapped_as_vllm_maps_them(running, tmp_path):
    """A multimodal class keeps its text layers under another name than the checkpoint's, and so the adapter's."""
    folder = adapter(tmp_path, 0.01)
    request = running._request(folder)
    running.llm.add_lora(request)
    model = running.llm.apply_model(lambda model: model)[0]
    weights = {key.replace("model.layers", "model.text.layers"): w for key, w in adapter_weights(folder).items()}
    assert not vllm_engine.loaded_modules(model, request.lora_int_id, weights, 2.0)
    model.hf_to_vllm_mapper = SimpleNamespace(get_unstacked_mapper=lambda: lambda name: name.replace("text.", ""))
    assert len(vllm_engine.loaded_modules(model, request.lora_int_id, weights, 2.0)) == MODULES


def test_lost_and_aborted_requests_are_no_completions(running, questions, ids, monkeypatch):
    settings = sampling(questions, max_new_tokens=4)
    output = fake_vllm.LLM._output

    def aborted(self, *entry):
        made = output(self, *entry)
        made.outputs[0].finish_reason = "abort"
        return made

    monkeypatch.setattr(fake_vllm.LLM, "_output", aborted)
    with pytest.raises(RuntimeError, match="ended a request with reason 'abort'"):
        list(running.generate(requests(ids), settings, None, ()))
    monkeypatch.setattr(fake_vllm.LLM, "step", lambda self: self.queue.clear() or [])
    with pytest.raises(RuntimeError, match="lost requests"):
        list(running.generate(requests(ids), settings, None, ()))


def test_what_is_asked_of_vllm_is_what_the_experiment_says(running, questions):
    greedy = running._params(sampling(questions, max_new_tokens=9), 77)
    assert dataclasses.asdict(greedy) == {
        "max_tokens": 9, "temperature": 0.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "seed": None,
        "stop_token_ids": list(STOPS), "ignore_eos": True, "detokenize": False, "prompt_logprobs": None,
    }  # fmt: skip
    drawn = running._params(sampling(questions, temperature=0.7, top_p=0.9, top_k=64, min_p=0.1), 77)
    found = (drawn.temperature, drawn.top_p, drawn.top_k, drawn.min_p, drawn.seed)
    assert found == (0.7, 0.9, 64, 0.1, 77)


def test_vllms_switches_are_set_and_those_of_the_user_are_part_of_the_conditions(monkeypatch):
    for name in [name for name in os.environ if name.startswith("VLLM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(vllm_engine.os, "environ", dict(os.environ))
    plain = vllm_engine.describe(CONFIG.eval, WORK)
    vllm_engine.environment(CONFIG.eval)
    assert os.environ["VLLM_BATCH_INVARIANT"] == "1" and os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    assert os.environ["VLLM_LOGGING_LEVEL"] == "ERROR"
    assert vllm_engine.describe(CONFIG.eval, WORK) == plain
    os.environ["VLLM_LOGGING_LEVEL"] = "INFO"
    assert vllm_engine.describe(CONFIG.eval, WORK) == plain
    os.environ["VLLM_ATTENTION_BACKEND"] = "TRITON_ATTN"
    assert "VLLM_ATTENTION_BACKEND=TRITON_ATTN" in vllm_engine.describe(CONFIG.eval, WORK)
    variant = CONFIG.eval.model_copy(update={"batch_invariant": False})
    assert vllm_engine.describe(variant, WORK) != vllm_engine.describe(CONFIG.eval, WORK)
    vllm_engine.environment(variant)
    assert os.environ["VLLM_BATCH_INVARIANT"] == "0"


def test_an_adapter_is_known_by_its_content(running, tmp_path):
    first, second = running._request(adapter(tmp_path / "a", 0.01)), running._request(adapter(tmp_path / "a", 0.02))
    assert first.lora_path == second.lora_path
    assert (first.lora_name, first.lora_int_id) != (second.lora_name, second.lora_int_id)
    moved = running._request(adapter(tmp_path / "b", 0.01))
    assert (moved.lora_name, moved.lora_int_id) == (first.lora_name, first.lora_int_id)
    assert moved.lora_path == str(tmp_path / "b")


def test_an_evaluation_goes_on_where_it_stopped_and_shares_its_base(llm, tmp_path, monkeypatch):
    """The stage itself, stopped after some completions: the same rows as in an uninterrupted run, each made once."""
    straight, stopped = RunDir(tmp_path / "a" / "run", CONFIG), RunDir(tmp_path / "b" / "run", CONFIG)
    evaluation.evaluate(straight, "base")
    step = fake_vllm.LLM.step

    def breaking(self):
        if self.asked - len(self.queue) > 6:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(fake_vllm.LLM, "step", breaking)
    with pytest.raises(KeyboardInterrupt):
        evaluation.evaluate(stopped, "base")
    (log,) = stopped.shared_bases.glob("*/samples.jsonl")
    kept = files.read_lines(log)
    assert 0 < len(kept) < 10
    monkeypatch.setattr(fake_vllm.LLM, "step", step)
    evaluation.evaluate(stopped, "base")
    assert files.read_lines(log)[: len(kept)] == kept and len(files.read_lines(log)) == 10
    results = [files.read_json(run.base / "result.json") for run in (straight, stopped)]
    assert results[0] == results[1]
    other = RunDir(tmp_path / "b" / "other", CONFIG)
    starts = len(llm.started)
    evaluation.evaluate(other, "base")
    assert len(llm.started) == starts


def test_how_it_starts_follows_the_work_and_the_settings(llm, questions, tmp_path):
    section = CONFIG.eval
    small, large = WORK, dataclasses.replace(WORK, completions=1319, longest=990, lora_rank=0)
    assert vllm_engine.llm_settings(section, CHECKPOINT, small) == {
        "model": str(CHECKPOINT.path), "dtype": "bfloat16", "load_format": "safetensors", "max_model_len": 512,
        "gpu_memory_utilization": 0.9, "enforce_eager": False, "generation_config": "vllm",
        "language_model_only": False, "use_tqdm_on_load": False, "seed": 0, "attention_backend": "TRITON_ATTN",
        "enable_lora": True, "max_loras": 1, "max_lora_rank": 8,
    }  # fmt: skip
    full = section.model_copy(update={"max_new_tokens": 768})
    settings = vllm_engine.llm_settings(full, CHECKPOINT, large)
    assert not settings["enforce_eager"] and settings["max_model_len"] == 1024 and "enable_lora" not in settings
    variant = full.model_copy(update={"batch_invariant": False})
    assert "attention_backend" not in vllm_engine.llm_settings(variant, CHECKPOINT, large)
    assert vllm_engine.eager(variant, small) and not vllm_engine.eager(variant, large)
    assert vllm_engine.eager(variant.model_copy(update={"enforce_eager": True}), large)
    beyond = dataclasses.replace(large, longest=1500)
    assert vllm_engine.llm_settings(full, CHECKPOINT, beyond)["max_model_len"] == CHECKPOINT.context == 1024
    (tmp_path / "config.json").write_text('{"text_config": {}, "vision_config": {}}')
    assert vllm_engine.llm_settings(section, Checkpoint("m", tmp_path), small)["language_model_only"]
    assert vllm_engine.describe(variant, small) != vllm_engine.describe(variant, large)  # eager and compiled


def test_on_a_large_gpu_there_is_a_cuda_graph_for_all_requests_that_run_at_a_time(llm, monkeypatch):
    def started(gib, **changes):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (gib * 2**30, gib * 2**30))
        return vllm_engine.llm_settings(CONFIG.eval.model_copy(update=changes), CHECKPOINT, WORK)

    large = started(79)
    sizes = large["compilation_config"]["cudagraph_capture_sizes"]
    assert sizes == sorted(set(sizes)) and sizes[-1] == large["max_num_seqs"] == 1024
    for other in (started(48), started(79, enforce_eager=True)):
        assert not {"max_num_seqs", "compilation_config"} & set(other)


def test_a_tuned_evaluation_that_was_begun_with_another_engine_does_not_go_on(llm, tmp_path, monkeypatch):
    run = RunDir(tmp_path / "run", CONFIG)
    adapter(run.adapter(3407), 1e-3)
    evaluation.evaluate(run, "base")
    evaluation.evaluate(run, "tuned")
    (run.tuned(3407) / "result.json").unlink()
    evaluation.evaluate(run, "tuned")
    monkeypatch.setattr(vllm_engine, "describe", lambda section, work: "another GPU")
    with pytest.raises(HarnessError, match=r"under different conditions \(engine: .*delete base/ and tuned/"):
        evaluation.evaluate(run, "tuned")
    (run.base / "result.json").unlink()
    with pytest.raises(HarnessError, match="was begun with another engine"):
        evaluation.evaluate(run, "tuned")


def test_too_little_memory_is_one_line_that_names_the_setting(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for free, total, share in ((3, 24, 0.11), (24, 80, 0.27), (80, 80, 0.9)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda numbers=(free * 2**30, total * 2**30): numbers)
        assert vllm_engine.memory_share(CONFIG.eval, CHECKPOINT) == share
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1 * 2**30, 24 * 2**30))
    with pytest.raises(HarnessError, match=r"gpu_memory_utilization: tiny needs about 2\.0 GiB and vLLM may take 0\.7"):
        vllm_engine.memory_share(CONFIG.eval, CHECKPOINT)


def test_of_a_shared_gpu_the_memory_does_not_depend_on_what_the_others_have_taken(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv(machine.SHARE, "0.5")
    needed = vllm_engine.needed_gib(CHECKPOINT)
    for free in (80, 42):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda numbers=(free * 2**30, 80 * 2**30): numbers)
        assert vllm_engine.memory_share(CONFIG.eval, CHECKPOINT) == 0.45
        settings = vllm_engine.llm_settings(CONFIG.eval, CHECKPOINT, WORK)
        assert settings["gpu_memory_utilization"] == 0.45
        assert settings["kv_cache_memory_bytes"] == int((36 - needed) * 2**30)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 80"),
            "0.9 of what was free; CUDA out of memory. Tried to allocate 2.00 GiB); lower the setting",
        ),
        (
            ValueError("Free memory on device cuda:0 (9.1/79.2 GiB) on startup is less than desired"),
            "another program takes or frees",
        ),
        (AssertionError("Error in memory profiling. Initial free memory 70 GiB"), "another program takes or frees"),
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
    assert isinstance(refusal.value, BusyError) is (says == "another program takes or frees")


def test_too_little_memory_on_a_gpu_that_others_use_may_be_enough_a_moment_later(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 30 * 2**30)
    for before, after, kind in ((49, 49, HarnessError), (40, 49, BusyError), (49, 40, BusyError)):
        free = iter([before, after])
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda free=free: (next(free) * 2**30, 80 * 2**30))
        with pytest.raises(HarnessError) as refusal, vllm_engine.memory_told("a.b", 0.5, "a.c"):
            raise ValueError("No available memory for the cache blocks. Try")
        assert type(refusal.value) is kind


def test_what_vllm_does_not_take_is_one_line_and_a_bug_stays_a_bug(llm, questions, monkeypatch):
    errors = iter([ValueError("Model architectures ['X'] are not\n supported"), RuntimeError("CUDA error: assert")])

    def refuse(self, **settings):
        raise next(errors)

    monkeypatch.setattr(fake_vllm.LLM, "__init__", refuse)
    with pytest.raises(HarnessError, match=r"does not start \(Model architectures \['X'\] are not supported\)"):
        VllmEngine(CONFIG.eval, questions.checkpoint, questions.tokenizer, WORK)
    with pytest.raises(RuntimeError, match="CUDA error"):
        VllmEngine(CONFIG.eval, questions.checkpoint, questions.tokenizer, WORK)


@without_gpu
def test_without_a_gpu_or_vllm_the_experiment_is_refused_at_once(tmp_path):
    asked = ("exp/quickstart.yaml", "eval.engine=vllm", "eval.precision=bf16", "--results", tmp_path / "r")
    refused(harness("run", *asked), "eval.engine: vllm needs an NVIDIA GPU", "eval.engine=transformers")
    assert not (tmp_path / "r").exists()
    refused(harness("evaluate", *asked, "--side", "base"), "eval.engine: vllm needs an NVIDIA GPU")
