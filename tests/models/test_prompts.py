"""Messages to token ids, and their checks: one BOS, nothing lost, a turn that ends, a context that is large enough."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from harness.config import loading
from harness.models import checkpoint, prompts
from harness.run import inputs
from harness.runs import directory
from harness.tasks.benchmarks import gsm8k
from harness.util.errors import HarnessError

CONFIG = loading.load(loading.find_experiment("quickstart"))
CHECKPOINT = checkpoint.resolve(CONFIG.model)


@pytest.fixture(scope="module")
def problems():
    return gsm8k.load(CONFIG.data.source()).test[:20]


@pytest.fixture
def tokenizer():
    return prompts.load_tokenizer(CHECKPOINT)


def test_a_prompt_is_the_chat_template_tokenized_once(tokenizer, problems):
    (prompt, *_) = prompts.encode(tokenizer, problems, CONFIG.prompt.system)
    text = tokenizer.decode(prompt.ids)
    assert text.count("<bos>") == 1
    assert text.endswith("<start_of_turn>model\n")
    assert CONFIG.prompt.system in text and problems[0].question in text
    assert prompt.problem_id == problems[0].id and prompt.hash == prompts.ids_hash(prompt.ids)


def test_another_system_prompt_is_another_input(tokenizer, problems):
    ours = prompts.encode(tokenizer, problems, CONFIG.prompt.system)
    other = prompts.encode(tokenizer, problems, "Answer briefly.")
    assert prompts.hash_of_all(ours) != prompts.hash_of_all(other)
    assert prompts.hash_of_all(ours) == prompts.hash_of_all(prompts.encode(tokenizer, problems, CONFIG.prompt.system))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda template: "{{ bos_token }}" + template, "2 BOS tokens"),
        (lambda template: template.replace("{{ bos_token }}", "").replace("bos_token", "''"), "0 BOS tokens"),
        (lambda template: "{{ bos_token }}{{ messages[-1]['content'] }}", "system text is missing from the prompt"),
        (lambda template: "{{ bos_token }}{{ messages[0]['content'] }}", "question is missing from the prompt"),
    ],
)
def test_the_gate_stops_a_template_that_loses_or_doubles_something(tokenizer, problems, change, part):
    tokenizer.chat_template = change(tokenizer.chat_template)
    with pytest.raises(HarnessError, match=part):
        prompts.encode(tokenizer, problems, CONFIG.prompt.system)


SMOLLM2 = (  # the shape of its chat template
    "{% for m in messages %}{{ '<start_of_turn>' + m['role'] + '\n' + m['content'] + '<end_of_turn>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>assistant\n' }}{% endif %}"
)


def test_a_bos_that_opens_each_turn_passes_the_gate_and_none_beside_it(tokenizer, problems):
    tokenizer.chat_template, tokenizer.bos_token = SMOLLM2, "<start_of_turn>"
    (prompt, *_) = prompts.encode(tokenizer, problems, CONFIG.prompt.system)
    assert prompt.ids.count(tokenizer.bos_token_id) == 3  # system, user and the model's own
    for change in ("<start_of_turn>" + SMOLLM2, SMOLLM2.replace("'<start_of_turn>assistant", "'assistant")):
        tokenizer.chat_template = change
        with pytest.raises(HarnessError, match=r"[24] BOS tokens"):
            prompts.encode(tokenizer, problems, CONFIG.prompt.system)


def test_a_tokenizer_without_a_padding_token_pads_with_its_end(tmp_path):
    shutil.copytree(CHECKPOINT.path, tmp_path / "model")
    settings = tmp_path / "model" / "tokenizer_config.json"
    named = json.loads(settings.read_text())
    del named["pad_token"]
    settings.write_text(json.dumps(named))
    assert prompts.load_tokenizer(checkpoint.Checkpoint("mine", tmp_path / "model")).pad_token == "<eos>"


@pytest.mark.parametrize(
    ("own", "found"),
    [
        ("<pad>", "<pad>"),
        ("<eos>", "<eos>"),  # what no prompt holds and no turn ends with will do, as published Qwen2.5 has it
        ("<end_of_turn>", "<pad>"),  # as published SmolLM2 has it
        ("<start_of_turn>", "<pad>"),
    ],
)
def test_padding_is_a_token_of_no_prompt_and_no_turns_end(tokenizer, problems, own, found):
    encoded = prompts.encode(tokenizer, problems, CONFIG.prompt.system)
    tokenizer.pad_token = own
    assert prompts.padding(tokenizer, encoded) == found


def test_no_token_pads_where_the_prompts_hold_them_all(tokenizer):
    everything = prompts.Prompt.of("all", range(len(tokenizer)))
    assert prompts.padding(tokenizer, [everything]) is None


def test_the_turn_ends_with_gemmas_token_and_that_stops_a_completion(tokenizer):
    assert prompts.turn_end(tokenizer) == "<end_of_turn>"
    assert tokenizer.eos_token == "<eos>"
    stops = tokenizer.convert_ids_to_tokens(prompts.stop_ids(CHECKPOINT, tokenizer))
    assert set(stops) >= {"<eos>", "<end_of_turn>"}


def test_a_turn_end_that_is_special_among_the_added_tokens_only_is_found(tokenizer):
    """Gemma 3's own tokenizer names bos, eos, pad, unk and three image tokens; its <end_of_turn> is just added."""
    bare = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>"
    )
    bare.chat_template = tokenizer.chat_template
    assert "<end_of_turn>" not in bare.all_special_tokens
    assert prompts.turn_end(bare) == "<end_of_turn>"


def test_special_tokens_before_an_answer_do_not_end_its_turn(tokenizer):
    opened = "{{ ('<unk>' if message['role'] == 'assistant' else '') + (system"
    tokenizer.chat_template = tokenizer.chat_template.replace("{{ (system", opened)
    chat = [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}]
    assert "<unk>2<end_of_turn>" in tokenizer.apply_chat_template(chat, tokenize=False)
    assert prompts.turn_end(tokenizer) == "<end_of_turn>"


def test_a_template_that_ends_no_turn_is_refused(tokenizer):
    tokenizer.chat_template = tokenizer.chat_template.replace("<end_of_turn>", "")
    with pytest.raises(HarnessError, match="does not end the model's turn"):
        prompts.turn_end(tokenizer)


def test_questions_that_do_not_fit_are_an_error_that_says_what_fits(tokenizer, problems):
    encoded = prompts.encode(tokenizer, problems, CONFIG.prompt.system)
    longest = max(len(prompt.ids) for prompt in encoded)
    room = CHECKPOINT.context - longest
    prompts.check_context(CHECKPOINT, encoded, room)
    with pytest.raises(HarnessError, match=f"leaves {room} for new tokens"):
        prompts.check_context(CHECKPOINT, encoded, room + 1)


# ---- the experiment's own chat template


@pytest.fixture
def untemplated(tmp_path):
    """A checkpoint without a chat template, as pretrained models are, and its template as a file."""
    folder = shutil.copytree(CHECKPOINT.path, tmp_path / "model")
    return folder, (folder / "chat_template.jinja").rename(tmp_path / "ours.jinja")


def test_a_template_that_was_edited_is_another_input(untemplated, tmp_path, monkeypatch):
    """Prompts would be other ones after a resume, and an export would ask as no score was measured."""
    folder, template = untemplated
    own = shutil.copy(template, folder / "chat_template.jinja")
    run = directory.open_run("quickstart", [f"model.id={folder}"], tmp_path / "results")
    run.pin(inputs.local_inputs(run.config))
    Path(own).write_text(template.read_text() + "\n")
    with pytest.raises(HarnessError, match="the tokenizer changed since this run began"):
        run.check_pinned(inputs.local_inputs(run.config))
    monkeypatch.chdir(tmp_path)
    for model in ("tiny", "owner/name"):  # the second is the hub's, and only the file is here
        run = directory.open_run("quickstart", [f"model.id={model}", "model.chat_template=ours.jinja"], tmp_path / "r")
        run.pin(inputs.local_inputs(run.config))
        template.write_text(template.read_text() + "\n")
        with pytest.raises(HarnessError, match="the chat template changed since this run began"):
            run.check_pinned(inputs.local_inputs(run.config))


def asked_of(model, template):
    settings = [f"model.id={model}", f"model.chat_template={template or 'null'}"]
    return loading.load(loading.find_experiment("quickstart"), settings)


def test_a_checkpoint_without_a_template_is_given_one(untemplated, problems, monkeypatch):
    folder, template = untemplated
    bare = checkpoint.resolve(asked_of(folder, None).model)
    with pytest.raises(HarnessError, match=r"no chat template: .* or give it one with model.chat_template=FILE"):
        prompts.load_tokenizer(bare)
    monkeypatch.chdir(template.parent)
    given = checkpoint.resolve(asked_of(folder, template.name).model)
    tokenizer = prompts.load_tokenizer(given)
    own = prompts.encode(prompts.load_tokenizer(CHECKPOINT), problems, CONFIG.prompt.system)
    assert prompts.encode(tokenizer, problems, CONFIG.prompt.system) == own
    assert prompts.stop_ids(given, tokenizer) == prompts.stop_ids(CHECKPOINT, prompts.load_tokenizer(CHECKPOINT))
    assert given.tokenizer_hash != bare.tokenizer_hash
    own = {"base weights", "tokenizer"}
    assert bare.inputs.keys() == own and given.inputs.keys() == own | {"chat template"}
    before = given.inputs["chat template"]
    template.write_text(template.read_text() + "\n")
    assert checkpoint.resolve(asked_of(folder, template.name).model).inputs["chat template"] != before


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (None, "cannot be read"),
        ("{% if", "cannot render a system text and a question"),
        ("{{ raise_exception('no system role') }}", r"cannot render a system text and a question \(no system role\)"),
        ("{{ messages + 1 }}", "cannot render a system text and a question"),
        ("{{ 1 / 0 }}", r"cannot render a system text and a question \(division by zero\)"),
        ("{{ bos_token }}", "system text is missing"),
    ],
)
def test_a_template_that_cannot_be_used_is_one_line(untemplated, problems, text, part):
    folder, template = untemplated
    template.unlink() if text is None else template.write_text(text)
    with pytest.raises(HarnessError, match=part) as refused:
        given = checkpoint.resolve(asked_of(folder, template).model)
        prompts.encode(prompts.load_tokenizer(given), problems, CONFIG.prompt.system)
    assert "\n" not in str(refused.value)


def test_the_shipped_template_for_gemma_asks_as_the_embedded_one_does(problems):
    """Google's pretrained Gemma 3 has the tokens for turns, but no template."""
    given = checkpoint.resolve(asked_of("tiny", "experiments/templates/gemma3.jinja").model)
    texts = [
        prompts.load_tokenizer(each).decode(prompts.encode(prompts.load_tokenizer(each), problems[:1], "Hm.")[0].ids)
        for each in (CHECKPOINT, given)
    ]
    assert texts[0] == texts[1]
