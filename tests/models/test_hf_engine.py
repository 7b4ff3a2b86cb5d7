"""The transformers engine on the embedded checkpoint, compared with plain transformers and PEFT."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import GenerationConfig

from harness.config import loading
from harness.evaluate import adapter_proof
from harness.models import checkpoint, engine, hf_engine, lora, prompts
from harness.models.engine import Request, Sampling
from harness.models.hf_engine import TransformersEngine
from harness.models.lora import adapter_weights
from harness.tasks.benchmarks import gsm8k
from harness.util.errors import HarnessError

CONFIG = loading.load(loading.find_experiment("quickstart"))
CHECKPOINT = checkpoint.resolve(CONFIG.model)
MODULES = 7 * CHECKPOINT.config["num_hidden_layers"]  # q, k, v, o, gate, up and down of every layer


@pytest.fixture(scope="module")
def questions():
    return prompts.prepare(CONFIG, gsm8k.load(CONFIG.data.source()))


@pytest.fixture(scope="module")
def ids(questions):
    return [prompt.ids for prompt in questions.prompts[:10]]


STOPS = tuple(prompts.stop_ids(CHECKPOINT, prompts.load_tokenizer(CHECKPOINT)))


def start(questions, batch_size: int = 4) -> TransformersEngine:
    return TransformersEngine(questions.checkpoint, questions.tokenizer, "fp32", batch_size)


@pytest.fixture(scope="module")
def running(questions):
    return start(questions)


def sampling(questions, **changes) -> Sampling:
    stops = tuple(prompts.stop_ids(questions.checkpoint, questions.tokenizer))
    greedy = {"max_new_tokens": 48, "temperature": 0.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "stop_ids": stops}
    return Sampling(**(greedy | changes))


def requests(ids, samples: int = 1) -> list[Request]:
    return [
        Request(i, k, tokens, engine.completion_seed(0, f"problem {i}", k))
        for i, tokens in enumerate(ids)
        for k in range(samples)
    ]


def texts(running, wanted, settings, adapter=None, done=()) -> dict[tuple[int, int], str]:
    batches = running.generate(wanted, settings, adapter, done)
    return {(c.index, c.sample): c.text for batch in batches for c in batch}


def adapter(folder: Path, spread: float, rename: str = "") -> Path:
    """A LoRA adapter for the tiny checkpoint with normal B of the given spread, saved by PEFT."""
    torch.manual_seed(0)
    model = get_peft_model(
        hf_engine.load_base(CHECKPOINT, "fp32"), LoraConfig(r=4, lora_alpha=8, target_modules="all-linear")
    )
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=spread) if spread else None
    model.peft_config["default"].base_model_name_or_path = "tiny"
    model.save_pretrained(folder, save_embedding_layers=False)
    if rename:
        weights = adapter_weights(folder)
        renamed = {key.replace("model.layers", rename): weight for key, weight in weights.items()}
        save_file(renamed, folder / "adapter_model.safetensors")
    return folder


def prove(running, folder: Path, ids) -> dict:
    return adapter_proof.prove(running, folder, adapter_proof.reference(CHECKPOINT, folder, ids, STOPS, "fp32"))


def test_greedy_completions_are_those_of_plain_generate(running, questions, ids):
    settings = sampling(questions)
    found = texts(running, requests(ids), settings)
    model = hf_engine.load_base(CHECKPOINT, "fp32").eval()
    for i, tokens in enumerate(ids):
        output = model.generate(
            torch.tensor([tokens]),
            generation_config=GenerationConfig(
                max_new_tokens=48, do_sample=False, eos_token_id=list(settings.stop_ids), pad_token_id=0
            ),
        )[0, len(tokens) :]
        assert found[i, 0] == questions.tokenizer.decode(output, skip_special_tokens=True)


def test_a_sampled_completion_depends_on_its_own_seed_alone(questions, ids):
    settings = sampling(questions, temperature=1.0)
    wanted = requests(ids, samples=3)
    small, large = texts(start(questions, 4), wanted, settings), texts(start(questions, 30), wanted[::-1], settings)
    assert small == large
    assert len({small[0, k] for k in range(3)} | {small[1, k] for k in range(3)}) > 2


def test_sampling_follows_the_models_distribution(running, questions, ids):
    """First tokens of many samples against softmax(logits), and top-k 1 against greedy."""
    wanted = requests(ids[:1], samples=600)
    found = [
        c.text
        for batch in running.generate(wanted, sampling(questions, temperature=1.0, max_new_tokens=1), None, ())
        for c in batch
    ]
    logits = running.base(torch.tensor([ids[0]])).logits[0, -1]
    probabilities = torch.softmax(logits.float(), -1)
    likely = probabilities.argmax().item()
    share = sum(text == questions.tokenizer.decode([likely]) for text in found) / len(found)
    p = probabilities[likely].item()
    assert 0.05 < p < 0.99, "the test needs a prompt whose first token is not certain"
    assert abs(share - p) < 4 * (p * (1 - p) / len(found)) ** 0.5
    greedy = texts(running, requests(ids), sampling(questions))
    assert texts(running, requests(ids), sampling(questions, temperature=1.0, top_k=1)) == greedy


def test_finish_reasons_and_token_counts(running, questions, ids):
    for batch in running.generate(requests(ids), sampling(questions, max_new_tokens=3), None, ()):
        for c in batch:
            assert (c.finish_reason, c.tokens) == ("length", 3)
    for batch in running.generate(requests(ids), sampling(questions), None, ()):
        for c in batch:
            assert c.finish_reason == "stop" and 3 < c.tokens < 48 and c.seconds > 0
            assert "<end_of_turn>" not in c.text


def test_a_resumed_evaluation_meets_the_batches_of_a_straight_one(running, questions, ids, monkeypatch):
    wanted, settings = requests(ids), sampling(questions)
    seen = []
    complete = TransformersEngine._complete

    def watched(self, batch, settings):
        seen.append([r.index for r in batch])
        return complete(self, batch, settings)

    monkeypatch.setattr(TransformersEngine, "_complete", watched)
    straight = texts(running, wanted, settings)
    whole, seen[:] = list(seen), []
    done = {(index, 0) for index in [*whole[0], whole[1][0]]}
    rest = texts(running, wanted, settings, done=done)
    assert seen == whole[1:]
    assert rest == {key: text for key, text in straight.items() if key not in done}


def test_log_probs_are_the_models_own_whatever_the_padding(running, ids):
    found = running.log_probs(ids, None)
    for tokens, row in zip(ids, found, strict=True):
        table = torch.log_softmax(running.base(torch.tensor([tokens])).logits[0, :-1], -1)
        wanted = table.gather(-1, torch.tensor(tokens[1:])[:, None])[:, 0]
        assert len(row) == len(tokens) - 1
        assert torch.allclose(torch.tensor(row), wanted, atol=1e-4)


def test_adapters_are_applied_one_at_a_time_and_taken_off_again(questions, ids, tmp_path):
    running, settings, wanted = start(questions), sampling(questions), requests(ids)
    base = texts(running, wanted, settings)
    strong, weak = adapter(tmp_path / "strong", 0.3), adapter(tmp_path / "weak", 1e-5)
    changed = texts(running, wanted, settings, strong)
    assert changed != base
    assert texts(running, wanted, settings, weak) == base
    assert texts(running, wanted, settings, strong) == changed
    assert texts(running, wanted, settings) == base
    merged = PeftModel.from_pretrained(hf_engine.load_base(CHECKPOINT, "fp32"), strong).merge_and_unload().eval()
    table = torch.log_softmax(merged(torch.tensor([ids[0]])).logits[0, :-1], -1)
    wanted_row = table.gather(-1, torch.tensor(ids[0][1:])[:, None])[:, 0]
    assert torch.allclose(torch.tensor(running.log_probs(ids[:1], strong)[0]), wanted_row, atol=1e-3)


def test_the_proof_passes_for_an_adapter_whose_effect_is_tiny(running, ids, tmp_path):
    figures = prove(running, adapter(tmp_path, 1e-4), ids)
    assert figures.modules == figures.modules_loaded == MODULES
    assert figures.correlation_amplified > 0.99
    assert figures.correlation_zeroed == figures.correlation_renamed == 0
    assert figures.adapter_change < 0.01 and figures.scale > 1
    assert figures.completions_changed_by_peft == figures.completions_changed > 0


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")
def test_the_proof_fails_for_names_that_match_nothing(running, ids, tmp_path):
    good = adapter_proof.reference(CHECKPOINT, adapter(tmp_path / "good", 0.01), ids, STOPS, "fp32")
    wrong = adapter(tmp_path / "wrong", 0.01, rename="language_model.layers")
    with pytest.raises(HarnessError, match=f"loaded 0 of the adapter's {MODULES} modules"):
        adapter_proof.prove(running, wrong, good)
    with pytest.raises(HarnessError, match=rf"{MODULES} of .* modules are not in tiny, such as language_model"):
        adapter_proof.reference(CHECKPOINT, wrong, ids, STOPS, "fp32")


def test_the_proof_fails_for_an_engine_that_leaves_the_adapter_out(questions, ids, tmp_path):
    class Deaf(TransformersEngine):
        def log_probs(self, sequences, adapter):
            return super().log_probs(sequences, None)

    deaf = Deaf(questions.checkpoint, questions.tokenizer, "fp32", 4)
    with pytest.raises(HarnessError, match="does not apply the adapter"):
        prove(deaf, adapter(tmp_path, 0.01), ids)


def test_the_proof_fails_for_an_engine_that_scores_with_the_adapter_and_generates_without(questions, ids, tmp_path):
    class Mute(TransformersEngine):
        def generate(self, requests, sampling, adapter, done):
            return super().generate(requests, sampling, None, done)

    mute = Mute(questions.checkpoint, questions.tokenizer, "fp32", 4)
    with pytest.raises(HarnessError, match="scores with the adapter but generates without it"):
        prove(mute, adapter(tmp_path, 0.01), ids)


def test_the_proof_fails_for_an_engine_stuck_on_one_adapter(questions, ids, tmp_path):
    """An engine that applies the amplified weights for any copy: the zeroed copy must reveal that."""
    good = adapter(tmp_path, 0.3)  # so strong that PEFT needs no amplification

    class Stuck(TransformersEngine):
        def log_probs(self, sequences, adapter):
            return super().log_probs(sequences, adapter and good)

    stuck = Stuck(questions.checkpoint, questions.tokenizer, "fp32", 4)
    with pytest.raises(HarnessError, match="a zeroed copy passes it too"):
        prove(stuck, good, ids)


def test_an_untrained_adapter_is_refused_before_anything_is_loaded(tmp_path):
    with pytest.raises(HarnessError, match="every B matrix is zero"):
        lora.check_weights(adapter(tmp_path / "zero", 0))
    spoilt = adapter(tmp_path / "nan", 0.01)
    weights = adapter_weights(spoilt)
    next(iter(weights.values()))[0, 0] = float("nan")
    save_file(weights, spoilt / "adapter_model.safetensors")
    with pytest.raises(HarnessError, match="the training diverged"):
        lora.check_weights(spoilt)
    with pytest.raises(HarnessError, match="cannot read the adapter"):
        lora.check_weights(tmp_path / "nowhere")
