"""The questions as data of the page: the number that decided is a piece of the text, and what changed is kept first."""

from __future__ import annotations

import pytest

from harness.report.document import Gallery
from harness.report.gallery import Answer, Item
from harness.report.page import packed, questions
from harness.runs.results import ScoredCompletion
from harness.tasks import scoring
from harness.tasks.records import Tags
from harness.util import typed

GOLD = "18"


def answered(text: str, **changed) -> Answer:
    score = scoring.score(text, GOLD)
    found = typed.fields(score) | {"id": "a", "sample": 0, "gold": GOLD, "prompt": "p", "tokens": 5}
    return Answer(text, ScoredCompletion(**(found | {"finish_reason": "stop"} | changed)), ())


@pytest.mark.parametrize(
    ("text", "decided"),
    [
        ("9 + 9 = 18 eggs, so <SOLUTION>She has $18 or 18 eggs</SOLUTION> and 18 more", "<SOLUTION>She has $18 or "),
        ("18 is 18", "18 is "),
        ("It costs 1,800 or 18. The answer is 1,800.", "It costs 1,800 or 18. The answer is "),
        ("\\boxed{\\frac{36}{2}}", "\\boxed{"),
        ("No number at all", None),
        ("Between 17 and 18", None),
    ],
)
def test_the_number_that_was_taken_for_the_answer_is_a_piece_of_the_text(text, decided):
    pieces = questions.answer(answered(text), Tags())["text"]
    assert "".join(pieces) == text
    if decided is None:
        assert len(pieces) == 1
    else:
        assert pieces[0].endswith(decided) and len(pieces) == 3


def test_a_text_that_is_cut_is_one_piece():
    long = "x" * 20_000 + " The answer is 18."
    (piece,) = questions.answer(answered(long), Tags())["text"]
    assert piece.endswith("The answer is 18.") and "characters left out" in piece


def test_what_changed_with_any_seed_is_kept_first_and_all_stand_in_their_order(monkeypatch):
    right, wrong = answered("The answer is 18."), answered("The answer is 9.")
    items = [Item(f"{n}", "Q", GOLD, [wrong], [[wrong], [wrong]], ["wrong", "wrong"]) for n in range(40)]
    items[30] = Item("30", "Q", GOLD, [wrong], [[wrong], [right]], ["wrong", "gained"])
    gallery = Gallery(items, [1, 2])
    data = packed.unpack(questions.data(gallery, Tags()))
    assert [item["id"] for item in data["items"]] == [f"{n}" for n in range(40)] and data["seeds"] == [1, 2]
    monkeypatch.setattr(questions, "ROOM", 1_500)
    fewer = packed.unpack(questions.data(gallery, Tags()))
    ids = [int(item["id"]) for item in fewer["items"]]
    assert 30 in ids and 1 < len(ids) < 30 and ids == sorted(ids) and fewer["total"] == 40
