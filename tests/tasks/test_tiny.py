"""The embedded tiny model: its problems are really held out, and its checkpoint is as the README says."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from random import Random

import pytest

from harness.tasks.scoring import score
from harness.tasks.tiny import CHECKPOINT
from harness.tasks.tiny import problems as tiny_problems
from harness.tasks.tiny.templates import TEMPLATES, WORDS

ANNOTATION = re.compile(r"(\d+)([-+*/])(\d+)=<<\1\2\3=(\d+)>>\4 ")


def everything() -> dict[str, list[tiny_problems.TinyProblem]]:
    made = {split: tiny_problems.problems(split, n) for split, n in tiny_problems.SIZES.items()}
    made["pretrain"] = list(itertools.islice(tiny_problems.stream("pretrain", seed=7), 50_000))
    return made


@pytest.fixture(scope="module")
def made() -> dict[str, list[tiny_problems.TinyProblem]]:
    return everything()


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(CHECKPOINT)


@pytest.fixture(scope="module")
def model():
    import torch
    from transformers import Gemma3ForCausalLM

    return Gemma3ForCausalLM.from_pretrained(CHECKPOINT, dtype=torch.float32).eval()


# --- problems.py ---


def test_rows_are_the_same_on_every_machine():
    text = json.dumps([tiny_problems.rows(split, 100) for split in tiny_problems.SIZES])
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    # Base scores and learning curves depend on these rows: a change here is a new benchmark, and README's figures
    # and the checkpoint must then be made again.
    assert digest == "00cdcc68d79ce690"


def test_rows_are_distinct_and_seeded():
    first = tiny_problems.rows("train", 300)
    assert first == tiny_problems.rows("train", 300)
    assert first[:50] == tiny_problems.rows("train", 50)
    assert first != tiny_problems.rows("train", 300, seed=1)
    assert len({r["question"] for r in first}) == 300
    assert {k: len(tiny_problems.rows(k)) for k in tiny_problems.SIZES} == tiny_problems.SIZES
    with pytest.raises(ValueError, match="unknown split 'valid'; one of pretrain, train, dev, test"):
        tiny_problems.rows("valid", 1)


def test_answers_follow_gsm8k_and_their_arithmetic_is_right(made):
    operators = tiny_problems.OPERATORS
    for problem in itertools.chain(made["train"], made["dev"], made["test"], made["pretrain"][:2000]):
        *lines, last = problem.answer.split("\n")
        results = []
        for line in lines:
            found = ANNOTATION.match(line)
            assert found, line
            left, op, right, result = int(found[1]), found[2], int(found[3]), int(found[4])
            assert operators[op](left, right) == result
            assert op != "/" or left % right == 0
            results.append(result)
        assert last == f"#### {results[-1]}" == f"#### {problem.gold}"
        assert 2 <= problem.gold <= tiny_problems.MAX_VALUE
        assert sorted(map(int, re.findall(r"\d+", problem.question))) == list(problem.numbers)
        assert not re.search(r"[{}]|\ba [aeiou]", problem.question, re.IGNORECASE)


def test_no_two_splits_share_a_filling_or_a_number_tuple(made):
    assert len(made["test"]) >= 1000 and len(made["pretrain"]) >= 50_000
    for one, other in itertools.combinations(made, 2):
        assert not {p.filling for p in made[one]} & {p.filling for p in made[other]}, (one, other)
        assert not {p.numbers for p in made[one]} & {p.numbers for p in made[other]}, (one, other)
        assert not {p.question for p in made[one]} & {p.question for p in made[other]}, (one, other)


def test_a_filling_is_what_the_question_says(made):
    for problem in made["dev"]:
        template = next(t for t in TEMPLATES if t.name == problem.filling[0])
        words = dict(zip(tiny_problems._fields(template.name), problem.filling[1:], strict=True))
        assert all(word in WORDS[field] and word in problem.question for field, word in words.items())


def test_every_template_reaches_every_split(made):
    assert 12 <= len(TEMPLATES) <= 25
    for split, found in made.items():
        assert {p.filling[0] for p in found} == {t.name for t in TEMPLATES}, split


def test_pretraining_texts_are_right_and_only_some_are_exact(made):
    draw = Random(1).random
    scores = [score(tiny_problems.pretraining_text(p, draw), str(p.gold)) for p in made["pretrain"][:3000]]
    assert all(s.correct for s in scores)  # no wrong arithmetic is ever taught
    assert 0.3 < sum(s.exact_format for s in scores) / len(scores) < 0.6
    exact = [style for style in tiny_problems.STYLES if style.startswith("exact")]
    for style in tiny_problems.STYLES:
        text = tiny_problems.completion(made["dev"][0], style)
        assert score(text, str(made["dev"][0].gold)).exact_format == (style in exact), style


# --- the checkpoint ---


def test_files_are_few_and_small():
    names = sorted(p.name for p in CHECKPOINT.iterdir())
    assert names == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert sum(p.stat().st_size for p in CHECKPOINT.iterdir()) < 4e6


def test_chat_template_is_gemmas(tokenizer):
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "What is 2+3?"}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == ("<bos><start_of_turn>user\nBe kind.\n\nWhat is 2+3?<end_of_turn>\n<start_of_turn>model\n")
    ids = tokenizer.apply_chat_template(messages, tokenize=True, add_generation_prompt=True)["input_ids"]
    assert ids.count(tokenizer.bos_token_id) == 1 and ids[0] == tokenizer.bos_token_id
    assert ids == tokenizer(text, add_special_tokens=False)["input_ids"]

    turns = [*messages, {"role": "assistant", "content": "5"}, {"role": "user", "content": "Sure?"}]
    text = tokenizer.apply_chat_template(turns, tokenize=False)
    assert text.endswith("<start_of_turn>model\n5<end_of_turn>\n<start_of_turn>user\nSure?<end_of_turn>\n")
    with pytest.raises(Exception, match="take turns"):
        tokenizer.apply_chat_template([*messages, messages[1]], tokenize=False)


def test_tokenizer_keeps_any_text(tokenizer):
    for text in (
        "<start_working_out>\n3*4=12 muffins\n<end_working_out>\n<SOLUTION>12</SOLUTION>",
        "  two  blanks\ttab\r\n\n\n newlines ",
        "Zoë paid €1,234.50 for 3½ kg of 茄子 🦆 — <b>why</b>? {x_1} \\boxed{7}",
        "".join(map(chr, range(32, 127))),
    ):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
    assert len(tokenizer("2024", add_special_tokens=False)["input_ids"]) == 4
    for tag in (tiny_problems.TAGS.working_start, tiny_problems.TAGS.solution_end):
        assert tag not in tokenizer.all_special_tokens
        assert len(tokenizer(tag, add_special_tokens=False)["input_ids"]) == 1
    assert tokenizer.eos_token == "<eos>"
    assert tokenizer("hi")["input_ids"][0] == tokenizer.bos_token_id


def test_model_is_a_small_gemma3(model, tokenizer):
    config = model.config
    assert config.model_type == "gemma3_text" and config.architectures == ["Gemma3ForCausalLM"]
    assert 0.9e6 < sum(p.numel() for p in model.parameters()) < 4e6
    assert config.max_position_embeddings == 1024 and config.head_dim % 32 == 0
    assert config.layer_types[-1] == "full_attention" and "sliding_attention" in config.layer_types
    stops = [tokenizer.convert_tokens_to_ids(t) for t in ("<eos>", "<end_of_turn>")]
    assert model.generation_config.eos_token_id == stops
    assert config.vocab_size == len(tokenizer)


def test_base_is_imperfect_as_intended():
    from harness.tasks.tiny.make import measure

    base = measure(CHECKPOINT, tiny_problems.rows("test", 120), "cpu")
    assert 60 <= base["accuracy"] <= 88  # README: 74.2 on all of test
    assert 40 <= base["format"] <= 78  # README: 60.3
    assert 22 <= base["strict"] <= 58  # README: 40.1
