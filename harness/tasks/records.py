"""The records that the stages pass to each other: plain data, no logic, no third-party import."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tags:
    """The four tags of the answer format; the defaults are the tutorial's."""

    working_start: str = "<start_working_out>"
    working_end: str = "<end_working_out>"
    solution_start: str = "<SOLUTION>"
    solution_end: str = "</SOLUTION>"


@dataclass(frozen=True, slots=True)
class Problem:
    """One question with its reference answer."""

    id: str  # hash of the question's text: the key on which base and tuned are paired
    question: str
    gold: str  # the text after the last "####", stripped, otherwise as written ("1,000" keeps its comma)
    solution: str = ""  # the full reference solution, for worked examples in a prompt; not used for scoring
    cluster: str = ""  # questions of one cluster were made from one template or seed question; empty: it stands alone
    kind: str = ""  # of the question, for a row of its own in the report; empty: none


@dataclass(frozen=True, slots=True)
class ProblemCounts:
    """Problems in each split of a data set."""

    train: int
    dev: int
    test: int
    repeated: int  # rows left out because their question had occurred before


@dataclass(frozen=True, slots=True)
class Completion:
    """One generated answer to one prompt, as the engine returned it."""

    index: int  # which prompt of the request
    sample: int  # which of the K samples of that prompt, from 0
    text: str  # decoded without special tokens
    finish_reason: str  # "stop" (the turn was ended) or "length" (max_new_tokens reached)
    tokens: int  # generated tokens, the turn-ending one included
    seconds: float  # wall time: its share of its batch (transformers), or from request to end (vllm)


@dataclass(frozen=True, slots=True)
class Score:
    """The score of one completion against its gold answer."""

    answer: str | None  # the number found, in a canonical spelling ("1000", "-5", "0.5", "1/3"); None if none
    rule: str | None  # which rule found it
    correct: bool  # lenient accuracy: the answer equals the gold as a number, and the text was not cut
    strict: bool  # correct and exact_format
    exact_format: bool  # the whole text is the format and nothing else
    tags_ok: bool  # each of the four tags occurs exactly once, in any order
    marked: bool  # a marker held the answer, one number, and the text was not cut
    why: str  # one short phrase for a reader of the samples
