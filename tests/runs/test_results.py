"""result.json as a typed record: what is read back, older versions, and one line for what does not match."""

from __future__ import annotations

import dataclasses

import pytest

from harness.runs import results
from harness.runs.results import read_evaluation
from harness.stats import scores
from harness.util import files, typed
from harness.util.errors import HarnessError
from tests import constructed

OUTCOMES = ["right", "wrong", "nothing, cut", "right, no format"]


@pytest.mark.parametrize(
    "others",
    [{}, {"adapter": "a" * 64}, {"changed": {"order": "b" * 64, "seed": None}}, {"changed": {"order": "b", "seed": 3}}],
)
def test_an_evaluation_is_written_again_byte_for_byte(tmp_path, others):
    files.write_json(tmp_path / "result.json", constructed.result(OUTCOMES) | others)
    found = read_evaluation(tmp_path)
    assert found == read_evaluation(tmp_path / "result.json")
    assert files.as_json(typed.plain(found)) == (tmp_path / "result.json").read_text()
    assert found.conditions.seed is None and found.conditions.sampling.top_p == 1.0


def test_an_evaluation_without_questions_stays_without_them(tmp_path):
    older = constructed.result(OUTCOMES)
    del older["questions"]
    files.write_json(tmp_path / "result.json", older)
    assert read_evaluation(tmp_path).questions is None
    assert typed.plain(read_evaluation(tmp_path)) == older


def test_scored_completions_have_what_the_statistics_ask_for(tmp_path):
    constructed.evaluated(tmp_path, OUTCOMES)
    found = read_evaluation(tmp_path).scores
    columns = scores.per_question(found)
    assert columns["accuracy"].tolist() == [1, 0, 0, 1] and columns["format"].tolist() == [1, 1, 0, 0]
    assert scores.means(found, [each.finish_reason == "length" for each in found]).tolist() == [0, 0, 1, 0]


def damaged(path: str):
    """A change of a result.json: the field at this path is missing."""

    def change(result: dict) -> None:
        *parents, name = path.split(".")
        for parent in parents:
            result = result[int(parent) if parent.isdigit() else parent]
        del result[name]

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        *[
            (damaged(path), f"{path} is missing (damaged, or written by another version)")
            for path in ("conditions", "conditions.scorer", "conditions.sampling.top_k", "scores.2.why", "adapter")
        ],
        (lambda result: result["scores"][1].update(correct="yes"), "scores.1.correct: found 'yes', expected"),
        (lambda result: result.update(scores={}), "scores: found {}, expected"),
        (lambda result: result["conditions"].update(stop_ids=[1.5]), "conditions.stop_ids.0: found 1.5, expected"),
    ],
)
def test_what_is_not_an_evaluation_is_one_line_that_names_the_field(tmp_path, change, said):
    result = constructed.result(OUTCOMES)
    change(result)
    files.write_json(tmp_path / "result.json", result)
    with pytest.raises(HarnessError) as refused:
        read_evaluation(tmp_path)
    assert str(refused.value).startswith(f"{tmp_path / 'result.json'}: {said}") and "\n" not in str(refused.value)


def test_an_evaluation_is_whole_before_it_is_written(tmp_path):
    files.write_json(tmp_path / "result.json", constructed.result(OUTCOMES))
    found = read_evaluation(tmp_path)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.adapter = "another"
    with pytest.raises(TypeError, match="rule"):
        results.ScoredCompletion(id="a", sample=0, gold="18", prompt="p", finish_reason="stop", tokens=3)
