"""The card in the folder of an adapter: what it was made from, and no path of the machine that made it."""

from __future__ import annotations

import yaml

from harness.config import card, loading
from harness.runs import directory, seals
from tests.conftest import ROOT


def parts(text: str) -> tuple[dict, str]:
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def test_an_adapter_says_what_it_is_of(tmp_path):
    overrides = ["model.id=google/gemma-3-1b-it", "data.path=openai/gsm8k", "model.revision=null", "lora.r=4"]
    config = loading.load(loading.find_experiment("quickstart"), overrides)
    front, body = parts(card.trained(config, 3407, 50))
    assert front["base_model"] == "google/gemma-3-1b-it" and front["base_model_relation"] == "adapter"
    assert front["library_name"] == "peft" and front["datasets"] == ["openai/gsm8k"]
    assert "A LoRA adapter of google/gemma-3-1b-it" in body and "LoRA r 4" in body and "after step 50 of 60" in body
    assert "- 50 steps of " in body and "- 60 steps of " in card.trained(config, 3407, 60)
    (tmp_path / "gemma").mkdir()
    local = loading.load(loading.find_experiment("quickstart"), [f"model.id={tmp_path}/gemma", "data.path=tiny"])
    text = card.trained(local, 3407, 60)
    assert "base_model" not in parts(text)[0] and "adapter of gemma, " in text and str(tmp_path) not in text


def test_a_training_leaves_our_card_and_no_other(finished):
    run = directory.existing(finished)
    point = run.train(3407) / "checkpoints/checkpoint-6"
    for folder in (run.adapter(3407), point):
        text = (folder / card.NAME).read_text()
        assert text == card.trained(run.config, 3407, 6) and str(ROOT) not in text
    assert not (point.parent / card.NAME).exists()
    assert seals.whole(run) and "train/seed-3407/adapter/README.md" in run.read_manifest().seals
