"""Scoring a completion: the rules of the answer and the format, the tutorial's patterns, the self-test."""

from __future__ import annotations

import json
import random
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.bench.speed import hostile_texts
from harness.tasks import scoring
from harness.tasks.answer_format import tutorial_format_capture, tutorial_number
from harness.tasks.numbers import gold_value, same_number
from harness.tasks.records import Score, Tags
from harness.tasks.scoring import score
from harness.tasks.selftest import BUILT_IN_GOLDS, main, selftest
from harness.util.cli import exit_code
from tests.conftest import EIGHTFOLD, growth, harness, refused

TAGS = Tags()
WS, WE, SS, SE = TAGS.working_start, TAGS.working_end, TAGS.solution_start, TAGS.solution_end
HEAD = f"{WS}some working{WE}\n{SS}"


def solved(inside: str, gold: str = "18", **options) -> Score:
    """The score of a perfectly formatted text with this solution."""
    return score(f"{HEAD}{inside}{SE}", gold, **options)


@pytest.fixture(scope="module")
def real_golds(gsm8k_folder) -> list[str]:
    """All gold answers of GSM8K as published."""
    files = [gsm8k_folder / "train.jsonl", gsm8k_folder / "test.jsonl"]
    rows = [row for file in files for row in file.read_text(encoding="utf-8").splitlines()]
    return [json.loads(row)["answer"].rpartition("####")[2].strip() for row in rows]


# --- numbers


# Gold answers, and what a solution block may hold that is the same number: separated by bars.
SAME = {
    "18": "18|$18|18.00|18.|18%|18 %|18 dollars|**18**|+18|018|£18|€18|18 €|US$18|18kg|18 km/h|$18/hour|18th"
    r"|x = 18|= 18|9 * 2 = 18|$x=18$|2x = 36 = 2 * 18, so x = 18|18 = 18|18 or 18|1.8e1|18e0|180E-1|36/2"
    r"|\boxed{18}|$\boxed{18}$|\$18|\(18\)|18 \text{ eggs}|18\%|\frac{36}{2}|18 cm^2|18 m²|18 kg of CO2"
    "|18cm2|18m^2|18 kg/m^3|18m^{2}|18\\text{ m}^2|18m²|Rs18|Rs. 18|USD18|18USD|EUR 18"
    '|18\n18|18.\nDone.|_18_|`18`|"18"|(18)|18...|...18|~18|<b>18</b>|- 18 eggs|答案是18|18元|１８|١٨',
    "1,000": r"1,000|1000|1000.0|$1,000.00|1{,}000|1\,000|1,\!000|1e3",
    "-5": r"-5|−5|–5|-$5|$-5|-\$5|x = -5|x=-5|= - 5|= - $5|**-5**|(-5)|10/-2 = -5",
    "0.5": r"1/2|\frac{1}{2}|\dfrac{2}{4}|0.50|.5|5e-1|500/1,000|$.50",
    "-1/2": r"-1/2|-0.5|-\frac{1}{2}|-.5|−2/4",
    "1/3": r"1/3|2/6|\tfrac{1}{3}",
    "0": "0|-0|0.00|0/7|$0|000",
    "2125000": "2,125,000",
    "18000": r"18 thousand|18 Thousand dollars|18k|$18K|18k/year|**18** thousand|18\text{ thousand}|18,000|18-thousand",
    "1450000": "$1.45M|1.45 million|1,450 thousand",
    "500000": "1/2 million|0.5 million",
    "2": "2:00 pm|2:00|2:00 p.m.|2 pm",
    "90": r"90|90^\circ|90^{\circ}",
}


@pytest.mark.parametrize(
    ("spelling", "gold"), [(one, gold) for gold, several in SAME.items() for one in several.split("|")]
)
def test_spellings_of_the_same_number(spelling, gold):
    got = solved(spelling, gold)
    assert got.correct and got.strict and got.exact_format and got.tags_ok
    assert (got.rule, got.why) == ("solution", "correct")
    assert got.answer == gold_value(gold)


@pytest.mark.parametrize(
    ("solution", "gold", "answer"),
    [
        *[("15", "16", "15"), ("5", "-5", "5"), ("-5", "5", "-5"), ("−5", "5", "-5"), ("18", "1", "18")],
        *[("118", "18", "118"), ("180", "18", "180"), ("1,000", "1", "1000"), ("1.8", "18", "1.8")],
        *[("18.00000000000000000001", "18", "18.00000000000000000001"), ("0.3333333", "1/3", "0.3333333")],
        *[("1.000", "1,000", "1"), ("18 = 20", "18", "20"), ("--5", "-5", "5")],
        ("9007199254740993", "9007199254740992", "9007199254740993"),
    ],
)
def test_another_number_is_wrong(solution, gold, answer):
    got = solved(solution, gold)
    assert (got.correct, got.strict, got.exact_format) == (False, False, True)
    assert (got.answer, got.why) == (answer, "wrong number")


NO_NUMBERS = (
    "1,00|10,00|1,0000|1000,000|0,500|1.2.3|1.000,5|10:30|5:5|12/25/2020|3/0|1_000|x18|CO2|x_1|9x2|0x1F|1e1000"
    r"|cm^2|5^2|5^{2}|(a)^2|5²|1½|½|\sqrt{5}|√5|±5|\pm5|\frac12|\frac{x}{2}|1.5/2"
    r"|18 000|1 000|1'018|18, 000|18½|1 1/2|18\sqrt{2}|2\frac{1}{2}|18€50|3:30 pm|eighteen|nan|inf|∞|-|.|$|²"
)


@pytest.mark.parametrize("solution", NO_NUMBERS.split("|"))
def test_what_is_no_number(solution):
    for gold in ("1", "2", "5", "18"):
        got = solved(solution, gold)
        assert (got.answer, got.rule, got.correct) == (None, "solution", False)
        assert got.why == "no number in the solution block"


@pytest.mark.parametrize("inside", ["18 or 20", "20, 18", "18 eggs of 20", "18, 1,00", "18\n20"])
def test_two_different_numbers_are_ambiguous(inside):
    for gold in ("18", "20", "1", "0", "2"):
        got = solved(inside, gold)
        assert (got.answer, got.rule, got.correct) == (None, "solution", False)
        assert got.why == "two different numbers in the solution block"


@pytest.mark.parametrize(
    "inside",
    ["5-5", "5 - 5", "5 + 5", "5*5", r"5 \times 5", r"5\cdot5", "5 x 5", "5 ÷ 5", "5 times 5", "3 = 5 + 5"],
)
def test_an_expression_is_no_answer(inside):
    got = solved(inside, "5")
    assert (got.answer, got.rule, got.correct) == (None, "solution", False)
    assert got.why == "an expression in the solution block"


def test_the_number_after_the_last_equals_sign_decides():
    assert solved("9 * 2 = 18").answer == "18"
    assert solved("16 - 3 - 4 = 9, 9 * 2 = $18 a day").answer == "18"
    assert solved("18 = 1,00").answer is None
    assert solved("x = 18 or 20").answer is None
    assert solved("20-2 = - 18").answer == "-18"


def compare_numbers_of(length: int) -> None:
    digits, half = "7" * length, length // 2
    thirds = f"{digits}/{'2' + '3' * (length - 1)}"
    assert solved(digits, digits).correct
    assert solved(f"${digits}.00", digits).correct
    assert not solved(digits[:-1] + "8", digits).correct
    assert not solved(digits, "18").correct
    assert solved(thirds, thirds).correct
    assert solved(f"{'1' * half}/{'2' * half}", "1/2").correct
    assert not solved(f"{'1' * half}/{'2' * (half - 1)}3", "1/2").correct
    assert solved(f"-{digits}/{digits}", "-1").correct
    assert not solved("1," + "000," * (length // 4) + "00").correct


def test_numbers_of_100_000_digits_compare_exactly_and_in_proportion():
    def anew(length: int) -> None:
        gold_value.cache_clear()
        compare_numbers_of(length)

    assert growth(anew, 12_500, 100_000) < EIGHTFOLD


@given(st.fractions(), st.fractions())
def test_same_number_agrees_with_exact_arithmetic(left, right):
    one, two = gold_value(str(left)), gold_value(str(right))
    assert same_number(one, two) == (left == right)
    assert same_number(one, gold_value(f"{left.numerator * 10**120}/{left.denominator * 10**120}"))


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3))
def test_decimals_of_any_spelling_have_one_canonical_spelling(number):
    value = gold_value(f"{number:f}")
    assert gold_value(f"{number:,f}") == gold_value(f"{number:f}00") == gold_value(value) == value


@pytest.mark.parametrize("gold", ["", "abc", "1,00", "5 or 6", "x = 18", "18 eggs", "9 + 9", "10:30", "½"])
def test_a_gold_that_is_no_number_is_refused(gold):
    with pytest.raises(ValueError, match="the gold answer must be one number, not "):
        score("18", gold)


# --- where the answer is


@pytest.mark.parametrize(
    ("text", "answer", "rule"),
    [
        (f"The answer is 20. {SS}18{SE} #### 21", "18", "solution"),
        (f"{SS}17{SE}{SS}18{SE}", "18", "solution"),
        (f"{SS}18{SE}{SS}17", "17", "solution"),
        (f"{SS}18{SE}{SS}{SE}", None, "solution"),
        (f"{SS}none{SE} the answer is 18", None, "solution"),
        (f"#### 18 {SS}", None, "solution"),
        (f"{SS}18", "18", "solution"),
        (f"{SS}18</SOLU", "18", "solution"),
        (f"{SS}{SS}18{SE}", "18", "solution"),
        (f"18{SE}", "18", "last_number"),
        ("The answer is 18. There were 20 eggs.", "18", "phrase"),
        ("The answer is 5, no: the answer is 18", "18", "phrase"),
        ("**Answer:** -$1,018.50 a day", "-1018.5", "phrase"),
        ("Final answer: 9 * 2 = $18 a day", "18", "phrase"),
        ("The answer is $18 because 9*2 = 18 (20-2).", "18", "phrase"),
        ("the final answer is x = 18", "18", "phrase"),
        ("FINAL ANSWER: 18!", "18", "phrase"),
        (r"The final answer is $\boxed{18}$. I checked 3 times", "18", "phrase"),
        (r"The answer is \frac{1}{2}", "0.5", "phrase"),
        ("answer = 18, of which 3 are red", "18", "phrase"),
        ("The answer is 18. \\boxed{20} #### 21", "18", "phrase"),
        ("The answer is 9 + 9", None, "phrase"),
        ("The answer is 10:30, 18", None, "phrase"),
        ("The answer is not 20. It is 18", "18", "last_number"),
        ("Answer:\n1. First we see 18", "18", "last_number"),
        ("\\boxed{5} \\boxed{18} 20 #### 21", "18", "boxed"),
        ("\\boxed{\\text{He has } 18} of 20", "18", "boxed"),
        ("\\boxed{\\boxed{18}} of 20", "18", "boxed"),
        ("\\boxed{\\frac{1}{2}}", "0.5", "boxed"),
        ("\\boxed{18 and so on\n20", "18", "boxed"),
        ("\\boxed{5, 6}", "5", "boxed"),
        ("\\boxed{} so 18", "18", "last_number"),
        ("1\n#### 5\n#### 18\nThat took 4 steps", "18", "hashes"),
        ("#### $1,018", "1018", "hashes"),
        ("#### Step 2\nThere are 18", "18", "last_number"),
        ("9 * 2 = 18 eggs.", "18", "last_number"),
        ("16-3-4=9 and 20-2", "2", "last_number"),
        ("He has 18. He gets up at 10:30 and runs version 1.2.3", "18", "last_number"),
        ("There are 5 in A4\n18", "18", "last_number"),
        ("I do not know", None, None),
        ("", None, None),
    ],
)
def test_which_part_of_the_text_answers(text, answer, rule):
    got = score(text, "18")
    assert (got.answer, got.rule) == (answer, rule)
    assert got.correct == (answer == "18")
    assert not got.strict and not got.exact_format


def test_no_answer_has_a_reason():
    assert score("", "18").why == "no number in the text"
    assert score("The answer is 9 + 9", "18").why == "an expression as the final answer"
    assert score(r"\boxed{5 or 6}", "18").why == "two different numbers in the box"
    assert score("It is 5 or 6", "18").why == "no single number at the end"


# --- what a marker carries

BEHIND = {  # marker: what it makes of a statement, and the rule
    "block": (lambda inside: f"{SS}{inside}{SE}", "solution"),
    "phrase": (lambda inside: f"The answer is {inside}", "phrase"),
    "box": (lambda inside: f"\\boxed{{{inside}}}", "boxed"),
    "hashes": (lambda inside: f"#### {inside}", "hashes"),
}
ONE_NUMBER = "18|18 or 18.00|18 dollars ($18)|18 18|**18**|x = 18|$18|18 eggs at 18"
EQUATIONS = {  # answer: the number after the last `=`
    "9": "16 - 7 = 9|16 − 7 = 9|16 minus 7 = 9 eggs|18 - 9 = 9|(16 - 7) = 9|16 - 7 = 9 or 9.0",
    "18": "x = 9 * 2 = 18|9 * 2 = 18|9 eggs * $2 = $18|36/2 = 18|16 - 7 = 9, 9 * 2 = 18|2x = 36, x = 18|2(9) = 18"
    r"|\frac{36}{2} = 18|9 \times 2 = 18|20% of 90 = 18|6 White Oak trees + 12 Lodgepole Pine trees = 18 trees"
    "|9 * 2 = 18 dollars for 9 eggs|9 * 2 = 18 since 16 - 7 = 9|9 * 2 = 18 (16 - 7 = 9)|9 * 2 (= 18)"
    "|20 - x = 2, x = 18|16 - 7 = 9, which at $2 each are 9 * 2 = 18",
}
EXPLAINED = (  # the first number: 18
    "18 (9 * 2 = 18)|18 (16 - 7 = 9)|18 since 16 - 7 = 9|18, because 16 - 7 = 9|18 eggs, as 16 - 7 = 9|18 [16 - 7 = 9]"
    "|$18 because 9*2 = 18 (20-2)|18 where x = 9|18, which is 2 * 9 = 18|x = 18 (16 - 7 = 9)|18 (= 9 * 2)"
    "|18(16 - 7 = 9)|18 after 16 - 7 = 9|18 dollars, using 16 - 7 = 9|18 — 16 - 7 = 9|18 ((16 - 7) * 2 = 18)"
    "|18 from 9 * 2 = 18|18, 9 * 2 = 18"
)
THE_FIRST = (  # 18, but ambiguous in a block
    "18 dollars for 9 eggs|18 of 20|18 eggs in 2 days|18 (9 eggs)|18, 20|18 per 2 people|18 by 10:30"
    "|18 of them and 2 not|18, 16 - 7 = 9"
)
JOINED = (
    "18 or 20|18 to 20|18 and 20|18-20|18 - 20|18–20|18—20|$18-$20|18 eggs or 20 eggs|$18 to $20|**18** or **20**"
    "|18, or 20|3 hours and 15 minutes|18 km/h to 20 km/h|18 miles per hour to 20|18%-20%"
    "|18 square feet and 15 square inches"
    r"|18 and a half|18 dollars and a quarter|18 and 1/2|18 to about 20|18k to 20k|17, 18 or 20|17, 18, and 20|18 & 20"
    r"|x = 18 or x = 20|18~20|70 \text{ sofas and } 72 \text{ chairs}|9 * 2 = 18 or 20|18 or 20 since 9 * 2 = 18"
)
NO_STATEMENT = "9 + 9|9 * 2|18 = 9 * 2|9 * 2 = ?|18 x 20|18 000 or 18|1,00 or 18|2 3/4"


@pytest.mark.parametrize("marker", BEHIND)
@pytest.mark.parametrize(
    ("statements", "answer", "in_a_block"),
    [
        (ONE_NUMBER, "18", "18"),
        *[(statements, answer, answer) for answer, statements in EQUATIONS.items()],
        (EXPLAINED, "18", "18"),
        (THE_FIRST, "18", None),
        (JOINED, None, None),
        (NO_STATEMENT, None, None),
    ],
    ids=["one number", "equation to 9", "equation to 18", "explained", "the first", "joined", "no statement"],
)
def test_what_a_marker_carries(marker, statements, answer, in_a_block):
    around, rule = BEHIND[marker]
    expected = in_a_block if marker == "block" else answer
    for statement in statements.split("|"):
        got = score(around(statement), expected or "18")
        assert (got.answer, got.rule) == (expected, rule), statement
        assert got.correct == got.marked == (expected is not None), statement


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("#### 18\n#### Explanation", "18"),
        ("#### 18\n#### Step 3", "18"),
        (r"\boxed{18} in \boxed{\text{dollars}}", "18"),
        ("The answer is 18. The answer is not 20.", "18"),
        ("Answer: 18\nAnswer: see above", "18"),
        ("#### 18\n#### 18 000", None),  # a malformed number is one
        (r"\boxed{18} \boxed{10:30}", None),
    ],
)
def test_the_last_marker_of_its_kind_that_holds_a_number_decides(text, answer):
    got = score(text, "18")
    assert (got.answer, got.correct, got.marked) == (answer, answer == "18", answer == "18")
    assert got.rule != "last_number"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("It takes 3 hours and 15 minutes.", None),
        ("It is between 17 and 18.", None),
        ("It costs 18 or 20 dollars", None),
        ("It costs 18–20 dollars", None),
        ("It fell from $20 to $18.", None),
        ("That is 18 and a half.", None),
        ("9 * 2000 = 18 000", None),
        ("9 * 2000 = 18, 000", None),
        ("She has 18½ cups", None),
        ("20-2", "2"),  # a dash before a smaller number is a minus
        ("9 + 18", "18"),
        ("She eats 5 and sells 18", "18"),
        ("18, or 18.00", "18"),
        ("20 eggs, 18 hens", "18"),
        ("Hens: 5\n- 18", "18"),
        ("5 hens.\n18", "18"),
        ("2, 4, 8, 16, 32, 64, 128", "128"),
        ("In 2020, 500 people", "500"),
        ("The total is 18 thousand.", "18000"),
        ("He gets up at 2:00 pm", "2"),
        ("It is 18 at 3:30", "18"),
    ],
)
def test_a_text_that_ends_in_several_joined_numbers_has_no_answer(text, answer):
    got = score(text, answer or "18")
    assert (got.answer, got.rule, got.marked) == (answer, "last_number", False)


@pytest.mark.parametrize(
    ("inside", "answer"),
    [
        ("She had 12 gifts and wrapped 8, so 12 - 8 = 4 are left", "4"),
        ("She had 12 gifts, which are 12 - 8 = 4", "4"),
        ("In 2 days, 9 * 3 = 27", None),
        ("18. Check: 18 + 2 = 20", None),
        ("18 since 18 - 9 = 9", "18"),
        ("18\n(16 - 7 = 9)", "18"),
        ("18.\n\nBecause 16 - 7 = 9", "18"),
        ("18 eggs.\n16 - 7 = 9", None),
        ("9 * 2 = 18. She makes $18 with 9 eggs", "18"),
        ("9 * 2 = 18. After lunch she has 5", None),
        ("12 novels (two or more) + 6 novels (one) = 18 novels", "18"),
        ("The total is 75, so the loss is 6x (which is 6 + 0 = 6)", None),
        ("1 muffin a day (from Monday to Friday)\n7 muffins + 9 muffins = 16", None),
    ],
)
def test_a_block_of_several_clauses(inside, answer):
    assert solved(inside).answer == answer


def test_a_marked_answer():
    assert solved("18").marked and solved("17").marked
    assert not solved("18", finish_reason="length").marked
    assert not solved("18 or 20").marked and not score("18", "18").marked and not score("", "18").marked


# --- the format and the finish reason

EXACT = [
    f"{HEAD}18{SE}",
    f" \n{HEAD}\n18\n{SE}\n\n",
    f"{WS}a{WE}then\n\nmore{SS}18{SE}",
    f"\u3000{HEAD}18{SE}\u2003",
]
NOT_EXACT = [
    *[
        "18",
        f"{SS}18{SE}",
        f"{WS}a{WE}18",
        f"{WS}a{WE}{SS}18",
        f"{WS}{WE}{SS}18{SE}",
        f"{WS} \n{WE}{SS}18{SE}",
    ],
    *[f"{HEAD}{SE}18", f"{HEAD} {SE}", f"So: {HEAD}18{SE}", f"So:\n{HEAD}18{SE}", f"{HEAD}18{SE}."],
    *[f"{HEAD}18{SE}\nDone", f"{HEAD}18{SE}\n{HEAD}18{SE}", f"{HEAD}18{SE}{SE}", f"{WS}{HEAD}18{SE}"],
    *[f"{SS}18{SE}{WS}a{WE}", f"{WE}a{WS}{SS}18{SE}", f"{WS}a{SS}18{WE}{SE}", f"{WS}a{WE}{SE}18{SS}"],
]


@pytest.mark.parametrize("text", EXACT)
def test_exact_format(text):
    got = score(text, "18")
    assert got.exact_format and got.tags_ok and got.strict
    wrong = score(text, "17")
    assert wrong.exact_format and not wrong.strict and not wrong.correct


@pytest.mark.parametrize("text", NOT_EXACT)
def test_not_the_exact_format(text):
    got = score(text, "18")
    assert not got.exact_format and not got.strict


def test_tags_ok_means_each_tag_once_in_any_order():
    assert score(f"{SE}{SS}{WE}{WS}", "18").tags_ok
    assert not score(f"{SE}{SS}{WE}", "18").tags_ok
    assert not score(f"{SE}{SS}{WE}{WS}{WS}", "18").tags_ok


def test_a_truncated_completion_is_wrong_and_keeps_its_answer():
    got = score(f"{HEAD}18{SE}", "18", finish_reason="length")
    assert got == Score("18", "solution", False, False, False, True, False, "cut at the token limit")
    assert score(f"{WS}16 - 3", "3", finish_reason="length").answer == "3"


def test_other_tags():
    tags = Tags("<think>", "</think>", "<answer>", "</answer>")
    text = "<think>a</think><answer>18</answer>"
    assert score(text, "18", tags=tags).strict
    assert not score(text, "18").exact_format
    assert selftest(["18", "-5"], tags).passed


@pytest.mark.parametrize("working_end", ["", "a ", "a\nb", WS, "SOLUTION"])
def test_unusable_tags_are_refused(working_end):
    with pytest.raises(ValueError, match="must be one line"):
        score("18", "18", tags=Tags(working_end=working_end))


# --- any text

BLANKS = ["\n", "\n", "\n\n", " ", "\r\n", "\t", "\u2003", "\x85", "\u2028", "\x1c"]
PIECES = [WS, WE, SS, SE, WS, WE, SS, SE, *BLANKS]
NUMBERISH = ["1", "18", "٣", "９", "²", "½", "{,}", "e", "E+", *",.-−x$%=:/^_"]
MARKERS = [
    "\\",
    "\\frac{",
    "}{",
    *"}*()",
    "\\boxed{",
    "####",
    "The answer is ",
    "\\,",
    "\\pm",
    "\ud800",
    "\0",
]


@settings(max_examples=1000)
@given(st.text() | st.lists(st.sampled_from(PIECES + NUMBERISH + MARKERS), max_size=25).map("".join))
def test_score_never_raises_and_keeps_its_promises(text):
    for finish_reason in ("stop", "length"):
        got = score(text, "18", finish_reason=finish_reason)
        assert got.strict == (got.correct and got.exact_format)
        assert not got.correct or got.answer == "18"
        assert not got.exact_format or got.tags_ok
        assert (got.rule == "solution") == (SS in text)
        if got.answer is not None:
            assert gold_value(got.answer) == got.answer


def generated(count: int, pieces: list[str]) -> list[str]:
    """Texts around the format: pieces at random, and perfect formats with pieces thrown in."""
    draw = random.Random(20250101)
    texts = []
    for _ in range(count):
        parts = [WS, draw.choice(pieces), WE, SS, draw.choice(pieces), SE] if draw.random() < 0.7 else []
        for _ in range(draw.randrange(7)):
            parts.insert(draw.randrange(len(parts) + 1), draw.choice(pieces))
        texts.append("".join(parts))
    return texts


def test_exact_format_against_one_plain_pattern():
    no_tag = f"((?:(?!{WS}|{WE}|{SS}|{SE}).)*)"
    plain = re.compile(rf"\s*{WS}{no_tag}{WE}{no_tag}{SS}{no_tag}{SE}\s*", re.DOTALL)
    seen = {True: 0, False: 0}
    for text in generated(12_000, [*BLANKS, "1", "x", WS, SE]):
        match = plain.fullmatch(text)
        expected = match is not None and bool(match[1].strip() and match[3].strip())
        assert score(text, "18").exact_format == expected, text
        seen[expected] += 1
    assert min(seen.values()) > 150


def test_the_tutorials_patterns_against_plain_ones():
    plain_format = re.compile(rf"^\s*{WS}.+?{WE}.*?{SS}(.+?){SE}\s*$", re.MULTILINE | re.DOTALL)
    plain_number = re.compile(rf"{SS}.*?([\d\.]{{1,}})", re.MULTILINE | re.DOTALL)
    captures, numbers, with_tags, missed = 0, 0, 0, 0
    for text in generated(12_000, [*PIECES, "1", "18", "٣", ",", ".", "-", "x", "²"]):
        wanted = [match and match[1] for match in (plain_format.search(text), plain_number.search(text))]
        assert [tutorial_format_capture(text), tutorial_number(text)] == wanted, text
        captures += wanted[0] is not None
        numbers += wanted[1] is not None
        with_tags += wanted[0] is not None and any(tag in wanted[0] for tag in (WS, WE, SS, SE))
        missed += wanted[0] is None and all(tag in text for tag in (WS, WE, SS, SE))
    assert captures > 2000 and numbers > 2000 and with_tags > 500 and missed > 1000


@pytest.mark.parametrize(
    ("text", "capture"),
    [
        (f"{HEAD}18{SE}", "18"),
        (f"Hi\n{HEAD}18{SE} \nBye", "18"),
        (f"Hi {HEAD}18{SE}", None),
        (f"{HEAD}18{SE}.", None),
        (f"{WS} {WE}{SS} {SE}", " "),
        (f"{WS}{WE}{SS}18{SE}", None),
        (f"{WS}a{WE}{SS}{SE}", None),
        (f"{HEAD}1{SE}\n{HEAD}2{SE}", "1"),
        (f"{HEAD}1{SE} {SS}2{SE}", f"1{SE} {SS}2"),
        (f"{HEAD}1{SE} {SS}2{SE}\n{SE}", f"1{SE} {SS}2"),
    ],
)
def test_the_format_patterns_quirks(text, capture):
    assert tutorial_format_capture(text) == capture


def test_the_numbers_pattern_runs_on_past_an_empty_block():
    assert tutorial_number(f"{SS}{SE} in 1998.") == "1998."
    assert tutorial_number("18") is None


@pytest.mark.parametrize("label", hostile_texts())
def test_hostile_texts_take_time_in_proportion(label):
    small, large = (hostile_texts(size)[label] for size in (12_500, 100_000))
    assert len(large) > 99_000
    for function in (lambda text: score(text, "18"), tutorial_format_capture, tutorial_number):
        assert growth(function, small, large) < EIGHTFOLD


@pytest.mark.parametrize(
    "unit",
    [
        "5 ",
        "1/3 ",
        "1:1 ",
        "= - 5",
        "answer is ",
        "answer: 5 ",
        "\\boxed{",
        "{{}",
        "#",
        "9",
        "９",
        ",000",
        "5)  ",
        "1.",
        "5 or ",
        "answer: ^2 ",
        "#### ",
        "1'000",
        "18, 000, ",
        "( = ",
        "5 since ",
        "5 from ",
        "\\boxed{{a}",
    ],
)
@pytest.mark.parametrize("start", ["", f"{SS}1", f"{SS}1 = ", "\\boxed{1", "The answer is 1"])
def test_walls_of_anything_take_time_in_proportion(start, unit):
    small, large = (start + unit * (length // len(unit)) for length in (12_500, 100_000))
    assert growth(lambda text: score(text, "18"), small, large) < EIGHTFOLD


# --- the self-test


def test_selftest_passes_on_all_of_gsm8k(real_golds):
    assert len(real_golds) == 8792
    result = selftest(real_golds)
    assert result.failures == () and result.passed
    assert result.golds == 8792 and result.spellings >= 10 * 8792 and result.adversarial > 8792


def test_selftest_passes_on_the_built_in_list():
    result = selftest(BUILT_IN_GOLDS)
    assert result.failures == () and result.passed and result.golds == len(BUILT_IN_GOLDS)


def test_selftest_names_a_gold_that_is_no_number():
    result = selftest(["18", "many"])
    assert not result.passed
    assert result.failures == ("the gold answer must be one number, not 'many'",)


def by_substring(text: str, gold: str, **_: object) -> Score:
    right = gold in text
    return Score(gold, "solution", right, right, True, True, True, "")


def test_a_broken_scorer_fails_its_selftest(monkeypatch):
    monkeypatch.setattr("harness.tasks.selftest.score", by_substring)
    failures = selftest(["18", "-5"]).failures
    assert any("118" in failure and "correct is not False" in failure for failure in failures)
    assert any("strict is not True" in failure for failure in failures)
    assert any("exact_format is not False" in failure for failure in failures)
    assert all("\n" not in failure for failure in failures)


def test_a_broken_number_reader_fails_the_selftest(monkeypatch, capsys):
    monkeypatch.setattr(scoring, "same_number", lambda left, right: left.lstrip("-") == right.lstrip("-"))
    assert not selftest(["18", "-5"]).passed
    assert main(["--selftest"]) == 1
    printed = capsys.readouterr().out
    assert "FAILED, first: " in printed and printed.count("\n") == 1


# --- the command line


def test_cli_selftest():
    done = harness("scoring", "--selftest")
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    assert re.fullmatch(r"selftest: 10 golds, \d+ spellings, \d+ adversarial .*; all passed\n", done.stdout)


def test_cli_reads_gsm8ks_answers(tmp_path):
    golds = tmp_path / "golds.jsonl"
    rows = [
        {"answer": "9 * 2 = <<9*2=18>>18\n#### 18"},
        {"answer": "#### 1 #### -1,000"},
        {"answer": "7\u2028#### 7"},
    ]
    golds.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    done = harness("scoring", "--selftest", "--golds", golds)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("selftest: 3 golds")
    golds.write_text('{"answer": "#### many"}\n', encoding="utf-8")
    done = harness("scoring", "--selftest", "--golds", golds)
    assert (done.returncode, done.stderr) == (1, "") and "must be one number, not 'many'" in done.stdout


@pytest.mark.parametrize(
    "content",
    [b"", b"not json\n", b"[]\n", b"5\n", b'{"question": "18"}\n', b'{"answer": 18}\n', b"\xff\xfe\n", None],
)
def test_cli_refuses_a_file_without_golds(tmp_path, capsys, content):
    golds = tmp_path / "golds.jsonl"
    if content is not None:
        golds.write_bytes(content)
    assert exit_code(lambda: main(["--selftest", "--golds", str(golds)])) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert "could not be read as JSON lines" in printed.err and "golds.jsonl" in printed.err


def test_cli_refuses_bad_usage(tmp_path):
    refused(harness("scoring"), "--selftest")
    refused(harness("scoring", "--selftest", "--gold", tmp_path / "none.jsonl"), "none.jsonl")
    refused(harness("scoring", "--selftest", "--nonsense"), "--nonsense")


FRAGMENTS = (
    "\\frac", "{", "}", "1", "2", "18", ",", ".", "=", "x", " ", "\n", "\\", "\\boxed{", "answer is", "answer:",
    "#### ", "e", "-", "+", "!", "abc", "\\text", "\\!", "\\,", "{,}", "^", "_", "/", "**", "$", "<SOLUTION>",
    "</SOLUTION>", "%",
)  # fmt: skip


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join))
@settings(max_examples=3000, deadline=None)
@example("\\frac{,}{,}")
@example("answer: \\")
def test_score_never_raises_on_pieces_of_latex(text):
    found = score(text, "18")
    assert not found.strict or (found.correct and found.exact_format)


@pytest.mark.parametrize(
    "text",
    ["The answer is \\answer{18}, not 20.", "#### \\answer{18} of 20", "answer: \\answerbox{18} of 20",
     "The answer is: \\Answer 18. I used 3.", "\\answer: 18 of 20", "answer: \\answer = 18 of 20"],
)  # fmt: skip
def test_a_command_called_answer_is_a_command(text):
    found = score(text, "18")
    assert found.correct and found.rule in ("phrase", "hashes")


@pytest.mark.parametrize(
    ("start", "unit"),
    [("answer: ", "\\abc="), ("", "\\answer:"), ("", "\\Answer = "), ("", "\\boxed{"), ("\\boxed{", "{a"),
     ("", "\\frac{1"), ("answer", " "), ("", "answer is "), ("", "1e+1"), ("\\frac{", "1")],
)  # fmt: skip
def test_patterns_do_not_backtrack(start, unit):
    small, large = (start + unit * (length // len(unit)) for length in (12_500, 100_000))
    assert growth(lambda text: score(text, "18"), small, large) < EIGHTFOLD
