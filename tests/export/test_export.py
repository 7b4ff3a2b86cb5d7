"""A merge compared with PEFT's, exports read again from the disk, losses by rounding, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, Gemma3Config

from harness.export import __main__ as export_command
from harness.export import fidelity, merge, model_card, record, write
from harness.export import gguf as gguf_export
from harness.export.record import Check, Export
from harness.models import full_finetuning, lora, prompts, trained
from harness.models.checkpoint import Checkpoint, file_hash
from harness.models.hf_engine import load_base
from harness.report import summary
from harness.report.summarize import summarize
from harness.runs import directory
from harness.tasks.tiny import CHECKPOINT
from harness.util import files
from harness.util.errors import HarnessError
from tests.conftest import harness, refused
from tests.constructed import make_run, unsealed
from tests.evaluate.test_learning_curve import with_curve

TINY = Checkpoint("tiny", CHECKPOINT)


@pytest.fixture
def run(finished, tmp_path) -> Path:
    """A copy of the finished run that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / finished.name))


def exported(to: str, stored: str, **others) -> Export:
    """The record of an export of the first training."""
    usual = {"seed": 3407, "step": 60, "full": False, "vision": False, "change": None, "check": None}
    return Export(to, "a" * 64, "b" * 64, stored, run="quickstart-27b891f3", **usual | others)


def adapter_of(run: Path) -> Path:
    return run / "train/seed-3407/adapter"


def with_b(run: Path, factor: float) -> None:
    """Scale B as if the training had taken smaller steps, and note the adapter as the one that was evaluated."""
    folder = adapter_of(run)
    weights = lora.with_b_scaled(lora.adapter_weights(folder), factor)
    small = lora.save_copy(folder, weights, run.parent / "small")
    shutil.copy(small / "adapter_model.safetensors", folder)
    unsealed(directory.existing(run))
    result = files.read_json(run / "tuned/seed-3407/result.json")
    result["adapter"] = file_hash(folder / "adapter_model.safetensors")
    files.write_json(run / "tuned/seed-3407/result.json", result)


def full_run(results: Path) -> trained.Trained:
    """A run whose training changed all weights, each by a hundredth of its own size or so, with made-up scores."""
    made = make_run(results, ["wrong"] * 30, ["right"] * 30, "model.full_finetuning=true")
    model, generator = load_base(TINY, "fp32"), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1 + 0.01 * torch.randn(weight.shape, generator=generator))
    full_finetuning.save(model, TINY, made.adapter(3407))
    found = trained.find(made, None)
    result = files.read_json(made.tuned(3407) / "result.json") | {"adapter": found.hash}
    files.write_json(made.tuned(3407) / "result.json", result)
    files.write_text(made.summary, summary.text(summarize(made)))
    return found


# --- the merge ------------------------------------------------------------------------------------------------


def test_a_delta_by_hand():
    # 0.5 · [1, 2]ᵀ [10, 20] = [[5, 10], [10, 20]]
    delta = merge.Delta(torch.tensor([[10.0, 20.0]]), torch.tensor([[1.0], [2.0]]), 0.5)
    merged = delta.added_to(torch.tensor([[1, 2], [3, 4]], dtype=torch.bfloat16))
    assert merged.dtype == torch.float32 and merged.tolist() == [[6, 12], [13, 24]]


def test_an_exported_model_ends_its_turn_where_the_evaluated_one_did(tmp_path):
    base = Path(shutil.copytree(CHECKPOINT, tmp_path / "base"))
    own = {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}
    files.write_json(base / "generation_config.json", own)
    found = full_run(tmp_path / "results")
    found = dataclasses.replace(found, base=Checkpoint("bare", base))
    write._write(found, {}, tmp_path / "out", torch.float32)
    stops = prompts.stop_ids(found.base, prompts.load_tokenizer(found.base))
    assert files.read_json(tmp_path / "out/generation_config.json") == own | {"eos_token_id": stops} and stops[1:]
    write._write(dataclasses.replace(found, base=TINY), {}, tmp_path / "same", torch.float32)
    same = (CHECKPOINT / "generation_config.json").read_bytes()
    assert (tmp_path / "same/generation_config.json").read_bytes() == same


def test_it_is_pefts_merge_under_the_names_and_in_the_files_of_the_base(finished, tmp_path):
    added = merge.deltas(TINY, adapter_of(finished))
    merge.write(TINY, added, torch.float32, tmp_path / "merged")
    ours, base = load_file(tmp_path / "merged/model.safetensors"), load_file(CHECKPOINT / "model.safetensors")
    assert ours.keys() == base.keys() and len(added) == 14
    theirs = PeftModel.from_pretrained(load_base(TINY, "fp32"), adapter_of(finished)).merge_and_unload().state_dict()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=1e-6, atol=1e-7)
        assert torch.equal(tensor, base[name].float()) == (name not in added)
    assert files.read_json(tmp_path / "merged/config.json")["dtype"] == "float32"
    for file in ("tokenizer.json", "chat_template.jinja", "generation_config.json"):
        assert (tmp_path / "merged" / file).read_bytes() == (CHECKPOINT / file).read_bytes()


def test_a_multimodal_base_in_several_files_keeps_its_names(tmp_path):
    # In memory transformers 5 has other names than Gemma 3's files: model.language_model.layers and a vision tower
    # without vision_model. "layers.0.self_attn.q_proj" is in both towers.
    text = {"num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2}
    text |= {"num_key_value_heads": 2, "head_dim": 16, "vocab_size": 300}
    vision = {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2}
    config = Gemma3Config(
        text_config=text, vision_config=vision, image_token_index=299, boi_token_index=298, eoi_token_index=297
    )
    model = AutoModelForCausalLM.from_config(config).to(torch.bfloat16)
    model.save_pretrained(tmp_path / "saved", max_shard_size="60KB")
    saved, base = (Checkpoint("multimodal", tmp_path / name) for name in ("saved", "base"))
    shutil.copytree(saved.path, base.path)
    # As published: names saved by transformers 5 have no vision_model, which vLLM expects.
    index = json.loads((base.path / "model.safetensors.index.json").read_text())
    published = {name: name.replace("vision_tower.", "vision_tower.vision_model.") for name in index["weight_map"]}
    index["weight_map"] = {published[name]: file for name, file in index["weight_map"].items()}
    (base.path / "model.safetensors.index.json").write_text(json.dumps(index))
    for file in base.path.glob("*.safetensors"):
        save_file({published[name]: tensor for name, tensor in load_file(file).items()}, file, {"format": "pt"})
    names = merge.Weights(base.path).file_of
    assert len(set(names.values())) > 1 and "language_model.model.layers.0.self_attn.q_proj.weight" in names
    assert "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight" in names

    tuned = get_peft_model(
        load_base(base, "fp32"), LoraConfig(r=2, lora_alpha=4, target_modules=r".*\.(q_proj|up_proj)")
    )
    torch.manual_seed(0)
    for name, weight in tuned.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(weight, std=0.1)
    tuned.save_pretrained(tmp_path / "adapter")
    added = merge.deltas(base, tmp_path / "adapter")
    merge.write(base, added, torch.float32, tmp_path / "merged")
    assert {name: file.name for name, file in merge.Weights(tmp_path / "merged").file_of.items()} == {
        name: file.name for name, file in names.items()
    }
    assert len(added) == 5  # two matrices in each of two text layers, one in the vision tower
    index = files.read_json(tmp_path / "merged/model.safetensors.index.json")
    assert index["metadata"]["total_size"] == 4 * base.parameters
    theirs = tuned.merge_and_unload().state_dict()
    for name, tensor in load_base(Checkpoint("merged", tmp_path / "merged"), "fp32").state_dict().items():
        torch.testing.assert_close(tensor, theirs[name], rtol=1e-6, atol=1e-7)
    figures = merge.change(base, tmp_path / "merged", added)
    assert figures.changed_in_targets > 0.99 and figures.targets == 5 and figures.changed < 0.5

    # A model that transformers saved under its own names, as if all weights were trained, gets the base's names.
    merge.write(base, {}, torch.bfloat16, tmp_path / "full", saved)
    assert merge.Weights(tmp_path / "full").file_of.keys() == names.keys() != merge.Weights(saved.path).file_of.keys()
    assert merge.change(base, tmp_path / "full", ()).changed == 0


def test_a_file_of_several_kinds_is_read_by_safetensors_as_it_was_written(tmp_path):
    folder = Path(shutil.copytree(CHECKPOINT, tmp_path / "mixed"))
    kinds = {
        "a": torch.tensor([True]),
        "b": torch.tensor(7),
        "c": torch.ones(3, dtype=torch.float16),
        "d": torch.ones(0, 2),
    }
    save_file(kinds, folder / "model.safetensors", {"format": "pt", "made": "here"})
    merge.write(Checkpoint("mixed", folder), {}, torch.bfloat16, tmp_path / "out")
    again = load_file(tmp_path / "out/model.safetensors")
    assert again["a"].tolist() == [True] and again["b"].item() == 7 and again["b"].dtype == torch.int64
    assert again["c"].dtype == torch.bfloat16 and again["c"].tolist() == [1, 1, 1] and again["d"].shape == (0, 2)
    with safe_open(tmp_path / "out/model.safetensors", "pt") as stream:
        assert stream.metadata() == {"format": "pt", "made": "here"}
    save_file({"a": torch.ones(2).to(torch.float8_e4m3fn)}, folder / "model.safetensors")
    with pytest.raises(HarnessError, match="a is stored as F8_E4M3"):
        merge.write(Checkpoint("mixed", folder), {}, torch.bfloat16, tmp_path / "out8")


def test_what_is_no_plain_lora_of_this_model_is_refused(finished, tmp_path):
    weights = lora.adapter_weights(adapter_of(finished))
    key = "base_model.model.model.layers.0.mlp.up_proj.lora_magnitude_vector"
    more = lora.save_copy(adapter_of(finished), weights | {key: torch.ones(640)}, tmp_path / "dora")
    with pytest.raises(HarnessError, match="lora_magnitude_vector cannot be merged"):
        merge.deltas(TINY, more)
    strange = {name.replace(".layers.1.", ".layers.7."): weight for name, weight in weights.items()}
    with pytest.raises(HarnessError, match=r"layers\.7\..* cannot be merged: tiny has no such matrix"):
        merge.deltas(TINY, lora.save_copy(adapter_of(finished), strange, tmp_path / "strange"))
    cut = {name: weight[:, :-1] if "lora_A" in name else weight for name, weight in weights.items()}
    other = merge.deltas(TINY, lora.save_copy(adapter_of(finished), cut, tmp_path / "cut"))
    with pytest.raises(HarnessError, match="another shape"):
        merge.write(TINY, other, torch.float32, tmp_path / "merged")


def test_a_number_that_the_dtype_cannot_hold_is_refused(tmp_path):
    name = "model.layers.0.mlp.up_proj.weight"  # (640, 160); float16 ends at 65,504
    big = {name: merge.Delta(torch.ones(1, 160), torch.full((640, 1), 7e4), 1.0)}
    with pytest.raises(HarnessError, match="--dtype float32"):
        merge.write(TINY, big, torch.float16, tmp_path / "merged")


# --- the command -----------------------------------------------------------------------------------------------


def test_an_export_is_whole_checked_and_described_and_made_once(run):
    done = harness("export", run, "--to", "merged", cold=True)
    assert done.returncode == 0, done.stderr
    folder = run / "export/merged"
    record = files.read_json(folder / "export.json")
    assert record["stored"] == "bfloat16" and record["check"]["correlation"] > 0.98
    assert record["check"]["size"] == pytest.approx(1, abs=0.05) and record["change"]["targets"] == 14
    assert f"{record['change']['changed_in_targets']:.2%} of the 14 trained matrices" in done.stdout
    assert load_file(folder / "model.safetensors")["model.norm.weight"].dtype == torch.bfloat16
    assert [path.name for path in (run / "export").iterdir()] == ["merged"]

    _, front, body = (folder / "README.md").read_text().split("---\n", 2)
    front = yaml.safe_load(front)
    assert front["library_name"] == "transformers" and front["pipeline_tag"] == "text-generation"
    assert "base_model" not in front and "license" not in front  # the embedded checkpoint is nowhere on the hub
    report = (run / "report.md").read_text()
    table = [line for line in report.splitlines() if line.startswith("| ")][:3]
    assert all(line in body for line in table) and files.read_json(run / "summary.json")["verdict"]["sentence"] in body
    assert str(run.parent) not in body and "plots/" not in body and "LoRA r 8, alpha 16" in body

    before = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert export_command.main([str(run), "--to", "merged"]) == 0
    assert before == {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    with pytest.raises(HarnessError, match=r"holds another export \(stored bfloat16, not float32\).*--out"):
        export_command.main([str(run), "--to", "merged", "--dtype", "float32"])
    (folder / "model.safetensors").unlink()
    with pytest.raises(HarnessError, match=r"model\.safetensors is missing"):
        export_command.main([str(run), "--to", "merged"])


def test_an_adapter_that_rounding_takes_away_is_refused_and_float32_keeps_it(run):
    # A hundredth of the demo's adapter keeps a correlation of 0.84 in bfloat16, and of 1.00 in float32.
    with_b(run, 1e-2)
    refused(harness("export", run, "--to", "merged"), "in bfloat16", "expected at least 0.9", "--dtype float32")
    assert list((run / "export").iterdir()) == []
    assert export_command.main([str(run), "--to", "merged", "--dtype", "float32"]) == 0
    assert files.read_json(run / "export/merged/export.json")["check"]["correlation"] > 0.99


def test_a_merge_at_half_its_size_or_without_a_matrix_is_refused(run, tmp_path):
    # For such small changes the log-probs are linear in the update: half of it gives half the change, which correlates.
    with_b(run, 0.1)
    found = trained.find(directory.existing(run), None)
    asked, added = fidelity.probes(found), merge.deltas(TINY, found.path)

    def judged(name: str, deltas: dict[str, merge.Delta]) -> Check:
        merge.write(TINY, deltas, torch.float32, tmp_path / name)
        there = Checkpoint(name, tmp_path / name)
        check = fidelity.measure(found, lambda: load_base(there, "fp32"), lambda weight: weight, asked)
        change = merge.change(TINY, there.path, added)
        write._judge(exported("merged", "float32", change=change, check=check), fidelity.KEPT, fidelity.SIZE)
        return check

    assert judged("whole", added).size == pytest.approx(1, abs=0.01)
    half = {name: dataclasses.replace(delta, scale=delta.scale / 2) for name, delta in added.items()}
    with pytest.raises(HarnessError, match=r"correlate 1\.000 .* are 0\.5\d times as large"):
        judged("half", half)
    (lost,) = [name for name in added if name.endswith("layers.1.self_attn.q_proj.weight")]
    with pytest.raises(HarnessError, match="1 of 14 trained matrices equal the base's"):
        judged("lost", {name: delta for name, delta in added.items() if name != lost})


def test_each_of_several_seeds_and_kinds_has_a_folder_of_its_own(tmp_path):
    run = directory.open_run("quickstart", ["train.seeds=[1,2]"], tmp_path)
    second = trained.Trained(run, 2, TINY, run.adapter(2))
    assert write._place(second, "merged", "bfloat16") == run.path / "export/merged-seed-2"
    assert write._place(second, "gguf", "q8_0") == run.path / "export/gguf-q8_0-seed-2"


def test_a_record_that_lacks_a_field_is_one_line_that_names_it(tmp_path):
    record.write(tmp_path, exported("gguf", "q8_0", file="x.gguf"))
    written = files.read_json(tmp_path / "export.json")
    assert record.read(tmp_path) == exported("gguf", "q8_0", file="x.gguf") and written["change"] is None
    record.write(tmp_path, exported("merged", "float32"))
    assert "file" not in files.read_json(tmp_path / "export.json")
    del written["trained"]
    files.write_json(tmp_path / "export.json", written)
    with pytest.raises(HarnessError, match=r"export\.json: trained is missing"):
        record.read(tmp_path)


def test_what_a_kill_left_is_made_again(run):
    left = run / "export/.merged.part"
    left.mkdir(parents=True)
    (left / "model-00009-of-00009.safetensors").write_bytes(b"torn")
    assert export_command.main([str(run), "--to", "merged"]) == 0
    assert not left.exists() and not list((run / "export/merged").glob("*00009*"))


def test_too_little_memory_for_the_check_is_one_line_and_leaves_nothing(run, monkeypatch):
    def full_gpu(model):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has 15 GiB")

    monkeypatch.setattr(fidelity, "_placed", full_gpu)
    with pytest.raises(HarnessError, match=r"Tried to allocate 2\.50 GiB.*CUDA_VISIBLE_DEVICES= before the command"):
        export_command.main([str(run), "--to", "merged"])
    assert not list((run / "export").iterdir())


def test_a_folder_of_somebody_else_is_left_alone(run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("years")
    with pytest.raises(HarnessError, match="not an export of ours"):
        export_command.main([str(run), "--to", "merged", "--out", str(tmp_path / "mine")])
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--to", "merged", "--dtype", "float16"], "Gemma 3's activations overflow"),
        (["--to", "merged", "--quant", "f16"], "belong to --to gguf"),
        (["--to", "gguf", "--dtype", "float32"], "belongs to --to merged"),
        (["--to", "merged", "--train-seed", "5"], "not one of this run's train.seeds"),
    ],
)
def test_impossible_wishes_are_one_line(run, options, says):
    with pytest.raises(HarnessError, match=says):
        export_command.main([str(run), *options])
    assert not (run / "export").exists()


def test_a_run_that_is_not_finished_says_what_is_missing(run):
    (run / "summary.json").unlink()
    with pytest.raises(HarnessError, match="tuned evaluation or report is missing"):
        export_command.main([str(run), "--to", "merged"])
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (adapter_of(run) / name).unlink()
        with pytest.raises(HarnessError, match=f"adapter: {name} is missing"):
            export_command.main([str(run), "--to", "merged"])
    shutil.rmtree(adapter_of(run))
    with pytest.raises(HarnessError, match="its training is not finished"):
        export_command.main([str(run), "--to", "merged"])


def test_weights_that_are_not_those_that_were_scored_are_refused(run):
    weights = lora.with_b_scaled(lora.adapter_weights(adapter_of(run)), 2)
    other = lora.save_copy(adapter_of(run), weights, run.parent / "other")
    shutil.copy(other / "adapter_model.safetensors", adapter_of(run))
    for command in (("export", run, "--to", "merged"), ("ask", run, "1 + 1 = ?")):
        refused(harness(*command), "adapter_model.safetensors: has changed since it was written; restore it")
    unsealed(directory.existing(run))
    with pytest.raises(HarnessError, match="has changed since it was evaluated"):
        export_command.main([str(run), "--to", "merged"])
    manifest = files.read_json(run / "manifest.json")
    manifest["inputs"]["base weights"] = "0" * 64
    files.write_json(run / "manifest.json", manifest)
    with pytest.raises(HarnessError, match="base weights changed"):
        export_command.main([str(run), "--to", "merged"])


def test_all_weights_trained_stop_and_are_asked_as_they_were_trained(tmp_path):
    """The folder in train/ is used as it is, too."""
    base = tmp_path / "base"
    shutil.copytree(TINY.path, base)
    files.write_json(base / "generation_config.json", {"eos_token_id": 1, "do_sample": True})
    given = Checkpoint("mine", base, TINY.path.joinpath("chat_template.jinja").read_text() + "\n")
    full_finetuning.save(load_base(given, "fp32"), given, tmp_path / "saved")
    assert (tmp_path / "saved/chat_template.jinja").read_text() == given.chat_template
    assert files.read_json(tmp_path / "saved/generation_config.json") == {"eos_token_id": [1, 5], "do_sample": True}


def test_all_weights_trained_are_the_export_in_the_dtype_of_the_base(tmp_path):
    found = full_run(tmp_path / "results")
    assert export_command.main([str(found.run.path), "--to", "merged"]) == 0
    folder = found.run.path / "export/merged"
    record = files.read_json(folder / "export.json")
    trained_weights = load_file(found.path / "model.safetensors")
    for name, weight in load_file(folder / "model.safetensors").items():
        assert torch.equal(weight, trained_weights[name].to(torch.bfloat16))
    # A hundredth of a number is two and a half steps of bfloat16 (8 bits): few numbers stay unchanged.
    assert record["full"] and 0.5 < record["change"]["changed"] < 1 and record["check"]["correlation"] > 0.98
    assert "all weights, trained in fp32" in (folder / "README.md").read_text()


# --- the card -------------------------------------------------------------------------------------------------


def test_a_card_names_hub_ids_and_of_paths_the_last_part(tmp_path):
    hub = ("model.id=google/gemma-3-4b-it", "data.path=openai/gsm8k")
    hub += ("train.backend=unsloth", "model.precision=bf16", "model.load_in_4bit=true")
    run = make_run(tmp_path, ["wrong"] * 30, {1: ["right"] * 30, 2: ["right"] * 20 + ["wrong"] * 10}, *hub)
    text = model_card.text(run, summarize(run), exported("gguf", "q8_0", seed=2, step=50, vision=True, file="x.gguf"))
    front = yaml.safe_load(text.split("---\n")[1])
    assert (front["base_model"], front["datasets"]) == ("google/gemma-3-4b-it", ["openai/gsm8k"])
    assert front["library_name"] == "gguf" and "lora" in front["tags"] and "license" not in front
    assert "This is that of seed 2; its accuracy changed by +66.7" in text  # 20 of 30, from 0
    assert "trained in 4-bit" in text and "were not checked" in text and "llama-server -m x.gguf" in text

    (tmp_path / "models/mine").mkdir(parents=True)
    own = f"[{{name: {tmp_path}/rewards.py:length}}]"
    local = (f"model.id={tmp_path}/models/mine", f"data.path={tmp_path}/numbers.jsonl", f"rewards.functions={own}")
    run = make_run(tmp_path / "other", ["wrong"] * 30, ["right"] * 30, *local)
    text = model_card.text(run, summarize(run), exported("merged", "bfloat16", vision=True))
    assert str(tmp_path) not in text
    assert "before and after: mine; LoRA r 8; " in text and "; numbers.jsonl test, 30 questions" in text
    assert "rewards.py:length × 1" in text and 'limit_mm_per_prompt={"image": 0}' in text
    assert not {"base_model", "datasets"} & yaml.safe_load(text.split("---\n")[1]).keys()


def test_a_card_says_which_step_the_learning_curve_chose(tmp_path):
    run = with_curve(tmp_path, "train.checkpoint=best_dev")
    found = trained.Trained(run, 3407, TINY, run.evaluated(3407))
    export = exported("merged", "bfloat16", step=found.step)
    text = model_card.text(run, summarize(run), export)
    assert "6 steps of 8 prompts" in text and "the weights after step 2, which scored best on the dev split" in text
    assert "in fp32 with the adapter loaded on top of the base; this export itself was not scored" in text
    last = make_run(tmp_path, ["wrong"] * 30, ["right"] * 30)
    assert trained.Trained(last, 3407, TINY, last.adapter(3407)).step == 60


# --- GGUF ------------------------------------------------------------------------------------------------------


def test_q8_0_rounds_a_block_of_32_to_127_steps_of_its_largest():
    # The largest is 127, so a step is 1: 0.4 becomes 0, 0.6 becomes 1, −3.2 becomes −3.
    block = [127.0, 0.4, 0.6, -3.2] + [0.0] * 28
    rounded = gguf_export.rounding("q8_0")(torch.tensor([block]))
    assert rounded.tolist() == [[127.0, 0.0, 1.0, -3.0] + [0.0] * 28]
    vector = torch.tensor([1 / 3])
    assert gguf_export.rounding("q8_0")(vector) is vector
    third = torch.tensor([[1 / 3]])
    assert gguf_export.rounding("bf16")(third).item() == 0.333984375  # 171 / 512
    assert gguf_export.rounding("f16")(third).item() == 0.333251953125  # 1365 / 4096
    # No whole block: Gemma 3's vision tower has patches of 14 and an inner width of 4,304.
    assert gguf_export.rounding("q8_0")(third).item() == 0.333251953125


def test_without_llama_cpp_the_line_says_what_to_fetch(run, monkeypatch, tmp_path):
    monkeypatch.delenv("LLAMA_CPP", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HarnessError, match=r"git clone --depth 1 https://github.com/ggml-org/llama.cpp"):
        export_command.main([str(run), "--to", "gguf"])
    with pytest.raises(HarnessError, match=r"convert_hf_to_gguf\.py not found"):
        export_command.main([str(run), "--to", "gguf", "--llama-cpp", str(tmp_path)])
    (tmp_path / gguf_export.CONVERTER).write_text("")
    monkeypatch.setattr(gguf_export, "NEEDED", ("gguf", "a_package_that_is_not"))
    with pytest.raises(HarnessError, match="pip install a_package_that_is_not"):
        gguf_export.converter(tmp_path)
    assert not (run / "export").exists()


def test_what_the_converter_says_is_passed_on(tmp_path):
    script = tmp_path / "convert.py"
    script.write_text("raise NotImplementedError('BPE pre-tokenizer was not recognized - update')")
    with pytest.raises(HarnessError, match=r"BPE pre-tokenizer was not recognized.*has a list of known tokenizers"):
        gguf_export.convert(script, tmp_path, tmp_path / "x.gguf", "q8_0", "x")


def test_a_file_that_is_not_read_is_not_taken_for_one_that_cannot_be(tmp_path):
    from gguf import GGUFWriter

    writer = GGUFWriter(tmp_path / "x.gguf", "grok")  # an architecture that transformers cannot read
    writer.add_tensor("token_embd.weight", np.zeros((32, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert gguf_export.load(tmp_path / "x.gguf", TINY) is None
    (tmp_path / "x.gguf").write_bytes(b"GG" * 100)
    with pytest.raises(HarnessError, match=r"x\.gguf: cannot be loaded again"):
        gguf_export.load(tmp_path / "x.gguf", TINY)


@pytest.mark.skipif(
    not os.environ.get("LLAMA_CPP") or subprocess.run([sys.executable, "-c", "import sentencepiece"]).returncode != 0,
    reason="LLAMA_CPP names no llama.cpp checkout, or sentencepiece is missing",
)
def test_the_real_converters_files_hold_what_was_trained(run, tmp_path):
    import sentencepiece

    base = Path(shutil.copytree(CHECKPOINT, tmp_path / "base"))
    generator = np.random.default_rng(0)
    words = ("".join(generator.choice(list("abcdefghijklmnopqrstuvwxyz"), 6)) for _ in range(20_000))
    # llama.cpp refuses the tiny checkpoint's own tokenizer, which it does not know. The weights are what is tested.
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=words, model_prefix=str(base / "tokenizer"), vocab_size=1536, model_type="bpe",
        pad_id=0, eos_id=1, bos_id=2, unk_id=3, minloglevel=2,
    )  # fmt: skip
    (base / "tokenizer.vocab").unlink()
    found = trained.find(directory.existing(run), None)
    found = trained.Trained(found.run, found.seed, Checkpoint("tiny", base), found.path)
    asked = fidelity.probes(found)
    merge.write(found.base, merge.deltas(found.base, found.path), torch.float32, tmp_path / "merged")
    script = gguf_export.converter(None)
    for quant, least in (("q8_0", 0.9), ("bf16", 0.98), ("f16", 0.99)):
        file = tmp_path / f"{quant}.gguf"
        gguf_export.convert(script, tmp_path / "merged", file, quant, "tiny")
        check = fidelity.measure(
            found, lambda file=file: gguf_export.load(file, found.base), gguf_export.rounding(quant), asked
        )
        assert check.correlation > least, (quant, check)
