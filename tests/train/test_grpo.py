"""GRPO training: settings that arrive, prompts that match, rollouts that stop, and the files that are written."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from harness.config import loading, schema
from harness.models import checkpoint, full_finetuning, prompts
from harness.models.lora import lora_config
from harness.runs import directory, provenance, training
from harness.tasks.benchmarks import gsm8k
from harness.train import effective_settings, grpo, resume, rewards, trl_backend, trl_rollouts, unsloth_backend
from harness.train.recorder import PATIENCE, Recorder, _note
from harness.util import files
from harness.util.errors import HarnessError
from tests.conftest import SMALL, harness, refused

CONFIG = loading.load(
    loading.find_experiment("quickstart"),
    ["train.steps=4", "train.prompts_per_step=2", "train.generations=4", "train.micro_batch=4", "train.beta=0.01"],
)
CHECKPOINT = checkpoint.resolve(CONFIG.model)


def recorder(folder, done=0):
    return Recorder(folder, CONFIG, stop_ids=[1, 106], eos_id=106, done=done)


def overheard(folder, done=0, steps=4):
    """A recorder whose experiment has one reward function, of weight 2."""
    functions = [schema.Reward(name="mine.py:f", weight=2.0)]
    changed = {"rewards": CONFIG.rewards.model_copy(update={"functions": functions})}
    changed["train"] = CONFIG.train.model_copy(update={"steps": steps})
    chosen = CONFIG.model_copy(update=changed)
    return Recorder(folder, chosen, stop_ids=[1, 106], eos_id=106, done=done)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A real trainer on the embedded checkpoint, not trained, with the problems and prompts it was built for."""
    folder = tmp_path_factory.mktemp("train")
    tokenizer, end = grpo.training_tokenizer(CHECKPOINT)
    problems, asked = grpo._fitting(CONFIG, gsm8k.load(CONFIG.data.source()).train[:12], tokenizer, folder)
    trainer = grpo._build(CONFIG, 3407, CHECKPOINT, tokenizer, problems, folder, recorder(folder), trl_backend.BACKEND)
    return SimpleNamespace(trainer=trainer, problems=problems, asked=asked, end=end)


def test_rollouts_are_sampled_by_the_experiment_alone(built, tmp_path):
    """What the trainer leaves unset, as min_p, would be the checkpoint's own."""
    folder = Path(shutil.copytree(CHECKPOINT.path, tmp_path / "own"))
    files.write_json(folder / "generation_config.json", {"min_p": 0.9, "no_repeat_ngram_size": 2})
    tokenizer = built.trainer.processing_class
    model, _ = trl_backend.BACKEND.load(CONFIG, checkpoint.Checkpoint("own", folder), tokenizer)
    used, _ = model._prepare_generation_config(built.trainer.generation_config)
    assert not used.min_p and not used.no_repeat_ngram_size and used.top_k == built.trainer.generation_config.top_k


def test_every_setting_arrives(built):
    found = effective_settings.check_settings(built.trainer, CONFIG, 3407, built.end)
    assert all(pair.asked == pair.effective for pair in found.values())
    assert found["completions_per_step"].effective == 8  # 2 prompts x 4, in two forward passes of 4
    assert built.trainer.args.per_device_train_batch_size == 4
    assert built.trainer.args.gradient_accumulation_steps == 2
    assert found["stop_token"].effective == "<end_of_turn>"
    assert found["trainable_parameters"].effective > 50_000


def test_every_training_setting_of_the_file_is_checked(built):
    """A key added to the file must be added to the check, or a library could drop it unseen."""
    checked = set(effective_settings.check_settings(built.trainer, CONFIG, 3407, built.end))
    otherwise = {
        "backend", "rollouts", "seeds", "prompts_per_step", "micro_batch", "max_prompt_tokens", "long_prompts",
        "warmup_ratio", "save_steps", "checkpoint", "resume_every", "gpu_memory_utilization", "on_drift",
    }  # fmt: skip
    assert set(schema.TrainSection.model_fields) - otherwise <= checked


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        ("args", "learning_rate", 1e-3),
        ("args", "warmup_steps", 0),
        ("args", "weight_decay", 0.0),
        ("args", "per_device_train_batch_size", 8),
        ("trainer", "beta", 0.0),
        ("trainer", "loss_type", "dapo"),
        ("trainer", "epsilon_high", 0.28),
        ("rollout", "top_k", 64),
        ("rollout", "eos_token_id", 1),
        ("adapter", "lora_alpha", 8),
    ],
)
def test_one_setting_silently_changed_stops_the_run(built, monkeypatch, where, name, value):
    trainer = built.trainer
    places = {"args": trainer.args, "trainer": trainer, "rollout": trainer.generation_config}
    places["adapter"] = trainer.model.peft_config["default"]
    monkeypatch.setattr(places[where], name, value)
    with pytest.raises(HarnessError, match="settings are not those that were asked for"):
        effective_settings.check_settings(trainer, CONFIG, 3407, built.end)


@pytest.mark.parametrize(("key", "bits"), [("load_in_4bit", "4bit"), ("load_in_8bit", "8bit")])
def test_weights_that_a_library_left_unquantized_stop_the_run(built, key, bits):
    """If bitsandbytes cannot run, Unsloth loads 16-bit weights and prints a line."""
    asked = CONFIG.model_copy(update={"model": CONFIG.model.model_copy(update={key: True})})
    with pytest.raises(HarnessError, match=rf"those that were asked for: quantized \(asked '{bits}', got None\)"):
        effective_settings.check_settings(built.trainer, asked, 3407, built.end)


def test_other_modules_than_those_asked_for_stop_the_run(built):
    without = CONFIG.model_copy(update={"lora": CONFIG.lora.model_copy(update={"finetune_mlp_modules": False})})
    with pytest.raises(HarnessError, match=r"lora_modules \(asked 8, got 14\), lora_modules_unasked .*up_proj"):
        effective_settings.check_settings(built.trainer, without, 3407, built.end)


def test_a_weight_trained_beside_the_adapter_stops_the_run(built, monkeypatch):
    embedding = built.trainer.model.get_input_embeddings().weight
    monkeypatch.setattr(embedding, "requires_grad", True)
    with pytest.raises(HarnessError, match=r"trained_beside_lora .*embed_tokens"):
        effective_settings.check_settings(built.trainer, CONFIG, 3407, built.end)


VLLM = CONFIG.model_copy(update={"train": CONFIG.train.model_copy(update={"backend": "unsloth", "rollouts": "vllm"})})


@pytest.fixture
def sampled_by_vllm(built, monkeypatch):
    """The real trainer with the attributes of one whose rollouts come from Unsloth's vLLM, which needs a GPU."""
    engine = SimpleNamespace(shared_weights=True)
    engine.llm_engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=CONFIG.model.max_seq_length))
    t = CONFIG.train
    rollout = SimpleNamespace(
        llm=engine, _unsloth_load_lora=print, temperature=t.temperature, top_p=t.top_p, top_k=-1, min_p=None,
        repetition_penalty=1.0, max_completion_length=t.max_completion_tokens,
        generation_kwargs={"ignore_eos": True, "stop_token_ids": [built.trainer.processing_class.eos_token_id]},
    )  # fmt: skip
    monkeypatch.setattr(built.trainer, "use_vllm", True)
    monkeypatch.setattr(built.trainer, "vllm_generation", rollout, raising=False)
    monkeypatch.setattr(built.trainer.model, "vllm_engine", engine, raising=False)
    found = effective_settings.check_settings(built.trainer, VLLM, 3407, built.end)
    assert all(pair.asked == pair.effective for pair in found.values())
    assert found["vllm_tokens"].effective == 1024
    return rollout


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        (
            "llm",
            SimpleNamespace(llm_engine=SimpleNamespace(model_config=SimpleNamespace(max_model_len=1024))),
            "weights",
        ),
        ("_unsloth_load_lora", None, "adapter"),
        ("generation_kwargs", {}, "stop_token"),
        ("generation_kwargs", {"stop_token_ids": [106]}, "stop_token"),
        ("repetition_penalty", 1.1, "repetition_penalty"),
        ("top_k", 64, "top_k"),
    ],
)
def test_rollouts_by_another_vllm_or_in_another_way_stop_the_run(built, sampled_by_vllm, name, value, named):
    setattr(sampled_by_vllm, name, value)
    with pytest.raises(HarnessError, match=f"settings are not those that were asked for: .*{named}"):
        effective_settings.check_settings(built.trainer, VLLM, 3407, built.end)


def test_trls_own_vllm_has_to_follow_the_adapter(built, sampled_by_vllm, monkeypatch):
    asked = VLLM.model_copy(update={"train": VLLM.train.model_copy(update={"backend": "trl"})})
    monkeypatch.delattr(built.trainer.model, "vllm_engine")
    monkeypatch.delattr(sampled_by_vllm, "_unsloth_load_lora")
    with pytest.raises(HarnessError, match=r"asked for: vllm_takes_adapter \(asked True, got False\)"):
        effective_settings.check_settings(built.trainer, asked, 3407, built.end)
    trl_backend.BACKEND.built(built.trainer)
    effective_settings.check_settings(built.trainer, asked, 3407, built.end)


def test_the_weights_that_vllm_is_given_are_the_adapted_ones_and_the_base_stays(built):
    model = copy.deepcopy(built.trainer.model)
    for name, weight in model.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(weight)
    base = {name: weight.clone() for name, weight in model.named_parameters()}
    given = dict(trl_rollouts.adapted_weights(model))
    assert all(torch.equal(base[name], weight) for name, weight in model.named_parameters())
    merged = model.merge_and_unload().state_dict()
    assert len(given) == 14 and set(given) <= set(merged)
    for name, weight in given.items():
        torch.testing.assert_close(weight, merged[name])


def test_two_trainings_that_start_at_once_do_not_meet_at_one_port(monkeypatch):
    monkeypatch.setenv("MASTER_PORT", "")  # restored at the end, whatever is set below
    ports = set()
    for given in (None, None, "29500"):
        monkeypatch.delenv("MASTER_PORT", raising=False)
        if given:
            monkeypatch.setenv("MASTER_PORT", given)
        with trl_rollouts.starting(VLLM):
            ports.add(os.environ["MASTER_PORT"])
    assert len(ports) == 3 and "29500" in ports


def test_an_engine_that_takes_fewer_tokens_than_asked_stops_the_run(built, sampled_by_vllm):
    sampled_by_vllm.llm.llm_engine.model_config.max_model_len = 256
    with pytest.raises(HarnessError, match=r"vllm_tokens \(asked 1024, got 256\)"):
        effective_settings.check_settings(built.trainer, VLLM, 3407, built.end)


def test_an_adapter_in_bf16_stops_the_run(built, monkeypatch):
    weight = next(p for name, p in built.trainer.model.named_parameters() if ".lora_B." in name)
    monkeypatch.setattr(weight, "data", weight.data.to(torch.bfloat16))
    with pytest.raises(HarnessError, match=r"lora_dtype \(asked \['float32'\], got \['bfloat16', 'float32'\]\)"):
        effective_settings.check_settings(built.trainer, CONFIG, 3407, built.end)


def test_a_vision_tower_that_full_finetuning_trains_is_seen():
    model = torch.nn.ModuleDict({"vision_tower": torch.nn.Linear(2, 2, bias=False), "language": torch.nn.Linear(2, 2)})
    found = effective_settings._whole(SimpleNamespace(model=model))
    assert found == {"adapters": [], "vision_trained": ["vision_tower.weight"]}
    full_finetuning.freeze_vision(model)
    assert effective_settings._whole(SimpleNamespace(model=model))["vision_trained"] == []
    assert model["language"].weight.requires_grad


def test_a_padding_token_that_ends_the_turn_is_exchanged_with_a_line(capsys):
    """Unsloth treats the token as padding wherever it occurs: the ends of all turns would be left out."""
    tokenizer, end = grpo.training_tokenizer(CHECKPOINT)
    encoded = prompts.encode(tokenizer, gsm8k.load(CONFIG.data).train[:2], CONFIG.prompt.system)
    grpo._set_padding(tokenizer, CHECKPOINT, encoded)
    assert (tokenizer.pad_token, capsys.readouterr().out) == ("<pad>", "")
    tokenizer.pad_token = end
    grpo._set_padding(tokenizer, CHECKPOINT, encoded)
    assert tokenizer.pad_token == "<pad>" and "Training pads with <pad>" in capsys.readouterr().out


def test_unsloth_gets_the_trainings_tokenizer_with_the_rest_of_the_processor(tmp_path):
    """With the checkpoint's own tokenizer, Unsloth may add a padding token with weights that cannot be trained."""
    shutil.copytree(CHECKPOINT.path, tmp_path / "model")
    for name in ("preprocessor_config.json", "model.safetensors.index.json"):
        (tmp_path / "model" / name).write_text("{}")
    tokenizer, end = grpo.training_tokenizer(CHECKPOINT)
    tokenizer.pad_token = "<unk>"
    with unsloth_backend._tokenizer_folder(checkpoint.Checkpoint("mine", tmp_path / "model"), tokenizer) as folder:
        found = AutoTokenizer.from_pretrained(folder)
        assert (found.pad_token, found.eos_token) == ("<unk>", end)
        names = {path.name for path in Path(folder).iterdir()}
        assert "preprocessor_config.json" in names and "config.json" in names
        assert not any("safetensors" in name for name in names)


def test_a_model_that_was_given_another_vocabulary_is_refused(built):
    unsloth_backend._same_vocabulary(built.trainer.model, CHECKPOINT)
    embedding = torch.nn.Embedding(CHECKPOINT.text_config["vocab_size"] + 1, 4)
    grown = SimpleNamespace(get_input_embeddings=lambda: embedding)
    with pytest.raises(HarnessError, match=r"from \d+ to \d+ tokens; set train.backend to trl"):
        unsloth_backend._same_vocabulary(grown, CHECKPOINT)


def test_of_unsloths_variables_only_those_that_change_no_number_are_a_persons(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    os.environ |= {"UNSLOTH_GRPO_LOSS_AGGREGATION": "prompt", "UNSLOTH_GRPO_SEQ_PACKING": "1"}
    os.environ |= {"UNSLOTH_COMPILE_DISABLE": "partial"}
    unsloth_backend.set_environment(tmp_path)
    assert "UNSLOTH_GRPO_LOSS_AGGREGATION" not in os.environ
    assert os.environ["UNSLOTH_GRPO_SEQ_PACKING"] == "0" and os.environ["UNSLOTH_COMPILE_DISABLE"] == "partial"
    said = capsys.readouterr()
    assert (said.out + said.err).strip().endswith("sets the training): UNSLOTH_GRPO_LOSS_AGGREGATION.")


def test_the_trainers_prompts_are_the_evaluations(built):
    grpo._same_prompts(built.trainer, built.problems, built.asked, CONFIG)
    other = CONFIG.model_copy(update={"prompt": CONFIG.prompt.model_copy(update={"system": "Answer."})})
    with pytest.raises(HarnessError, match="make different token ids"):
        grpo._same_prompts(built.trainer, built.problems, built.asked, other)


def test_only_the_chosen_modules_are_trained():
    chosen = CONFIG.model_copy(update={"lora": CONFIG.lora.model_copy(update={"finetune_mlp_modules": False})})
    pattern = lora_config(chosen).target_modules
    assert re.fullmatch(pattern, "model.layers.0.self_attn.q_proj")
    assert not re.fullmatch(pattern, "model.layers.0.mlp.up_proj")
    assert not re.fullmatch(pattern, "model.vision_tower.encoder.layers.0.self_attn.q_proj")


def test_long_prompts_are_dropped_and_listed_or_refused(tmp_path):
    problems = gsm8k.load(CONFIG.data.source()).train[:12]
    tokenizer, _ = grpo.training_tokenizer(CHECKPOINT)
    lengths = [len(prompt.ids) for prompt in prompts.encode(tokenizer, problems, CONFIG.prompt.system)]
    limit = sorted(lengths)[len(lengths) // 2]
    long = sum(length > limit for length in lengths)
    assert long

    def limited(**changes):
        return CONFIG.model_copy(
            update={"train": CONFIG.train.model_copy(update=changes | {"max_prompt_tokens": limit})}
        )

    kept, asked = grpo._fitting(limited(), problems, tokenizer, tmp_path)
    assert len(kept) == len(asked) == len(problems) - long
    listed = json.loads((tmp_path / "dropped_prompts.json").read_text())
    assert len(listed["dropped"]) == long and all(entry["tokens"] > limit for entry in listed["dropped"])
    with pytest.raises(HarnessError, match=r"train\.long_prompts"):
        grpo._fitting(limited(long_prompts="refuse"), problems, tokenizer, tmp_path)
    with pytest.raises(HarnessError, match="a step needs"):
        grpo._fitting(limited(prompts_per_step=len(problems)), problems, tokenizer, tmp_path)


def rollout(listener, completion_ids, step=0, rewards=None):
    n = len(completion_ids)
    logged = {}
    rewards = rewards or [1.5] * n
    (function,) = listener.wrap([lambda **given: rewards])
    values = function(
        prompts=[[{"role": "user", "content": "1+1?"}]] * n,
        completions=[[{"role": "assistant", "content": "2"}]] * n,
        completion_ids=completion_ids,
        answer=["2"] * n,
        problem_id=["p"] * n,
        trainer_state=SimpleNamespace(global_step=step),
        log_metric=logged.__setitem__,
    )
    assert values == rewards
    return logged


def test_rollouts_that_never_stop_raise_the_alarm(tmp_path):
    """Every completion at the limit, with <eos> (1) or <end_of_turn> (106) inside: the stop set is wrong."""
    listener = overheard(tmp_path)
    for step in range(PATIENCE - 1):
        rollout(listener, [[5, 106, 7, 8]] * 4, step)
    with pytest.raises(HarnessError, match="does not stop at the end of the turn"):
        rollout(listener, [[5, 1, 7, 8]] * 4, PATIENCE)


def test_long_answers_alone_raise_no_alarm(tmp_path):
    listener = overheard(tmp_path)
    for step in range(2 * PATIENCE):
        rollout(listener, [[5, 6, 7, 8]] * 4, step)  # cut, but nothing had ended
        rollout(listener, [[5, 106]] + [[5, 106, 7]] * 3, step)  # one stopped


def test_completions_are_sampled_with_their_rewards_and_forgotten_beyond_the_resume_point(tmp_path):
    listener = overheard(tmp_path)
    for step in range(4):
        logged = rollout(listener, [[5, 106]] * 8, step)
        listener.on_log(None, SimpleNamespace(global_step=step + 1), None, logs={"reward": 1.5, "name": "no number"})
    assert logged == {
        "profiles_disagree/format": 0.0, "profiles_disagree/answer": pytest.approx(1.0),
        "rollout/accuracy": 1.0, "rollout/strict": 0.0, "rollout/format": 0.0, "rollout/tags": 0.0,
        "rollout/marked": 0.0, "groups/equal_rewards": 1.0, "completions/unrewarded": 0.0,
    }  # fmt: skip
    listener.save()
    rows = pyarrow.parquet.read_table(tmp_path / "completions.parquet").to_pylist()
    assert [row["step"] for row in rows] == [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4
    assert rows[0]["completion"] == "2" and rows[0]["tokens"] == 2 and rows[0]["reward_<lambda>"] == 1.5
    assert rows[0]["reward"] == 3.0
    resumed = overheard(tmp_path, done=2)
    assert {row["step"] for row in resumed.rows} == {1, 2}
    assert [row["step"] for row in files.read_lines(tmp_path / "metrics.jsonl")] == [1, 2]


def test_a_completion_without_a_reward_is_recorded_as_such(tmp_path):
    """The trainer leaves it out of its group; a group without two rewards that differ teaches nothing."""
    listener = overheard(tmp_path)
    shown = []
    listener.update = lambda step, note: shown.append(note)
    for step, given in enumerate(([None, 1.0, 2.0, None, 1.0, 1.0, None, 1.0], [None] * 8)):
        logged = rollout(listener, [[5, 106]] * 8, step, given)
        reward = None if given[1] is None else 1.2
        listener.on_step_end(
            None,
            SimpleNamespace(global_step=step + 1, log_history=[{"reward": reward, "completions/mean_length": 2.0}]),
            None,
            model=torch.nn.Linear(1, 1),
        )
        assert logged["groups/equal_rewards"] == (0.5, 1.0)[step]
        assert logged["completions/unrewarded"] == (3 / 8, 1.0)[step]
    assert shown == ["reward 1.20, 2 tokens a completion (in the last step)", ""]
    listener.save()
    rows = training.read_rollouts(tmp_path)
    assert [row["reward"] for row in rows] == [None, 2.0, 4.0, None, None, None, None, None]


def two_steps(folder):
    """What a training leaves after two steps, but for its resume point."""
    listener = overheard(folder)
    for step in (1, 2):
        rollout(listener, [[5, 106]] * 8, step - 1)
        listener.on_log(None, SimpleNamespace(global_step=step), None, logs={"reward": 1.5})
    listener.save()


def test_a_training_is_not_continued_by_another_backend(tmp_path, monkeypatch):
    run = directory.open_run("quickstart", [], tmp_path)
    run.note("backends", {"training (seed 3407)": "unsloth"})
    two_steps(run.train(3407))
    monkeypatch.setattr(grpo, "last_resume_point", lambda *asked: run.train(3407) / "checkpoints" / "checkpoint-2")
    with pytest.raises(HarnessError, match="the first 2 steps were trained by unsloth, which cannot run here"):
        grpo.train(run, 3407, trl_backend.BACKEND)


def test_a_training_that_goes_on_with_other_packages_has_both_on_record(tmp_path, monkeypatch):
    run = directory.open_run("quickstart", [], tmp_path)

    def build(*given):
        raise HarnessError("the trainer is built")

    monkeypatch.setattr(grpo, "_build", build)
    made = provenance.made_with()
    monkeypatch.setattr(provenance, "made_with", lambda: dataclasses.replace(made, versions={"trl": "1.13.0"}))
    with pytest.raises(HarnessError, match="the trainer is built"):
        grpo.train(run, 3407, trl_backend.BACKEND)
    monkeypatch.setattr(provenance, "made_with", lambda: made)
    two_steps(run.train(3407))
    monkeypatch.setattr(grpo, "last_resume_point", lambda *asked: run.train(3407) / "checkpoints" / "checkpoint-2")
    with pytest.raises(HarnessError, match="the trainer is built"):
        grpo.train(run, 3407, trl_backend.BACKEND)
    noted = run.read_manifest().made_with
    assert noted["training (seed 3407)"].versions == {"trl": "1.13.0"}
    assert noted["training (seed 3407), from step 3 on"] == made


def test_a_reward_that_rises_while_accuracy_falls_is_said_once(tmp_path, capsys):
    steps = 20
    listener = overheard(tmp_path, steps=steps)
    for step in range(1, steps + 1):
        logs = {"reward": float(step), "rollout/accuracy": 1 - step / steps}
        listener.on_log(None, SimpleNamespace(global_step=step), None, logs=logs)
    said = capsys.readouterr().out
    assert said.count("Warning: up to step ") == 1 and "the accuracy of the rollouts fell from" in said
    rollout(listener, [[5, 106]] * 8, 0)
    listener.save()
    overheard(tmp_path, done=steps, steps=steps).on_log(
        None, SimpleNamespace(global_step=steps + 1), None, logs={"reward": 99.0, "rollout/accuracy": 0.0}
    )
    assert "Warning" not in capsys.readouterr().out


# ---- resume points


@pytest.fixture
def interrupted(tmp_path):
    """A training's folder after step 4, with whole resume points of the steps 2 and 4."""
    listener = overheard(tmp_path)
    for step in range(1, 5):
        rollout(listener, [[5, 106]] * 8, step - 1)
        listener.on_log(None, SimpleNamespace(global_step=step), None, logs={"reward": 1.5})
        if step % 2 == 0:
            point = tmp_path / "checkpoints" / f"checkpoint-{step}"
            point.mkdir(parents=True)
            for name in ("adapter_model.safetensors", "optimizer.pt", "rng_state.pth", "trainer_state.json"):
                (point / name).write_bytes(f"{name} {step}".encode() * 9)
            listener.save()
            resume.seal(point)
    return tmp_path


def test_a_training_goes_on_from_its_last_whole_resume_point(interrupted):
    half = interrupted / "checkpoints/checkpoint-6"
    half.mkdir()
    (half / "optimizer.pt").touch()
    (interrupted / "checkpoints/checkpoint-abc").mkdir()
    assert resume.last_resume_point(interrupted).name == "checkpoint-4"
    assert not half.exists() and (interrupted / "checkpoints/checkpoint-abc").exists()
    assert resume.last_resume_point(interrupted / "nothing") is None


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "optimizer.pt", "rng_state.pth", "trainer_state.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "one bit"])
def test_a_resume_point_that_is_not_whole_is_not_believed(interrupted, capsys, name, damage):
    file = interrupted / "checkpoints/checkpoint-4" / name
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(b"" if damage == "empty" else bytes([content[0] ^ 1]) + content[1:])
    assert resume.last_resume_point(interrupted).name == "checkpoint-2"
    state = "is missing" if damage == "missing" else "has changed"
    said = capsys.readouterr().out
    assert f"The resume point of step 4 is not whole ({name} {state}); the training goes on from step 2" in said
    assert not file.parent.exists()


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("metrics.jsonl", b"", "metrics.jsonl has 0 of its 4 steps"),
        ("metrics.jsonl", b"[]\n", "metrics.jsonl line 1"),
        ("completions.parquet", b"", "completions.parquet: cannot be read"),
        ("completions.parquet", None, "completions.parquet: cannot be read"),
        ("checkpoints/checkpoint-4/complete", b"", "complete: not JSON"),
        ("checkpoints/checkpoint-4/complete", b"{}", "complete: files is missing"),
    ],
)
def test_without_the_training_records_it_starts_from_the_beginning(interrupted, capsys, file, content, words):
    target = interrupted / file
    target.unlink() if content is None else target.write_bytes(content)
    point = resume.last_resume_point(interrupted)
    said = capsys.readouterr().out
    assert "The resume point of step 4 is not whole (" in said and words in said
    assert (point is None) == ("checkpoints" not in file)
    assert overheard(interrupted, done=resume.step_of(point) if point else 0).rows == [] or point


def test_records_of_fewer_steps_than_the_point_are_not_enough(interrupted, capsys):
    log = interrupted / "metrics.jsonl"
    files.write_lines(log, files.read_lines(log)[:3])
    assert resume.last_resume_point(interrupted).name == "checkpoint-2"
    assert "metrics.jsonl has 3 of its 4 steps" in capsys.readouterr().out


def test_the_order_of_prompts_is_by_seed_and_pass_and_a_longer_training_begins_alike():
    problems = gsm8k.load(CONFIG.data.source()).train[:5]

    def order(seed, **changes):
        chosen = CONFIG.model_copy(update={"train": CONFIG.train.model_copy(update=changes)})
        return [p.id for p in grpo.in_order(problems, chosen, seed)]

    twelve = order(1, steps=6, prompts_per_step=2)
    assert len(twelve) == 12
    assert set(twelve[:5]) == set(twelve[5:10]) == {p.id for p in problems}  # a pass is a permutation
    assert twelve[:5] != twelve[5:10]
    assert order(1, steps=3, prompts_per_step=2) == twelve[:6]
    assert order(2, steps=6, prompts_per_step=2) != twelve
    assert len(order(1, steps=6, prompts_per_step=2, num_iterations=4)) == 4


def test_killed_between_its_last_step_and_its_adapter_a_training_takes_no_step_more(tmp_path):
    """With a constant learning rate, one step too many would give another adapter."""
    run = directory.open_run("quickstart", [*SMALL, "train.steps=2", "train.lr_scheduler=constant"], tmp_path)
    assert harness("train", run.path).returncode == 0
    (folder,) = (run.path / "train").iterdir()
    kept = ("adapter/adapter_model.safetensors", "metrics.jsonl", "completions.parquet")
    before = {name: (folder / name).read_bytes() for name in kept}
    shutil.rmtree(folder / "adapter")
    done = harness("train", run.path)
    assert done.returncode == 0, done.stderr
    assert {name: (folder / name).read_bytes() for name in kept} == before


def test_a_context_too_small_for_the_sequences_is_refused(tmp_path):
    run = directory.open_run("quickstart", [*SMALL, "model.max_seq_length=4096"], tmp_path)
    refused(harness("train", run.path), "model.max_seq_length: 4096", "1024 tokens")


def test_a_training_that_diverges_ends_in_one_line_and_saves_nothing_of_it(tmp_path):
    run = directory.open_run("quickstart", [*SMALL, "train.learning_rate=1e30", "train.resume_every=1"], tmp_path)
    refused(harness("train", run.path), "after step 2 the norm of the weights is inf", "lower train.learning_rate")
    assert [point.name for point in run.path.glob("train/*/checkpoints/checkpoint-*")] == ["checkpoint-1"]


def test_weights_that_give_no_probabilities_are_a_training_that_diverged():
    with pytest.raises(HarnessError, match="the training diverged; run again with a lower"), grpo._diverging():
        torch.multinomial(torch.tensor([float("nan"), 1.0]), 1)
    with pytest.raises(RuntimeError, match="shape"), grpo._diverging():
        torch.zeros(2) @ torch.zeros(3, 2)


def test_a_weight_that_float32_rounds_and_a_file_by_another_name_are_as_asked(built, tmp_path, monkeypatch):
    (tmp_path / "mine_v2.pyfoo.py").write_text("def f(completions, **columns):\n    return [0.0] * len(completions)\n")
    (tmp_path / "current.py").symlink_to("mine_v2.pyfoo.py")
    functions = [schema.Reward(name=f"{tmp_path}/current.py:f", weight=0.3), schema.Reward(name="check_answer")]
    asked = CONFIG.model_copy(update={"rewards": CONFIG.rewards.model_copy(update={"functions": functions})})
    made = rewards.of(asked)
    monkeypatch.setattr(built.trainer, "reward_func_names", [function.__name__ for function in made])
    monkeypatch.setattr(built.trainer, "reward_weights", torch.tensor([0.3, 1.0]))
    found = effective_settings.check_settings(built.trainer, asked, 3407, built.end)
    assert found["rewards"].effective == ["mine_v2.pyfoo_f", "check_answer"]


def test_a_training_of_one_step_learns(tmp_path):
    run = directory.open_run("quickstart", [*SMALL, "train.steps=1", "train.save_steps=1"], tmp_path)
    assert harness("train", run.path).returncode == 0
    weights = load_file(next(run.path.glob("train/*/adapter/adapter_model.safetensors")))
    assert any(weight.any() for name, weight in weights.items() if "lora_B" in name)


def test_a_failing_reward_of_ones_own_ends_the_training_in_one_line_and_may_be_corrected(tmp_path):
    (tmp_path / "mine.py").write_text("def f(completions, **kwargs):\n    raise SystemExit(0)\n")
    reward = f"rewards.functions=[{{name: {tmp_path}/mine.py:f}}]"
    run = directory.open_run("quickstart", [*SMALL, reward], tmp_path / "results")
    refused(harness("train", run.path), "rewards.functions", "mine.py:f", "SystemExit: 0 (line 2)")
    (tmp_path / "mine.py").write_text("def f(completions, **kwargs):\n    return [0.0] * len(completions)\n")
    corrected = harness("train", run.path)
    assert corrected.returncode == 0, corrected.stderr
    (tmp_path / "mine.py").write_text("def f(completions, **kwargs):\n    return [1.0] * len(completions)\n")
    with pytest.raises(HarnessError, match=r"the reward file .* changed since this run began"):
        run.check_pinned(rewards.inputs(run.config))


def test_a_finished_training_leaves_what_the_layout_says(finished):
    (folder,) = (finished / "train").iterdir()
    assert {path.name for path in (folder / "adapter").iterdir()} >= {
        "adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    assert json.loads((folder / "adapter/adapter_config.json").read_text())["base_model_name_or_path"] == "tiny"
    metrics = files.read_lines(folder / "metrics.jsonl")
    assert [row["step"] for row in metrics] == [1, 2, 3, 4, 5, 6]
    assert {"reward", "grad_norm", "completions/clipped_ratio", "rewards/check_answer/mean"} <= set(metrics[0])
    assert all(row["completions/clipped_ratio"] < 1 for row in metrics)
    assert all(0 <= row["rollout/strict"] <= row["rollout/accuracy"] <= 1 for row in metrics)
    assert len(pyarrow.parquet.read_table(folder / "completions.parquet")) == 6 * 4
    assert [path.name for path in (folder / "checkpoints").glob("checkpoint-*")] == ["checkpoint-6"]
    settings_file = json.loads((folder / "effective_settings.json").read_text())
    assert all(pair["asked"] == pair["effective"] for pair in settings_file.values())


def test_the_bar_shows_the_mean_of_the_last_ten_steps():
    """Of 1 … 12 the last ten have mean 7.5; an entry without a reward, as the closing one, counts for nothing."""
    history = [{"reward": n, "completions/mean_length": 20.0 + n} for n in range(1, 13)]
    assert (
        _note([*history, {"train_runtime": 3.0}]) == "reward 7.50, 28 tokens a completion (mean of the last 10 steps)"
    )
    assert _note(history[:1]) == "reward 1.00, 21 tokens a completion (in the last step)" and _note([]) == ""
