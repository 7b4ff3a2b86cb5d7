"""What the runs of one table share, in words: the fields of harness.runs.results.Conditions, and the base's weights."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

BASE = "base weights"


class Named(NamedTuple):
    """A condition as the page names it."""

    words: str
    meaning: str


# Hashes are shown by their first eight characters.
WORDS = {
    "questions": Named("questions", "how many each model was asked"),
    "prompts": Named(
        "prompts",
        "a hash over the tokens of all prompts: it changes with the system text, the chat template and the questions",
    ),
    "max_new_tokens": Named("longest answer, tokens", "an answer that reaches this limit is cut, and counts as wrong"),
    "sampling": Named(
        "how a token is drawn",
        "temperature 0 takes the likeliest token (greedy); top_p 1, top_k 0 and min_p 0 leave none out",
    ),
    "samples": Named("answers to a question", "how many each model gave"),
    "seed": Named("seed of the answers", "of drawing tokens; none if the likeliest one is always taken"),
    "stop_ids": Named("tokens that end an answer", "their ids in the vocabulary of the checkpoint"),
    "engine": Named("engine", "the library that generated the answers, with all versions that affect them"),
    "precision": Named("precision", "of the weights in the evaluation, not in the training"),
    "data": Named("data", "a hash over the ids and gold answers of the questions"),
    "split": Named("split", "the part of the data that the questions are from"),
    "scorer": Named("scorer", "the rules by which answers were found and judged, with their version"),
    "tags": Named("tags of the format", "between which the prompt asks for the working and for the solution"),
    BASE: Named(BASE, "a hash of the checkpoint before the training"),
}


def shown(value: Any) -> str:
    """A condition's value; a hash by its beginning."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    is_hash = len(text) == 64 and not set(text) - set("0123456789abcdef")
    return text[:8] if is_hash else text


def spelled(value: Any) -> str:
    """The same in words, without JSON's marks."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {spelled(each)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(spelled, value))
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else shown(value)
