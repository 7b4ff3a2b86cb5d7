r"""MATH-500: pairs judged by hand, golds in other spellings, where the answer stands, what verdicts depend on."""

from __future__ import annotations

import itertools
import json
import os
import re
import resource
from pathlib import Path

import pytest

pytest.importorskip("math_verify", reason='needs pip install -e ".[math]"')

from harness.tasks import judge, scoring
from harness.tasks.benchmarks.math500 import TASK, TIMED_OUT
from harness.tasks.dataset import Source
from harness.tasks.judge import DIFFERENT, SAME, TIME_OUT, UNREAD
from harness.tasks.records import Tags
from tests.tasks.math_pairs import NUMBERS, OTHER_SIGNS, RIGHT, SIGNS, WRONG


def score(text: str, gold: str, finish_reason: str = "stop"):
    return TASK.score(text, gold, finish_reason=finish_reason, tags=Tags())


def test_a_hundred_pairs_are_judged_as_by_hand():
    assert len({*RIGHT, *WRONG}) == 100
    assert [pair for pair in RIGHT if judge.judge(*pair).verdict != SAME] == []
    assert [pair for pair in WRONG if judge.judge(*pair).verdict == SAME] == []


def test_signs_outside_latex_are_read():
    assert [pair for pair in SIGNS if judge.judge(*pair).verdict != SAME] == []
    assert [pair for pair in OTHER_SIGNS if judge.judge(*pair).verdict == SAME] == []


def test_where_our_exact_rule_and_math_verify_disagree_on_numbers():
    found = {}
    for gold, answer in NUMBERS:
        ours = scoring.score(f"<SOLUTION>{answer}</SOLUTION>", gold).correct
        assert ours != (judge.judge(gold, answer).verdict == SAME), (gold, answer)
        found[gold, answer] = "ours" if ours else "math-verify"
    assert found == {pair: accepts for pair, (accepts, _) in NUMBERS.items()}


@pytest.fixture(scope="module")
def golds() -> list[str]:
    folder = os.environ.get("HARNESS_BENCHMARKS")
    if not folder:
        pytest.skip("HARNESS_BENCHMARKS names no folder with math500.jsonl")
    data = TASK.load(Source("", benchmarks=folder))
    assert len(data.test) == 500
    return [problem.gold for problem in data.test]


SPELLINGS = {
    "as it is": lambda gold: gold,
    "in dollars": lambda gold: f"${gold}$",
    "in a box": lambda gold: f"\\boxed{{{gold}}}",
    "display fractions": lambda gold: gold.replace("\\frac", "\\dfrac"),
    "without \\left and \\right": lambda gold: gold.replace("\\left", "").replace("\\right", ""),
    "without spaces": lambda gold: gold if "\\text" in gold else re.sub(r"(?<![A-Za-z]) | (?![A-Za-z])", "", gold),
    "a full stop": lambda gold: f"{gold}.",
    "without degrees": lambda gold: gold.replace("^\\circ", ""),
    "without percent": lambda gold: gold.replace("\\%", ""),
    "without currency": lambda gold: gold.replace("\\$", ""),
    "bold text": lambda gold: gold.replace("\\text{", "\\textbf{"),
}


def test_all_golds_are_right_for_themselves_and_in_other_spellings(golds):
    wrong = []
    for gold in golds:
        for name, spell in SPELLINGS.items():
            spelled = spell(gold)
            if (name == "as it is" or spelled != gold) and judge.judge(gold, spelled).verdict != SAME:
                wrong.append((name, gold, spelled))
    assert wrong == []


def test_no_gold_is_right_for_its_neighbour(golds):
    """The verdicts do not say yes to everything: golds that differ as text, and are not of one value, in a row."""
    pairs = itertools.pairwise(golds[:60])
    same = [(a, b) for a, b in pairs if a != b and judge.judge(a, b).verdict == SAME]
    assert same == []


def test_where_the_answer_stands():
    assert score("a <SOLUTION>\\frac12</SOLUTION>", "\\frac{1}{2}").rule == "solution"
    assert not score("\\boxed{18} <SOLUTION>17</SOLUTION>", "18").correct
    assert score("<SOLUTION>\\boxed{18}</SOLUTION>", "18").answer == "18"
    boxed = score("first \\boxed{17}, so \\boxed{\\frac{1}{2}} {", "\\frac{1}{2}")
    assert (boxed.rule, boxed.answer, boxed.correct, boxed.marked) == ("boxed", "\\frac{1}{2}", True, True)
    phrase = score("The answer is $x^2$. It was hard.", "x^2")
    assert (phrase.rule, phrase.answer, phrase.correct) == ("phrase", "$x^2$", True)
    last = score("so we get $x = \\sqrt{3}$.", "\\sqrt{3}")
    assert (last.rule, last.correct, last.marked, last.strict) == ("last_expression", True, False, False)
    empty = score("<SOLUTION></SOLUTION>", "3")
    assert (empty.answer, empty.rule, empty.correct, empty.marked) == (None, None, False, False)


def test_exact_format_and_the_token_limit():
    text = "<start_working_out>w<end_working_out><SOLUTION>$\\frac{1}{2}$</SOLUTION>"
    assert score(text, "0.5").strict
    cut = score(text, "0.5", "length")
    assert (cut.correct, cut.strict, cut.exact_format, cut.marked, cut.answer) == (False,) * 4 + ("$\\frac{1}{2}$",)


@pytest.fixture
def forks(monkeypatch):
    """Forks of this process may judge: with torch in it, it has more address space than a judging process may have."""
    monkeypatch.setattr(judge, "MEMORY", resource.RLIM_INFINITY)


def test_a_pair_over_the_budget_is_a_time_out_and_an_outcome(forks, monkeypatch):
    pair = "$x^2+2x+1$", "\\boxed{(x+1)^2}"  # takes a multiple of a timer's tick
    assert judge._forked(*pair)[0] == SAME
    monkeypatch.setattr(judge, "BUDGET", 1000)  # of this process, whose fork judges
    monkeypatch.setattr(judge, "QUICK", 1e-6)
    assert judge._forked(*pair) == [TIME_OUT, ""]
    monkeypatch.setattr(judge, "judge", lambda *_, **__: judge.Ruling(TIME_OUT, ""))
    found = score("<SOLUTION>0.5</SOLUTION>", "\\frac{1}{2}")
    assert (found.correct, found.why, found.answer) == (False, TIMED_OUT, "0.5")


def test_what_is_quick_is_judged_as_what_is_counted(forks):
    asked = [(f"${judge.readable(a)}$", f"\\boxed{{{judge.readable(b)}}}") for a, b in [*RIGHT[40:44], *WRONG[10:14]]]
    for pair in asked:
        judge._verdict(*pair)  # so that a fork of this process has what it needs
    counted, quick = ([judge._limited(*pair, counted=each) for pair in asked] for each in (True, False))
    assert None not in counted and any(quick)
    assert all(one in (other, None) for one, other in zip(quick, counted, strict=True))


def test_verdicts_depend_on_neither_order_nor_process():
    pairs = [*RIGHT[40:50], *WRONG[10:20]]
    servers = judge._Servers()

    def verdict(pair):
        gold, answer = map(judge.readable, pair)
        return pair, servers.ask(f"${gold}$", f"\\boxed{{{answer}}}")

    found = [dict(map(verdict, pairs)), dict(map(verdict, pairs[::-1]))]
    started = [server for server in servers._idle.queue if server]
    assert len(started) == 1  # one by one they are judged by one process
    found.append(dict(judge.side_by_side(verdict, pairs)))
    for server in filter(None, servers._idle.queue):
        server.close()
    assert found[0] == found[1] == found[2] and len({said for said, _ in found[0].values()}) == 2


REPEATED = "7 " + "Let" * 150 + "!"  # as a model writes that has lost its way
HOSTILE = ["", "{", "\\frac{", "$", "\\boxed{", "}" * 3000, "(" * 100, "\x00", "\ud800", REPEATED, "7 ab " * 300 + "1"]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_is_too_much(text):
    assert judge.judge("18", text).verdict in (DIFFERENT, UNREAD, TIME_OUT)
    assert not score(f"<SOLUTION>{text}</SOLUTION>", "18").correct


def test_the_selftest_finds_a_gold_that_cannot_be_read():
    assert TASK.selftest(["18", "\\frac{1}{2}"], Tags()).passed
    assert not TASK.selftest(["\\frac{"], Tags()).passed


def test_without_the_extra_the_task_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(judge.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(judge.HarnessError, match=r"eval\.tasks: math500 .*pip install"):
        TASK.load(Source("", benchmarks="."))


def test_rows_of_a_file(tmp_path: Path):
    row = {"problem": "What is $1+1$?", "answer": "2", "solution": "It is $2$.", "subject": "Algebra", "level": 1}
    (tmp_path / "math500.jsonl").write_text(json.dumps(row) + "\n")
    (problem,) = TASK.load(Source("", benchmarks=str(tmp_path))).test
    assert (problem.question, problem.gold, problem.kind) == ("What is $1+1$?", "2", "Algebra")
