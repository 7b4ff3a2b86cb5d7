"""The experiment file: what is accepted, what is refused and how, and what the digest covers."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml

from harness.config import loading
from harness.config.schema import Config
from harness.util.errors import HarnessError
from tests.conftest import ROOT, harness, refused

SHIPPED = sorted((ROOT / "experiments").glob("*.yaml"))


def load(tmp_path: Path, text: str, *overrides: str) -> Config:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    return loading.load(file, list(overrides))


def refusal(tmp_path: Path, text: str, *overrides: str) -> str:
    with pytest.raises(HarnessError) as caught:
        load(tmp_path, text, *overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_named_files_are_shipped():
    assert {path.stem for path in SHIPPED} >= {
        "quickstart", "grpo_r8", "grpo_r16", "grpo_r8_400steps", "grpo_r8_24gb", "gemma3_1b",
    }  # fmt: skip


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_file_parses_and_says_how_to_run_it(path):
    assert loading.load(path).name == path.stem
    head = path.read_text()
    assert f"python -m harness.run experiments/{path.name}" in head and "Hypothesis" in head


def test_the_defaults_are_the_tutorials_experiment():
    """grpo_r8.yaml has every setting; a file without any must mean the same, but for what generates the rollouts."""
    spelled = loading.load(ROOT / "experiments/grpo_r8.yaml", ["train.rollouts=hf"]).model_dump()
    for section in ("model", "data"):
        del spelled[section]["revision"]
    default = Config(name="grpo_r8").model_dump()
    for section in ("model", "data"):
        del default[section]["revision"]
    assert spelled == default


def test_grpo_r8_names_every_key_of_its_sections():
    written = yaml.safe_load((ROOT / "experiments/grpo_r8.yaml").read_text())

    def leaves(node, prefix=""):
        return {
            key
            for name, value in node.items()
            for key in (leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name})
        }

    assert leaves(Config(name="x").model_dump()) - leaves(written) == {"name"}


def test_numbers_may_be_written_as_people_write_them(tmp_path):
    assert load(tmp_path, "train: {learning_rate: 5e-6}").train.learning_rate == 5e-6
    assert load(tmp_path, "train: {beta: 0}").digest() == load(tmp_path, "train: {beta: 0.0}").digest()


@pytest.mark.parametrize(
    ("text", "overrides", "parts"),
    [
        ("train: {learing_rate: 1e-5}", (), ("mine.yaml", "train.learing_rate", "did you mean train.learning_rate?")),
        ("learning_rate: 1e-5", (), ("did you mean train.learning_rate?",)),
        ("train: {lr: 1e-5}", (), ("train.lr", "did you mean train.learning_rate?")),
        ("rewards: {functions: [{name: correct, wight: 1}]}", (), ("did you mean rewards.functions.0.weight?",)),
        ("zebra: 1", (), ("zebra: unknown key", "allowed: name, model, data")),
        ("train: {steps: many}", (), ("train.steps", "found 'many'", "integer")),
        ("train: {steps: 2.5}", (), ("train.steps", "found 2.5")),
        ("train: {steps: 0}", (), ("train.steps", "found 0", "greater than or equal to 1")),
        ("train: {steps: true}", (), ("train.steps", "found True")),
        ("train: {top_k: off}", (), ("train.top_k", "found False")),
        ("eval: {engine: sglang}", (), ("eval.engine", "found 'sglang'", "'vllm' or 'transformers'")),
        ("rewards: {functions: [{weight: 1.0}]}", (), ("rewards.functions.0.name", "required")),
        ("train: 5", (), ("train", "found 5", "mapping")),
        ("train: {micro_batch: 3}", (), ("train.micro_batch", "does not divide the 4 completions")),
        ("train: {max_completion_tokens: 900}", (), ("train.max_completion_tokens", "exceed model.max_seq_length")),
        ("train: {generations: 1}", (), ("train.generations",)),
        ("train: {seeds: [1, 2, 1]}", (), ("train.seeds", "given twice")),
        ("train: {checkpoint: best_dev}", (), ("train.checkpoint", "set eval.curve to true")),
        ("train: {checkpoint: best}", (), ("train.checkpoint", "'last' or 'best_dev'")),
        ("train: {checkpoint: best_dev}\neval: {curve: true, split: dev}", (), ("train.checkpoint", "judged on dev")),
        ("data: {dev: 0}\neval: {curve: true}", (), ("eval.curve", "set data.dev")),
        ("model: {full_finetuning: true}\neval: {curve: true}", (), ("eval.curve", "LoRA adapters")),
        ("train: {seeds: [-1]}", (), ("train.seeds.0", "greater than or equal to 0")),
        ("train: {adam_beta1: 1.0}", (), ("train.adam_beta1", "less than 1")),
        ("train: {learning_rate: .inf}", (), ("train.learning_rate", "finite")),
        ("train: {logging_steps: 10}", (), ("train.logging_steps", "allowed: 1")),
        ("train: {num_iterations: 4}", (), ("train.save_steps", "multiple of num_iterations")),
        ("? [a]\n: 1", (), ("mine.yaml", "cannot be read as YAML")),
        ("name: 2024-13-45", (), ("mine.yaml", "cannot be read as YAML")),
        ("name: " + "[" * 3000, (), ("mine.yaml", "line 1 is nested more than 20 levels deep")),
        ("name: &a [*a]", (), ("mine.yaml", "line 1 has an alias (*a); write the value out")),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", (), ("mine.yaml", "line 2 has an alias (*a)")),
        ("# " + "x" * 10_000_000, (), ("mine.yaml", "has 10,000,002 characters, and settings at most 200,000")),
        ("track: {project: hf_" + "a" * 30 + "}", (), ("track.project holds what looks like a key or a password",)),
        ("", ("model.id=https://me:secretword@example.org/m",), ("model.id holds what looks like a key",)),
        ("name: " + "x" * 300, (), ("name", "at most 80 characters")),
        ("train: {backend: trl}\nmodel: {load_in_4bit: true}", (), ("train.backend",)),
        ("train: {backend: trl, rollouts: vllm}\nmodel: {precision: fp32}", (), ("model.precision", "train.rollouts")),
        ("train: {rollouts: vllm, temperature: 0.005}", (), ("train.temperature", "0.01 to 2")),
        ("eval: {precision: fp32}", (), ("eval.precision", "vllm scores in bf16")),
        ("eval: {enforce_eager: true}", (), ("eval.enforce_eager", "batch-invariant only if it compiles")),
        ("eval: {temperature: 0.001}", (), ("eval.temperature", "0.01 to 2")),
        ("eval: {temperature: 2.5}", (), ("eval.temperature", "0.01 to 2")),
        ("lora: {r: 600}", (), ("lora.r", "up to rank 512")),
        ("lora: {finetune_vision_layers: true}", (), ("lora.finetune_vision_layers", "only the text model")),
        ("model: {load_in_4bit: true, load_in_8bit: true}", (), ("model.load_in_8bit",)),
        ("eval: {samples: 4}", (), ("eval.samples", "greedy")),
        ("prompt: {tags: {working_end: <start_working_out>}}", (), ("prompt.tags",)),
        ("prompt: {tags: {working_end: ' </a>'}}", (), ("prompt.tags", "without spaces around it")),
        ('prompt: {tags: {solution_start: "<a\\nb>"}}', (), ("prompt.tags", "must be one line")),
        ("prompt: {tags: {solution_end: SOLUTION}}", (), ("prompt.tags", "not part of another tag")),
        ("name: a/b", (), ("name", "text that matches ^[A-Za-z0-9]")),
        ("train: {seeds: []}", (), ("train.seeds: found [], allowed: a list of at least 1",)),
        ("", ("train.steps=",), ("train.steps: found null",)),
        ("- a\n- b", (), ("mine.yaml", "found list", "mapping")),
        ("train: {steps: 1\n", (), ("mine.yaml", "is not valid YAML")),
        ("train: {steps: 1, steps: 2}", (), ("given twice",)),
        ("", ("train.steps=x",), ("command line", "train.steps")),
        ("", ("train.steps",), ("command line", "key.path=value")),
        ("", ("train.steps.more=1",), ("command line",)),
        ("train: {steps: 5}", ("train.steps.more=1",), ("train.steps has no keys of its own",)),
    ],
)
def test_refusals_are_one_line_that_says_what_to_do(tmp_path, text, overrides, parts):
    message = refusal(tmp_path, text, *overrides)
    for part in parts:
        assert part in message


def test_a_missing_or_unreadable_file(tmp_path):
    with pytest.raises(HarnessError, match=r"did you mean experiments/quickstart\.yaml"):
        loading.find_experiment("exp/quikstart.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(HarnessError, match="cannot be read"):
        loading.load(tmp_path / "bytes.yaml")


@pytest.mark.parametrize("name", ["exp/quickstart.yaml", "exp/quickstart", "quickstart", "experiments/quickstart.yaml"])
def test_short_names_mean_the_file_in_experiments(name, tmp_path, monkeypatch):
    assert loading.find_experiment(name).read_text() == (ROOT / "experiments/quickstart.yaml").read_text()
    monkeypatch.chdir(tmp_path)  # from anywhere
    assert loading.find_experiment("quickstart").name == "quickstart.yaml"


def test_the_digest_covers_what_changes_a_number_and_nothing_else(tmp_path):
    base = load(tmp_path, "").digest()
    for outside in (
        "name=other",
        "train.resume_every=3",
        "train.save_steps=7",
        "eval.noise_floor=true",
        "eval.elicit=9",
    ):
        assert load(tmp_path, "", outside).digest() == base
    for inside in ("train.steps=51", "lora.r=4", "eval.limit=9", "prompt.system=Think.", "train.seeds=[1]"):
        assert load(tmp_path, "", inside).digest() != base


def test_the_kept_steps_count_where_a_curve_is_drawn_through_them(tmp_path):
    without = load(tmp_path, "").digest()
    assert load(tmp_path, "", "eval.curve=false", "train.checkpoint=last", "train.save_steps=7").digest() == without
    curve = load(tmp_path, "", "eval.curve=true").digest()
    every_seven = load(tmp_path, "", "eval.curve=true", "train.save_steps=7").digest()
    best = load(tmp_path, "", "eval.curve=true", "train.checkpoint=best_dev").digest()
    assert len({without, curve, every_seven, best}) == 4


def test_a_run_made_before_there_was_a_curve_keeps_its_digest():
    """The run directory's name contains the digest: these are its first eight digits, which must not change."""
    assert loading.load(ROOT / "experiments/grpo_r8.yaml", ["train.rollouts=hf"]).digest()[:8] == "7146f4f0"


def test_vllms_settings_count_where_they_change_a_number(tmp_path):
    """With the other engine none of them counts; its memory share counts if completions depend on their batch."""
    settings = ("eval.batch_invariant=false", "eval.enforce_eager=true", "eval.gpu_memory_utilization=0.5")
    other = load(tmp_path, "eval: {engine: transformers}").digest()
    assert {load(tmp_path, "eval: {engine: transformers}", setting).digest() for setting in settings} == {other}
    on, off = load(tmp_path, ""), load(tmp_path, "", settings[0])
    assert len({on.digest(), off.digest(), load(tmp_path, "", *settings[:2]).digest()}) == 3
    assert load(tmp_path, "", settings[2]).digest() == on.digest()
    assert load(tmp_path, "", settings[0], settings[2]).digest() != off.digest()


def test_the_written_configuration_reads_back_as_itself(tmp_path):
    one = load(tmp_path, "", "train.learning_rate=5e-6", "prompt.system=Zwei\nZeilen: ü")
    again = load(tmp_path, one.to_yaml())
    assert again == one and again.digest() == one.digest()


@pytest.mark.parametrize("text", ["5e-6", "1E5", ".5e3", "1.5", "null", "Solve it.\x85", "a\u2028b\u2029", "\ufeff: #"])
def test_any_text_reads_back_as_itself(tmp_path, text):
    one = loading.validate({"name": "5e-6", "prompt": {"system": text}, "model": {"revision": text}}, "here")
    assert load(tmp_path, one.to_yaml()) == one


def test_sections_may_be_made_of_others(tmp_path):
    text = "train: &all {steps: 7, top_k: 5}\neval: {limit: 3}\n"
    merged = load(tmp_path, text.replace("&all", "") + "lora: {r: 4}")
    assert load(tmp_path, "train:\n  <<: {steps: 9, top_k: 5}\n  steps: 7\neval: {limit: 3}\nlora: {r: 4}") == merged
    assert "key 'r' given twice" in refusal(tmp_path, "lora: {r: 4, <<: {alpha: 3}, r: 5}")


def test_bytes_of_another_encoding_are_refused(tmp_path):
    message = refusal(tmp_path, "", "prompt.system=" + os.fsdecode(b"Denk. \xff"))
    assert message == r"command line: 'Denk. \udcff' is not valid UTF-8; write it in UTF-8"


def test_a_training_is_never_all_warm_up(tmp_path):
    for steps, ratio, expected in ((50, 0.1, 5), (51, 0.1, 6), (1, 0.1, 0), (2, 1.0, 1), (10, 0.0, 0)):
        found = load(tmp_path, "", f"train.steps={steps}", f"train.warmup_ratio={ratio}")
        assert found.warmup_steps == expected


def test_a_weight_that_float32_does_not_hold_is_refused(tmp_path):
    functions = "rewards.functions=[{name: check_answer, weight: 1e39}]"
    assert "rewards.functions.0.weight: found 1e+39, allowed: less than" in refusal(tmp_path, "", functions)


def test_a_refusal_does_nothing_to_a_terminal(tmp_path):
    file = tmp_path / "red\x1b[31m\u202etxt.yaml"
    file.write_text("modle: {}", encoding="utf-8")
    done = harness("run", file, "--dry-run")
    refused(done, "red⟨U+001B⟩[31m⟨U+202E⟩txt.yaml: ")


def test_a_reward_may_be_a_name_alone(tmp_path):
    named = load(tmp_path, "rewards: {functions: [check_answer, {name: check_numbers, weight: 2.0}]}")
    spelled = load(tmp_path, "rewards: {functions: [{name: check_answer}, {name: check_numbers, weight: 2.0}]}")
    assert named == spelled and named.digest() == spelled.digest()


@pytest.mark.parametrize(
    ("override", "write"),
    [
        ("train.seeds=0,1", "train.seeds=[0,1]"),
        ("train.seeds=7", "train.seeds=[7]"),
        ("rewards.functions=check_answer", "rewards.functions=[check_answer]"),
    ],
)
def test_a_list_without_brackets_is_answered_with_brackets(tmp_path, override, write):
    assert refusal(tmp_path, "", override).endswith(f"allowed: a list; write {write}")


def test_the_list_of_settings_is_that_of_the_schema():
    from harness import settings

    written = (ROOT / "experiments/SETTINGS.md").read_text()
    assert written == settings.markdown(), "python -m harness.settings > experiments/SETTINGS.md"
    assert {f"`{key}`" for key in loading.leaves()} - {"`name`"} == set(
        re.findall(r"^\| (`[^`]+`) ", written, re.MULTILINE)
    )


def test_further_tasks_are_outside_the_digest_and_the_first_is_in_it(tmp_path):
    def digest(*settings: str) -> str:
        return load(tmp_path, "{}", *settings).digest()

    own = digest()
    assert digest("eval.tasks=[gsm8k, svamp, asdiv]", "data.benchmarks=somewhere") == own
    other = digest("eval.tasks=[svamp]", "data.benchmarks=somewhere")
    assert other == digest("eval.tasks=[svamp, gsm8k]", "data.benchmarks=somewhere") != own
    assert digest("eval.tasks=[svamp]") not in (own, other)  # the file may hold other questions


def test_a_further_task_has_the_settings_of_the_experiment_at_its_own_length(tmp_path):
    config = load(tmp_path, "{}", "eval.tasks=[gsm8k, math500, svamp]", "eval.max_new_tokens=100", "eval.limit=7")
    for task, tokens in (("math500", 200), ("svamp", 100)):
        asked = config.asking(task).eval
        assert (asked.tasks, asked.max_new_tokens, asked.limit) == ([task], tokens, 7)
