"""Published benchmarks: rows to questions and golds, what is left out, ids, clusters, rounded golds, damaged files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness.tasks import dataset, published
from harness.tasks.benchmarks import asdiv, gsm_plus, gsm_symbolic_p2, svamp
from harness.tasks.dataset import Source, problem_id
from harness.tasks.published import Published
from harness.tasks.records import Tags
from harness.tasks.registry import TASKS
from harness.util.errors import HarnessError

OTHERS = [name for name in TASKS.names() if name != "gsm8k"]


def load(task: Published, folder: Path, rows: list[dict]) -> dataset.Data:
    (folder / task.file).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return task.load(Source("", benchmarks=str(folder)))


def apples(answer: str) -> dict:
    return {
        "body": f"On a day of {answer} there were apples. ",
        "question": " How many?",
        "answer": answer,
        "formula": "",
    }


def plus(answer: str, seed: str = "s", kind: str = "digit expansion") -> dict:
    question = f"What of {answer} in {seed} by {kind}?"
    return {"question": question, "answer": answer, "solution": "", "seed_question": seed, "perturbation_type": kind}


def test_asdivs_answers_without_their_units(tmp_path):
    kept = {"9 (apples)": "9", "1,234 (m)": "1,234", "0.46 (dollars)": "0.46", "-(1/3)": "-1/3", "5/2": "5/2",
            "383": "383", "14  (seats)": "14", "6th": "6th"}  # fmt: skip
    others = ["Mrs. Hilt", "3:30 p.m.", "5:6", "7 (red); 3 (blue)", "They are equal", "Vendor 2"]
    data = load(asdiv.TASK, tmp_path, [apples(answer) for answer in (*kept, *others)])
    golds = {problem.question: problem.gold for problem in data.test}
    assert golds == {f"On a day of {answer} there were apples. How many?": gold for answer, gold in kept.items()}
    assert data.left_out == {asdiv.NO_NUMBER: len(others)}


def test_a_question_that_is_asked_twice_has_two_ids(tmp_path):
    data = load(asdiv.TASK, tmp_path, [apples("8 (pencils)"), apples("7 (pens)"), apples("8 (pencils)")])
    question = "On a day of 8 (pencils) there were apples. How many?"
    ids = [problem.id for problem in data.test if problem.question == question]
    assert set(ids) == {problem_id(question), problem_id(f"{question}\n(row 3)")}


def test_svamps_answers_are_whole_numbers_again(tmp_path):
    row = {"Body": "He had 3.", "Question": "How many?", "Equation": "( 3.0 )"}
    data = load(svamp.TASK, tmp_path, [row | {"Answer": 145.0, "Body": "A"}, row | {"Answer": 2.5, "Body": "B"}])
    assert {(p.question, p.gold) for p in data.test} == {("A How many?", "145"), ("B How many?", "2.5")}


def test_clusters_kinds_and_what_gsm_plus_leaves_out(tmp_path):
    rows = [plus("4.33"), plus("None", kind="critical thinking"), plus("7", "t"), plus("1/2")]
    data = load(gsm_plus.TASK, tmp_path, rows)
    assert data.left_out == {"critical thinking: the answer is not a number": 1} and len(data.test) == 3
    assert {(p.gold, p.cluster) for p in data.test} == {
        ("4.33", problem_id("s")), ("1/2", problem_id("s")), ("7", problem_id("t")),
    }  # fmt: skip
    assert {p.kind for p in data.test} == {"digit expansion"}
    symbolic = {"question": "Q?", "answer": "so\n#### 32.5", "id": 7, "instance": 3}
    (problem,) = load(gsm_symbolic_p2.TASK, tmp_path, [symbolic]).test
    assert (problem.gold, problem.cluster) == ("32.5", "template 7")


def test_questions_are_in_the_order_of_their_ids_not_of_the_file(tmp_path):
    rows = [plus(str(n)) for n in range(50)]
    ids = [problem.id for problem in load(gsm_plus.TASK, tmp_path, rows).test]
    assert ids == sorted(ids) == [problem.id for problem in load(gsm_plus.TASK, tmp_path, rows[::-1]).test]


@pytest.mark.parametrize(
    ("gold", "right", "wrong"),
    [
        ("4.33", ["4.33", "13/3", "4.333", "4.325", "4.335", "4.3349"], ["4.3", "4.34", "4.3351", "4.32", "-4.33"]),
        ("0.042", ["0.042", "0.0415", ".0424"], ["0.04", "0.0426", "42"]),
        ("2.5", ["2.5", "2.54", "5/2", "2.45"], ["2", "3", "2.56", "2.4"]),
        ("5", ["5", "5.0"], ["5.1", "4.9999", "5.0001"]),
        ("1/3", ["1/3", "2/6"], ["0.33", "0.3333"]),
        ("1,234.5", ["1234.5", "1,234.52"], ["1234", "1,234.6"]),
    ],
)
def test_a_gold_with_decimals_is_right_when_the_answer_rounds_to_it(gold, right, wrong):
    def correct(answer: str, finish_reason: str = "stop") -> bool:
        text = f"<start_working_out>w<end_working_out><SOLUTION>{answer}</SOLUTION>"
        found = gsm_plus.TASK.score(text, gold, finish_reason=finish_reason, tags=Tags())
        assert found.strict is found.correct
        return found.correct

    assert [answer for answer in right if not correct(answer)] == []
    assert [answer for answer in wrong if correct(answer)] == []
    assert not correct(right[0], "length") and not correct(right[-1], "length")


def test_the_selftest_of_rounded_golds_can_fail(monkeypatch):
    assert gsm_plus.TASK.selftest(["4.33", "7", "1/2"], Tags()).passed
    monkeypatch.setattr(published, "_rounds", lambda answer, gold: False)
    assert not gsm_plus.TASK.selftest(["4.33"], Tags()).passed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no rows that can be judged"),
        ('{"question": 1', "line 1: not JSON"),
        ('{"question": "Q?"}', "row 1 is not a row of gsm_plus (KeyError: 'perturbation_type')"),
        ("[]", "row 1 is not a row of gsm_plus (TypeError"),
    ],
)
def test_a_damaged_file_is_one_line_that_names_it(tmp_path, content, message):
    (tmp_path / gsm_plus.TASK.file).write_text(content)
    with pytest.raises(HarnessError) as refused:
        gsm_plus.TASK.load(Source("", benchmarks=str(tmp_path)))
    assert message in str(refused.value) and str(refused.value).startswith("data.benchmarks: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", OTHERS)
def test_a_benchmark_says_where_it_is_from(name):
    task = TASKS.get(name)
    assert task.name == name and "/" in task.hub and len(task.revision) == 40 and task.licence and task.file


def test_without_the_hub_a_benchmark_is_refused_with_what_to_do():
    with pytest.raises(HarnessError, match=r"data\.benchmarks: ChilleD/SVAMP is not on this machine.*=FOLDER"):
        svamp.TASK.load(Source(""))


@pytest.mark.parametrize("name", [name for name in OTHERS if name != "math500"])
def test_lm_evals_task_exists(name):
    lm_eval = pytest.importorskip("lm_eval")
    wanted = TASKS.get(name).lm_eval_task
    files = Path(lm_eval.__path__[0], "tasks").rglob("*.yaml")
    assert wanted is None or any(f"task: {wanted}\n" in file.read_text(encoding="utf-8") for file in files)


@pytest.fixture(scope="module")
def folder() -> str:
    folder = os.environ.get("HARNESS_BENCHMARKS")
    if not folder:
        pytest.skip("HARNESS_BENCHMARKS names no folder with the published files")
    return folder


@pytest.mark.parametrize(
    ("task", "questions", "left_out", "clusters"),
    [
        (svamp.TASK, 1000, 0, 1),
        (asdiv.TASK, 2095, 120, 1),
        (gsm_plus.TASK, 2100, 300, 300),
        (gsm_symbolic_p2.TASK, 2500, 0, 50),
    ],
)
def test_the_published_files(folder, task, questions, left_out, clusters):
    data = task.load(Source("", benchmarks=folder))
    assert (len(data.test), sum(data.left_out.values())) == (questions, left_out)
    assert len({problem.id for problem in data.test}) == questions
    assert len({problem.cluster for problem in data.test}) == clusters
    assert task.clustered == (clusters > 1)
    assert task.selftest([problem.gold for problem in data.test], Tags()).passed
