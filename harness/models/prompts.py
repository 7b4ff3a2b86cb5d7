"""Messages → token ids through the checkpoint's own chat template, and the checks on them.

Base and tuned evaluations use these ids; training checks that its library makes the same ones.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from harness.config.schema import Config
from harness.models.checkpoint import Checkpoint, resolve
from harness.tasks.dataset import Data, Message, messages
from harness.tasks.records import Problem
from harness.util import files
from harness.util.errors import HarnessError, in_short


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question as the model sees it."""

    problem_id: str
    ids: tuple[int, ...]
    hash: str  # of the ids; stored with every completion

    @staticmethod
    def of(problem_id: str, ids: Sequence[int]) -> Prompt:
        return Prompt(problem_id, tuple(ids), ids_hash(ids))


@dataclass(frozen=True, slots=True)
class Questions:
    """The questions of an evaluation, in order, as problems and as prompts, with their tokenizer."""

    problems: tuple[Problem, ...]
    prompts: tuple[Prompt, ...]
    checkpoint: Checkpoint
    tokenizer: PreTrainedTokenizerBase

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt."""
        return max(len(prompt.ids) for prompt in self.prompts)


def prepare(config: Config, data: Data, *, weights: bool = True, beside: Questions | None = None) -> Questions:
    """The evaluation's problems as prompts, each of them checked, all within the model's context.

    Raises HarnessError. With weights=False a hub model's weight files are not fetched. beside: other questions, whose
    checkpoint and tokenizer are used again.
    """
    checkpoint = beside.checkpoint if beside else resolve(config.model, weights=weights)
    tokenizer = beside.tokenizer if beside else load_tokenizer(checkpoint)
    problems = data.asked(config.eval.split, config.eval.limit)
    prompts = encode(tokenizer, problems, config.prompt.system)
    check_context(checkpoint, prompts, config.eval.max_new_tokens)
    return Questions(problems, tuple(prompts), checkpoint, tokenizer)


def asked_by(chat: Callable[[str], list[Message]], questions: Questions, config: Config) -> Questions:
    """The same questions asked in another way. Raises HarnessError as `prepare`."""
    tokenizer, problems = questions.tokenizer, questions.problems
    made = encode_chats(tokenizer, problems, [chat(problem.question) for problem in problems])
    check_context(questions.checkpoint, made, config.eval.max_new_tokens)
    return dataclasses.replace(questions, prompts=tuple(made))


def ids_hash(ids: Sequence[int]) -> str:
    """The first 16 hex digits of the SHA-256 of the token ids."""
    return hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()[:16]


def hash_of_all(prompts: Sequence[Prompt]) -> str:
    """SHA-256, in hex, over the ordered prompt hashes of an evaluation, for its whole input."""
    return hashlib.sha256("\n".join(prompt.hash for prompt in prompts).encode()).hexdigest()


def quiet() -> None:
    """Switch off loading bars and warnings of transformers, which would hide our own lines."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def load_tokenizer(checkpoint: Checkpoint) -> PreTrainedTokenizerBase:
    """The checkpoint's tokenizer, with the chat template of the experiment if it names one.

    Raises HarnessError if it has none, or no chat template.
    """
    quiet()
    try:
        tokenizer = AutoTokenizer.from_pretrained(checkpoint.path, padding_side="left")
    except (OSError, ValueError) as error:
        raise HarnessError(f"model.id: {checkpoint.id} has no usable tokenizer: {error}") from None
    if checkpoint.chat_template is not None:
        tokenizer.chat_template = checkpoint.chat_template
    if not tokenizer.chat_template:
        raise HarnessError(
            f"model.id: {checkpoint.id} has no chat template: use an instruction-tuned checkpoint, or give it one with "
            f"model.chat_template=FILE"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or turn_end(tokenizer)  # as TRL does
    return tokenizer


def encode(tokenizer: PreTrainedTokenizerBase, problems: Sequence[Problem], system: str) -> list[Prompt]:
    """Render, tokenize and check each problem, in order."""
    return encode_chats(tokenizer, problems, [messages(problem.question, system) for problem in problems])


def encode_chats(
    tokenizer: PreTrainedTokenizerBase, problems: Sequence[Problem], chats: Sequence[list[Message]]
) -> list[Prompt]:
    """The same for the messages that each problem is asked with."""
    rendered = _rendered(tokenizer, chats, add_generation_prompt=True)
    prompts = [Prompt.of(p.id, ids) for p, ids in zip(problems, rendered, strict=True)]
    for problem, prompt, chat in zip(problems, prompts, chats, strict=True):
        _check_prompt(tokenizer, problem, prompt.ids, chat)
    return prompts


def _rendered(tokenizer: PreTrainedTokenizerBase, chats: Sequence[Any], **how: Any) -> list[list[int]]:
    """The chats as token ids by the chat template. Raises HarnessError if it cannot render them."""
    try:
        return tokenizer.apply_chat_template(chats, tokenize=True, return_dict=True, **how)["input_ids"]
    except Exception as error:  # a template may divide by zero
        raise HarnessError(
            f"model.chat_template: the chat template cannot render a system text and a question ({in_short(error)})"
        ) from None


def _check_prompt(
    tokenizer: PreTrainedTokenizerBase, problem: Problem, ids: Sequence[int], chat: Sequence[Message]
) -> None:
    """Raise HarnessError unless there is exactly one BOS and every message is in the prompt.

    SmolLM2's BOS is the token that opens a turn, so there is one for each turn.
    """
    bos = tokenizer.bos_token_id
    if bos is not None and (count := ids.count(bos)) != 1 and not _opens_turns(tokenizer, ids, chat):
        raise HarnessError(f"prompt: found {count} BOS tokens in the prompt of problem {problem.id}, expected one")
    text = tokenizer.decode(ids, skip_special_tokens=False)
    # Templates trim their input, and tokenizers may normalize whitespace, so only the words are compared.
    words = " ".join(text.split())
    what = {"system": "system text", "user": "question", "assistant": "solution of an example"}
    for message in chat:
        if " ".join(message["content"].split()) not in words:
            raise HarnessError(
                f"prompt: the {what[message['role']]} is missing from the prompt that the chat template made for "
                f"problem {problem.id}"
            )


def _opens_turns(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], chat: Sequence[Message]) -> bool:
    """Whether the BOS is before each turn of the prompt, the model's own included, and nowhere else.

    A template may add a system text of its own where the chat has none.
    """
    places = [place for place, token in enumerate(ids) if token == tokenizer.bos_token_id]
    turns = len(chat) + 1
    added = chat[0]["role"] != "system" and len(places) == turns + 1
    return (len(places) == turns or added) and places[0] == 0 and all(b - a > 1 for a, b in pairwise(places))


def padding(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt]) -> str | None:
    """The tokenizer's padding token, or another one if it occurs in a prompt or ends a turn.

    The other one is the first special token that does neither, tokens with "pad" in their names first; None if there is
    none.
    """
    used = {token for prompt in prompts for token in prompt.ids}
    used.add(tokenizer.convert_tokens_to_ids(turn_end(tokenizer)))
    special = [(i, token.content) for i, token in sorted(tokenizer.added_tokens_decoder.items()) if token.special]
    ids = [i for i, _ in sorted(special, key=lambda pair: "pad" not in pair[1].lower())]
    if (free := next((i for i in [tokenizer.pad_token_id, *ids] if i not in used), None)) is None:
        return None
    return tokenizer.convert_ids_to_tokens(free)


def turn_end(tokenizer: PreTrainedTokenizerBase) -> str:
    """The token with which the chat template ends the model's turn (for Gemma `<end_of_turn>`, not `<eos>`).

    Raises HarnessError if the template puts no special token after an answer.
    """
    asked = {"role": "user", "content": "1+1?"}
    one, other = _rendered(tokenizer, [[asked, {"role": "assistant", "content": answer}] for answer in ("2", "7")])
    # What follows the answer is what the two have in common at their ends: some templates put special tokens before it.
    backwards = zip(reversed(one), reversed(other), strict=False)
    after = [token for token, _ in takewhile(lambda pair: pair[0] == pair[1], backwards)]
    # Gemma 3's <end_of_turn> is a special added token, but not one of the tokenizer's named special tokens.
    special = {*tokenizer.all_special_ids, *(i for i, t in tokenizer.added_tokens_decoder.items() if t.special)}
    for token in reversed(after):
        if token in special:
            return tokenizer.convert_ids_to_tokens(token)
    raise HarnessError(
        "model.id: the chat template does not end the model's turn with a special token, so completions would not "
        "stop; use another checkpoint"
    )


def stop_ids(checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Every token id that ends a completion, ascending: the checkpoint's own and the end of a turn."""
    end = tokenizer.convert_tokens_to_ids(turn_end(tokenizer))
    return sorted(checkpoint.generation_stop_ids | {end, tokenizer.eos_token_id} - {None})


def write_stop_ids(checkpoint: Checkpoint, folder: Path) -> None:
    """Have a copy of the checkpoint in this folder end a turn where the training and the evaluations end it."""
    stops = stop_ids(checkpoint, load_tokenizer(checkpoint))
    if stops != sorted(checkpoint.generation_stop_ids):
        config = folder / "generation_config.json"
        files.write_json(config, (files.read_json(config) if config.exists() else {}) | {"eos_token_id": stops})


def check_context(checkpoint: Checkpoint, prompts: Sequence[Prompt], max_new_tokens: int) -> None:
    """Raise HarnessError if a prompt and its completion do not fit the model's context; prompts are never cut."""
    longest = max(prompts, key=lambda prompt: len(prompt.ids))
    if len(longest.ids) + max_new_tokens > checkpoint.context:
        over = sum(len(prompt.ids) + max_new_tokens > checkpoint.context for prompt in prompts)
        raise HarnessError(
            f"eval.max_new_tokens: {over} of {len(prompts)} questions do not fit the model's context of "
            f"{checkpoint.context} tokens; the longest prompt, problem {longest.problem_id}, has {len(longest.ids)}, "
            f"which leaves {max(checkpoint.context - len(longest.ids), 0)} for new tokens"
        )
