"""report.html: the same words and numbers as report.md, every question, and hostile answers that do nothing."""

from __future__ import annotations

import json
import re

import pyarrow.parquet
import pytest

from harness.report import html_report, sections, summary, write
from harness.report.page import packed, questions
from harness.report.page.packed import HEAD, TAIL
from harness.runs.manifest import Machine
from harness.util import files
from tests import constructed
from tests.constructed import make_run, reported
from tests.report.test_html import HOSTILE, Tree, check_one_file

BASE = ["wrong"] * 30 + ["right"] * 50 + ["right, no format"] * 10 + ["nothing"] * 10
TUNED = ["right"] * 30 + ["right"] * 48 + ["wrong"] * 2 + ["right"] * 10 + ["nothing"] * 10


def data_of(page: str, name: str = "questions"):
    """The page's data: its questions or its rollouts."""
    return packed.unpack(re.search(f'<template id="{name}-data">([^<]*)</template>', page)[1])


def drawn_items(page: str, outcome: str) -> int:
    """The questions in the page with this outcome by the first seed."""
    return [item["outcomes"][0] for item in data_of(page)["items"]].count(outcome)


def count_of(page: str, outcome: str) -> str:
    """What the first screen says of an outcome."""
    return re.search(f'href="#outcome={outcome}".*?<b>(.*?)</b>', page)[1]


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return reported(tmp_path_factory.mktemp("page"), BASE, TUNED)


def test_the_page_says_what_the_markdown_says(run):
    page = run.page.read_text()
    check_one_file(page)
    said = words(Tree(page).text.replace("`", ""))
    assert words(summary.read(run.path).verdict.sentence) in said
    markdown = run.report.read_text().partition("\n## Gained")[0]
    for line in markdown.splitlines():
        for part in re.split(r"\s*\|\s*", line) if line.startswith("|") else [line]:
            if not part.startswith(("#", "![", "-")):
                assert words(part.strip("*").replace("`", "")) in said, part  # code on the page


def test_the_page_is_the_same_every_time(run, tmp_path):
    again = reported(tmp_path, BASE, TUNED)
    assert run.page.read_bytes() == again.page.read_bytes()


def test_every_question_is_there_under_what_became_of_it(run):
    page = run.page.read_text()
    for outcome, count in (("gained", 30), ("lost", 2), ("wrong", 10), ("right", 58)):
        assert drawn_items(page, outcome) == count == int(count_of(page, outcome))
    data = data_of(page)
    assert (data["total"], data["seeds"]) == (100, [3407])
    (item,) = [item for item in data["items"] if item["question"] == "Question 79: how much is 6 * 3?"]
    (before,), (after,) = item["base"]["answers"], item["tuned"][0]["answers"]
    assert (before["rule"], before["format"], item["outcomes"]) == ("solution", True, ["lost"])
    assert (after["answer"], after["correct"], after["why"], after["tokens"]) == ("9", False, "wrong number", 20)


def test_runs_without_their_questions_texts_are_drawn_and_it_is_said(tmp_path):
    run = make_run(tmp_path, BASE, TUNED)
    for folder in (run.base, run.tuned(3407)):
        result = files.read_json(folder / "result.json")
        del result["questions"]
        files.write_json(folder / "result.json", result)
    write.write(run)
    page = run.page.read_text()
    assert "only their ids are known" in page
    assert "Problem 000000000000004f" in [item["question"] for item in data_of(page)["items"]]


def test_what_is_not_there_is_left_out(tmp_path):
    run = make_run(tmp_path, BASE, TUNED)
    (run.train(3407) / "metrics.jsonl").write_text("")
    write.write(run)
    page = run.page.read_text()
    assert 'id="curves"' not in page and 'id="rollouts"' not in page and 'id="training"' in page
    check_one_file(page)


def test_unchanged_questions_stop_where_the_page_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(questions, "ROOM", 15_000)
    page = reported(tmp_path, BASE, TUNED).page.read_text()
    shown = {outcome: drawn_items(page, outcome) for outcome in ("gained", "lost", "wrong", "right")}
    assert (shown["gained"], shown["lost"]) == (30, 2) and 0 < shown["wrong"] + shown["right"] < 68
    places = [item["at"] for item in data_of(page)["items"]]
    assert data_of(page)["total"] == 100 and places == sorted(places)


def test_a_question_with_several_samples_counts_once(tmp_path):
    run = make_run(tmp_path, ["right", "wrong"] * 20, ["right"] * 40, "eval.samples=2", "eval.temperature=1.0")
    for folder in (run.base, run.tuned(3407)):
        result, rows = files.read_json(folder / "result.json"), files.read_lines(folder / "samples.jsonl")
        for odd in range(1, 40, 2):  # the second of two samples of the question before
            for entry in (result["scores"][odd], rows[odd]):
                entry |= {"id": f"{odd - 1:016x}", "sample": 1}
        files.write_json(folder / "result.json", result)
        files.write_lines(folder / "samples.jsonl", rows)
    numbers = write.write(run)
    assert numbers.difference.accuracy.gained == 20
    item = data_of(run.page.read_text())["items"][0]
    assert (item["base"]["right"], item["base"]["of"]) == (1, 2) and drawn_items(run.page.read_text(), "gained") == 20
    assert "Gained (3 of 20)" in run.report.read_text()


def hostile(results, monkeypatch):
    """A run whose every wrong answer and every question is hostile."""
    for name, text in (("nothing", " ".join(HOSTILE) + "\u202e\0"), ("wrong", "<SOLUTION>" + "9" * 100_000)):
        monkeypatch.setitem(constructed.TEXTS, name, text)
    run = make_run(results, BASE, TUNED)
    for folder in (run.base, run.tuned(3407)):
        result = files.read_json(folder / "result.json")
        result["questions"] = dict.fromkeys(result["questions"], HOSTILE[0] + "y" * 3000)
        files.write_json(folder / "result.json", result)
    write.write(run)
    return run


def test_hostile_answers_are_text(tmp_path, monkeypatch):
    page = hostile(tmp_path, monkeypatch).page.read_text()
    check_one_file(page)
    said = json.dumps(data_of(page), ensure_ascii=False)
    texts = "".join("".join(a["text"]) for item in data_of(page)["items"] for a in item["base"]["answers"])
    assert all(text in texts for text in HOSTILE)
    assert "U+202E" in said and "\u202e" not in said
    assert f"{100_010 - HEAD - TAIL:,} characters left out" in said


def test_text_that_cannot_be_seen_makes_no_page_that_cannot_be_opened(tmp_path, monkeypatch):
    """Alternating characters, which no run collapses: each of the 5,000 shown takes 35 bytes of markup or more."""
    monkeypatch.setitem(constructed.TEXTS, "wrong", "\u200b\u200c" * 3_000)
    monkeypatch.setitem(constructed.TEXTS, "nothing", "\u3164" * 6_000)
    page = reported(tmp_path, ["wrong"] * 150 + ["nothing"] * 50, ["right"] * 200).page
    assert page.stat().st_size < 6_000_000 and drawn_items(page.read_text(), "gained") > 0


def test_of_many_samples_the_first_few_are_drawn(tmp_path):
    many = [("right", "wrong", "wrong", "wrong", "wrong", "nothing")] * 30
    run = reported(tmp_path, many, [("right",) * 6] * 10 + many[10:], "eval.samples=6", "eval.temperature=1.0")
    page = run.page.read_text()
    item = data_of(page)["items"][0]
    assert [(side["of"], side["right"], len(side["answers"])) for side in (item["base"], *item["tuned"])] == [
        (6, 1, questions.SAMPLES), (6, 6, questions.SAMPLES)
    ]  # fmt: skip
    # 20 questions keep one right sample of six: neither gained nor lost, nor right or wrong.
    assert drawn_items(page, "partly") == 20 and count_of(page, "partly") == "20"


def test_hostile_settings_golds_and_rollouts_are_text(tmp_path):
    run = make_run(tmp_path, BASE, TUNED, f"prompt.system={HOSTILE[0]}")
    for folder in (run.base, run.tuned(3407)):
        result = files.read_json(folder / "result.json")
        for score in result["scores"]:
            score["gold"] = HOSTILE[2]
        files.write_json(folder / "result.json", result)
    run.note("machine", Machine("Linux", 8, 8, HOSTILE[3] + "\u202e", 80.0))
    group = {"step": 1, "problem_id": "a", "question": HOSTILE[1], "gold": HOSTILE[4], "tokens": 5}
    rows = [group | {"reward": r, "reward_numbers": r, "completion": f"{HOSTILE[0]} {r}"} for r in (1.0, 3.0, 2.0)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), run.train(3407) / "completions.parquet")
    numbers = summary.read(reported(tmp_path / "other", BASE, TUNED).path)
    page = html_report.draw(run, numbers, sections.read(run, numbers)[1])
    check_one_file(page)
    assert "\u202e" not in page and all(text in Tree(page).text for text in (HOSTILE[0], "⟨U+202E⟩"))
    assert {item["gold"] for item in data_of(page)["items"]} == {HOSTILE[2]}
    kept = data_of(page, "rollouts")
    (group,) = kept["groups"][0]
    assert (kept["functions"], group["question"], group["gold"]) == (["numbers"], HOSTILE[1], HOSTILE[4])
    assert [(each["text"], each["parts"]) for each in group["rollouts"]] == [
        (f"{HOSTILE[0]} {r}", [r]) for r in (1.0, 3.0, 2.0)
    ]


def test_a_rollout_at_the_token_limit_is_marked(tmp_path):
    run = make_run(tmp_path, BASE, TUNED, "train.max_completion_tokens=9")
    group = {"step": 1, "problem_id": "a", "question": "What?", "gold": "18", "completion": "so 18"}
    rows = [group | {"reward": r, "reward_numbers": r, "tokens": tokens} for r, tokens in ((1.5, 9), (0.0, 8))]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), run.train(3407) / "completions.parquet")
    write.write(run)
    text = run.report.read_text()
    assert "\nStep 1, reward 1.5, gold 18, at the limit of 9 tokens:\n" in text
    assert "\nStep 1, reward 0, gold 18:\n" in text
    assert data_of(run.page.read_text(), "rollouts")["limit"] == 9


def test_1319_long_answers_are_drawn_in_one_page(tmp_path, monkeypatch):
    """Every answer has 2,000 characters, and all questions are in the page."""
    for name, text in constructed.TEXTS.items():
        monkeypatch.setitem(constructed.TEXTS, name, "Let me see. " * 160 + text)
    run = make_run(tmp_path, (BASE * 14)[:1319], (TUNED * 14)[:1319])
    numbers = write.write(run)
    assert run.page.stat().st_size < 6_000_000 and len(data_of(run.page.read_text())["items"]) == 1319
    assert drawn_items(run.page.read_text(), "gained") == numbers.difference.accuracy.gained
