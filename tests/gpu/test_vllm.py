"""What only an NVIDIA GPU can show: the real vLLM on the embedded checkpoint. `pytest -m gpu -n 0` runs these."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

from harness.bench import evaluate
from harness.evaluate import adapter_proof
from harness.models import engine, hf_engine, registry
from harness.runs import machine
from harness.util import files
from harness.util.errors import HarnessError
from tests.conftest import harness, memory_is_back, refused, started
from tests.models.test_hf_engine import MODULES, STOPS, adapter, requests, sampling
from tests.models.test_hf_engine import questions as questions
from tests.models.test_vllm_engine import CONFIG

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
    pytest.mark.xdist_group("gpu"),
]

QUESTIONS = 300
NEAR_TIE = 0.5  # nats between two tokens in fp32 within which bf16 may take either
SAMPLED = (
    "eval.engine=vllm", "eval.precision=bf16", "eval.temperature=1.0", "eval.samples=4",
    "eval.gpu_memory_utilization=0.3",
)  # fmt: skip


@pytest.fixture(scope="module")
def running(questions):
    """Compiled, as a full evaluation runs. One engine for all tests: vLLM does not start twice in a process."""
    section = CONFIG.eval.model_copy(update={"gpu_memory_utilization": 0.3})
    work = engine.Work(completions=QUESTIONS, longest=300, lora_rank=4)
    return registry.load(section, questions.checkpoint, questions.tokenizer, work)


def completions(running, wanted, settings, adapter=None) -> dict[int, str]:
    return {c.index: c.text for batch in running.generate(wanted, settings, adapter, ()) for c in batch}


def test_vllm_and_transformers_differ_in_near_ties_alone(running, questions):
    prompts = [prompt.ids for prompt in questions.prompts[:QUESTIONS]]
    wanted, settings = requests(prompts), sampling(questions, max_new_tokens=72)
    plain = hf_engine.TransformersEngine(questions.checkpoint, questions.tokenizer, "bf16", 64)
    ours, theirs = completions(running, wanted, settings), completions(plain, wanted, settings)
    exact = hf_engine.load_base(questions.checkpoint, "fp32").cuda().eval()
    gaps = []
    for i, ids in enumerate(prompts):
        if ours[i] == theirs[i]:
            continue
        a, b = ([*questions.tokenizer.encode(t, add_special_tokens=False), STOPS[-1]] for t in (ours[i], theirs[i]))
        split = next(n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)
        with torch.inference_mode():
            table = torch.log_softmax(exact(torch.tensor([[*ids, *a[:split]]], device="cuda")).logits[0, -1], -1)
        gaps.append(abs(table[a[split]] - table[b[split]]).item())
    print(
        f"\n{len(gaps)} of {len(prompts)} completions differ; gaps in fp32 (nats): {sorted(round(g, 3) for g in gaps)}"
    )
    assert len(gaps) < len(prompts) / 5
    assert all(gap < NEAR_TIE for gap in gaps)


def test_the_proof_passes_for_a_real_adapter_and_fails_for_every_broken_copy(running, questions, tmp_path):
    good = adapter(tmp_path / "good", 1e-4)
    ids = [prompt.ids for prompt in questions.prompts]
    peft = adapter_proof.reference(questions.checkpoint, good, ids, STOPS, "bf16")
    figures = adapter_proof.prove(running, good, peft)
    print(f"\n{figures}")
    assert figures.modules_loaded == figures.modules == MODULES
    assert figures.correlation_amplified > 0.99
    for kind in evaluate.BROKEN:
        copy = evaluate.broken_copy(good, tmp_path / kind, kind)
        with pytest.raises(HarnessError, match=r"does not apply the adapter|loaded 0 of"):
            adapter_proof.prove(running, copy, peft)


@pytest.mark.parametrize("with_adapter", [False, True])
def test_a_completion_does_not_depend_on_what_shares_its_batch(running, questions, tmp_path, with_adapter):
    folder = adapter(tmp_path, 0.2) if with_adapter else None
    prompts = [prompt.ids for prompt in questions.prompts[:QUESTIONS]]
    settings = sampling(questions, max_new_tokens=72)
    together = completions(running, requests(prompts), settings, folder)
    alone = {}
    for start in range(0, QUESTIONS, 7):
        alone |= completions(running, requests(prompts)[start : start + 7], settings, folder)
    assert alone == together


def test_an_adapter_of_zeros_is_the_base(running, questions, tmp_path):
    """The remaining difference between base and tuned comes from the weights."""
    prompts = [prompt.ids for prompt in questions.prompts[:QUESTIONS]]
    wanted, settings = requests(prompts), sampling(questions, max_new_tokens=72)
    assert completions(running, wanted, settings, adapter(tmp_path, 0)) == completions(running, wanted, settings)


def test_sampling_follows_the_models_distribution(running, questions):
    """First tokens of many samples against softmax(logits / temperature), and top-k 1 against greedy."""
    ids = questions.prompts[0].ids
    wanted = requests([ids], samples=2000)
    drawn = sampling(questions, temperature=1.5, max_new_tokens=1)
    counts = Counter(c.text for batch in running.generate(wanted, drawn, None, ()) for c in batch)
    with torch.inference_mode():
        exact = hf_engine.load_base(questions.checkpoint, "fp32").cuda().eval()
        shares = torch.softmax(exact(torch.tensor([list(ids)], device="cuda")).logits[0, -1].float() / 1.5, -1)
    for token in shares.topk(5).indices.tolist():
        expected = shares[token].item()
        found = counts[questions.tokenizer.decode([token], skip_special_tokens=True)] / 2000
        assert abs(found - expected) < 4 * (expected * (1 - expected) / 2000) ** 0.5 + 0.01
    first = completions(running, wanted[:20], sampling(questions, temperature=1.5, top_k=1, max_new_tokens=20))
    assert set(first.values()) == set(completions(running, wanted[:1], sampling(questions, max_new_tokens=20)).values())


def test_a_killed_evaluation_goes_on_to_the_result_of_a_straight_one(tmp_path):
    """Kill -9 during the completions, then the same command: the rest is made, and no GPU memory stays allocated."""
    free = machine.gpus()[0].free
    command = ["evaluate", "exp/quickstart.yaml", "--side", "base", *SAMPLED, "--results"]
    killed = started(*command, tmp_path / "k")
    log: Path | None = None
    while killed.poll() is None:
        log = log or next((tmp_path / "k").glob(".base/*/samples.jsonl"), None)
        if log and log.read_bytes().count(b"\n") > 200:
            os.kill(killed.pid, signal.SIGKILL)
            break
        time.sleep(0.005)
    assert killed.wait() == -signal.SIGKILL
    kept = files.read_lines(log)
    print(f"\nkilled with {len(kept)} of 4800 completions on the disk")
    assert 200 < len(kept) < 4800
    assert memory_is_back(free)
    straight = started(*command, tmp_path / "s")  # in parallel with the other: starting takes most of the time
    again = harness(*command, tmp_path / "k")
    assert straight.wait() == again.returncode == 0, again.stderr
    assert f"base evaluation: {4800 - len(kept)} completions" in again.stdout
    assert files.read_lines(log)[: len(kept)] == kept
    results = [next((tmp_path / name).glob("quickstart-*/base/result.json")).read_bytes() for name in "ks"]
    assert results[0] == results[1]


def test_too_little_memory_is_one_line(tmp_path):
    done = harness(
        "evaluate", "exp/quickstart.yaml", "--side", "base", *SAMPLED[:-1], "eval.gpu_memory_utilization=0.01",
        "--results", tmp_path,
    )  # fmt: skip
    refused(done, "eval.gpu_memory_utilization: tiny needs about 2.0 GiB")


def test_one_engine_start_serves_the_base_and_several_adapters(running, questions, tmp_path):
    wanted, settings = requests([prompt.ids for prompt in questions.prompts[:40]]), sampling(questions)
    base = completions(running, wanted, settings)
    first, second = adapter(tmp_path / "1", 0.3), adapter(tmp_path / "2", 0.2)
    strong = completions(running, wanted, settings, first)
    other = completions(running, wanted, settings, second)
    assert len({tuple(texts.values()) for texts in (base, strong, other)}) == 3
    assert completions(running, wanted, settings, first) == strong
    assert completions(running, wanted, settings) == base
