"""The scorer panel: each published rule on cases by hand and against the rule as published, and the sign they give.

The expected values follow from the published code, which is named in `panel.SCORERS`. The references below are written
plainly, from the published patterns and steps. Beyond them, on 2026-11-23, Inspect's own code gave the same answer and
verdict as ours on 200,000 generated texts in many scripts, lm-eval's own filters and metric on 100,000.
"""

from __future__ import annotations

import json
import math
import random
import re
import string

import numpy as np
import pytest

from harness.bench.speed import hostile_texts
from harness.report import scorer_panel
from harness.report.summary import ScorerSide, ScorerView
from harness.runs.results import read_evaluation
from harness.tasks import panel
from harness.tasks.records import Tags
from harness.util import files, typed
from harness.util.errors import HarnessError
from tests.conftest import EIGHTFOLD, growth
from tests.constructed import make_run

TAGS = Tags()
RULES = {scorer.name: scorer.rule for scorer in panel.SCORERS}
OPENAI, STRICT, FLEXIBLE, INSPECT, ANSWER, NUMBERS = RULES


def block(inside: str) -> str:
    return f"<start_working_out>6 * 3<end_working_out><SOLUTION>{inside}</SOLUTION>"


CASES = [  # scorer, text, gold, extracted, correct
    (OPENAI, "6 * 3 = 18\n#### 18", "18", "18", True),
    (OPENAI, "#### 1,000", "1000", "1000", True),
    (OPENAI, "#### 1000", "1,000", "1000", True),
    (OPENAI, "#### -5 below", "-5", "-5", True),
    (OPENAI, "#### 18.", "18", "18.", False),  # the dot is in the class and stays
    (OPENAI, "#### 18.00", "18", "18.00", False),
    (OPENAI, "#### 9\n#### 18", "18", "9", False),  # the first
    (OPENAI, "#### 18\n#### 9", "18", "18", True),
    (OPENAI, "####18", "18", None, False),  # one blank is asked for
    (OPENAI, "#### $18", "18", None, False),
    (OPENAI, "##### 18", "18", "18", True),
    (OPENAI, "#### ,", "18", "", False),
    (OPENAI, "#### −5", "-5", None, False),  # another minus sign
    (OPENAI, "#### 18", "$18", None, False),  # its own reading of the gold fails
    (STRICT, "#### 18.", "18", "18.", True),  # one dot at the end is ignored
    (STRICT, "#### 18..", "18", "18..", False),
    (STRICT, "#### 18.00", "18", "18.00", False),
    (STRICT, "#### 1,000", "1,000", "1,000", True),
    (STRICT, "#### 9 #### 18", "18", "9", False),
    (STRICT, "#### $18", "18", None, False),
    (STRICT, "#### 18", "$18", "18", True),
    (STRICT, block("18"), "18", None, False),
    (FLEXIBLE, "so 18 eggs, or 9", "18", "9", False),  # the last
    (FLEXIBLE, block("18"), "18", "18", True),
    (FLEXIBLE, "It is $1,000.", "1000", "$1,000.", True),
    (FLEXIBLE, "It is 18.50.", "18.50", "18.50.", True),
    (FLEXIBLE, "It is 18.00", "18", "18.00", False),
    (FLEXIBLE, "-5", "-5", "-5", True),
    (FLEXIBLE, "20-2", "-2", "-2", True),  # any hyphen before it is its sign
    (FLEXIBLE, "18 eggs ...", "18", "...", False),  # a run of dots is a number to it
    (FLEXIBLE, "9.", "9", "9.", True),
    (FLEXIBLE, "a 9, b", "9", "9,", True),
    (FLEXIBLE, "no, none. $", "18", None, False),  # a lone dot, comma or dollar sign is too short
    (FLEXIBLE, "１８", "18", None, False),  # ASCII digits alone
    (INSPECT, "The answer is 18.", "18", "18", True),
    (INSPECT, "18 in 2 days", "18", "2", False),  # the last word that is a number
    (INSPECT, "so **$1,000.00**!", "1,000", "1000", True),
    (INSPECT, r"so \$18", "18", "18", True),
    (INSPECT, "ANSWER: (18)", "18", "18", True),
    (INSPECT, "it is 60%", "60", None, False),
    (INSPECT, "x=18", "18", None, False),
    (INSPECT, f"9 {block('18')}", "18", "9", False),  # tags cling to the number
    (INSPECT, block(" 18 "), "18", "18", True),
    (INSPECT, "25", "5", "25", False),
    (INSPECT, "123456", "123459", "1.2346e+05", True),  # five significant digits
    (INSPECT, "1.8e1", "18", "18", True),
    (INSPECT, "nan inf 18 -inf", "18", "18", True),
    (INSPECT, "−5", "-5", "-5", True),
    (INSPECT, "--5", "5", "5", True),  # signs cancel
    (INSPECT, "2½", "2.5", "2.5", True),
    (INSPECT, "-½", "-0.5", "-0.5", True),
    (INSPECT, "3²", "9", "9", True),
    (INSPECT, "-2²", "4", "4", True),  # the sign belongs to the base
    (INSPECT, "10⁻¹", "0.1", "0.1", True),
    (INSPECT, "0⁻¹ 10⁹⁹⁹ ½½ ½2", "18", None, False),
    (INSPECT, "1’000", "1000", "1000", True),
    (INSPECT, "1，000", "1000", "1000", True),
    (INSPECT, "1.2.3", "1.23", None, False),
    (INSPECT, "１８", "18", "18", True),
    (INSPECT, "Ⅻ", "12", "12", True),
    (INSPECT, "①②", "12", "12", True),
    (INSPECT, "十八", "18", "18", True),
    (INSPECT, "三千零五", "3005", "3005", True),
    (INSPECT, "一万二千", "12000", "12000", True),
    (INSPECT, "廿三", "23", "23", True),
    (INSPECT, "二〇二五", "2025", "2025", True),
    (INSPECT, "三点五", "3.5", "3.5", True),
    (INSPECT, "十二½", "12.5", "12.5", True),
    (INSPECT, "负五", "-5", "-5", True),
    (INSPECT, "一" * 400, "1", None, False),  # larger than a float
    (INSPECT, "it is 1/2.", "1/2", "it is 1/2.", True),  # a gold that is no number to it: the end of the text
    (INSPECT, "1/2 it is", "1/2", "1/2 it is", False),
    (INSPECT, " ", "18", None, False),
    (ANSWER, block("18"), "18", "18", True),
    (ANSWER, block("\n18 "), "18", "\n18 ", True),
    (ANSWER, block("18.0"), "18", "18.0", False),
    (ANSWER, block("1000"), "1,000", "1000", False),
    (ANSWER, block("1,000"), "1,000", "1,000", True),
    (ANSWER, "<SOLUTION>18</SOLUTION>", "18", None, False),
    (ANSWER, f"{block('18')} done", "18", None, False),
    (NUMBERS, block("$18.00"), "18", "18.00", True),
    (NUMBERS, "<SOLUTION>18", "18", "18", True),
    (NUMBERS, block("-5"), "-5", "5", False),  # the sign is lost
    (NUMBERS, block("1,000"), "1,000", "1", False),  # and float refuses the gold
    (NUMBERS, block("1.2.3"), "1", "1.2.3", False),
    (NUMBERS, "18", "18", None, False),
]


@pytest.mark.parametrize(("scorer", "text", "gold", "extracted", "correct"), CASES)
def test_cases_by_hand(scorer, text, gold, extracted, correct):
    assert RULES[scorer](text, gold, TAGS) == (extracted, correct)


# --- the rules as published, written plainly


def openai_as_published(text, gold):
    def extract(completion):
        match = re.search(r"#### (\-?[0-9\.\,]+)", completion)
        return match.group(1).strip().replace(",", "") if match else None

    return extract(text), extract(text) == extract(f"3 + 4 = <<3+4=7>>7\n#### {gold}")


def lm_eval_as_published(pattern, select, text, gold):
    answer = "[invalid]"
    if found := re.findall(pattern, text):
        groups = found[select] if isinstance(found[select], tuple) else (found[select],)
        answer = next(filter(None, groups)).strip()
    compared = [answer, f"She has $5 and 3 + 4 = <<3+4=7>>7 eggs.\n#### {gold}"]
    for ignored in (",", "\\$", "(?s).*#### ", "\\.$"):
        compared = [re.sub(ignored, "", each) for each in compared]
    return None if answer == "[invalid]" else answer, compared[0].lower() == compared[1].lower()


def inspect_as_published(text, gold):
    """On ASCII, where numbers are what float reads, with signs that cancel before them and apostrophes within."""

    def bare(value):
        value = re.sub(r"\\([$,£,€*_])", r"\1", value.strip().casefold())
        return re.sub(r"\.(?=\s|$|\D)", "", re.sub(r"[$,£,€,*,_]", "", value))

    def number(word):
        word = word.strip("!?:;()[]{}'\"`")
        match = re.fullmatch(r"([-+]*)([0-9.']+(?:e[-+]?[0-9.']*)?)", word)
        try:
            value = float(match[2].replace("'", "")) * (-1) ** match[1].count("-") if match else math.nan
        except ValueError:
            return None
        return format(value, ".5g") if math.isfinite(value) else None

    target = number(bare(gold))
    if target is None:
        around = string.whitespace + string.punctuation
        return text.strip() or None, text.strip().casefold().strip(around).endswith(bare(gold).strip(around))
    found = next((number(word) for word in reversed(re.split(r"\s+", bare(text))) if number(word)), None)
    return found, found == target


GOLDS = ("18", "1,000", "-5", "0", "7", "2,125,000", "18.", "3.5", "123457", "1/2")
PARTS = (
    *"0123456789.,-+'$# \n", *string.punctuation, *"aeEnx", "#### ", "#### ", "#### -", "####", "18", "1,000", ".00",
    "\\$", "1e5", "</SOLUTION>", "nan", "inf", "£",
)  # fmt: skip


def generated(count: int):
    """Short texts made from what the rules look for, and from pieces of it; a third of them end in the gold."""
    draw = random.Random(1)
    for _ in range(count):
        text, gold = "".join(draw.choices(PARTS, k=draw.randint(0, 12))), draw.choice(GOLDS)
        if draw.random() < 0.3:
            text += draw.choice(("#### ", "", " ")) + gold + draw.choice(("", ".", "0", " x", "!"))
        yield text, gold


PUBLISHED = {
    OPENAI: openai_as_published,
    STRICT: lambda text, gold: lm_eval_as_published("#### (\\-?[0-9\\.\\,]+)", 0, text, gold),
    FLEXIBLE: lambda text, gold: lm_eval_as_published("(-?[$0-9.,]{2,})|(-?[0-9]+)", -1, text, gold),
    INSPECT: inspect_as_published,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_linear_rules_are_the_published_ones(name):
    right = found = 0
    for text, gold in generated(20_000):
        ruling = RULES[name](text, gold, TAGS)
        assert ruling == PUBLISHED[name](text, gold), (text, gold)
        right += ruling.correct
        found += ruling.extracted is not None
    assert right > 1000 and found > 2000  # the texts are not all beside the point


def test_on_gsm8k_the_gold_alone_gives_every_rule_what_the_whole_solution_does(gsm8k_folder):
    """All rules judge the reference solution right, and every original reads from it the gold that we pass on."""
    count = 0
    for name in ("train", "test"):
        for line in (gsm8k_folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
            solution = json.loads(line)["answer"]
            gold = solution.rsplit("####", 1)[-1].strip()
            assert re.search(r"#### (\-?[0-9\.\,]+)", solution)[1] == gold  # OpenAI's reading
            assert (
                re.sub(r"(?s).*#### ", "", solution) == solution.split("####").pop().strip() == gold
            )  # lm-eval's, Inspect's
            assert all(RULES[rule](solution, gold, TAGS).correct for rule in (OPENAI, STRICT, FLEXIBLE, INSPECT))
            count += 1
    assert count == 8792


def hostile(size: int) -> dict[str, str]:
    return hostile_texts(size) | {
        "hashes": "#" * size,
        "hashes and blanks": "#### " * (size // 5),
        "minus signs": "-" * size,
        "dots": "." * size,
        "money": "\\$" * (size // 2),
        "decimals": "0." + "9" * size,
        "words": "é " * (size // 2),
        "apostrophes": "1'" * (size // 2) + "x",
        "superscripts": "5" + "²" * size,
        "fractions": "½" * size,
        "chinese digits": "一" * size,
        "chinese units": "十" * size,
        "brackets": "(" * size,
    }


@pytest.mark.parametrize("label", hostile(1))
@pytest.mark.parametrize("name", RULES)
def test_hostile_texts_take_time_in_proportion(name, label):
    small, large = (hostile(size)[label] for size in (12_500, 100_000))
    assert growth(lambda text: RULES[name](text, "18", TAGS), small, large) < EIGHTFOLD


# --- a run under all of them


def compared(tmp_path, base, tuned, seed=3407):
    """What the panel finds, by scorer."""
    run = make_run(tmp_path, base, tuned)
    first, second = (
        scorer_panel.completed(read_evaluation(folder).scores, folder / "samples.jsonl")
        for folder in (run.base, run.tuned(seed))
    )
    ours = [each.correct - before.correct for each, before in zip(second, first, strict=True)]
    return judged(first, [second], np.array(ours, dtype=float))


def judged(base, tuned, ours):
    found = scorer_panel.compare(base, tuned, ours, TAGS)
    for view in found:
        assert typed.parse(ScorerView, files.as_json(typed.plain(view)).encode(), "here") == view
    return {view.name: view for view in found}


def test_a_scorer_with_the_same_difference_is_not_unlike_ours(tmp_path):
    """Inspect reads the 3 of "6 * 3 = 18<end_working_out>" on both sides: no change there."""
    entries = compared(tmp_path, ["wrong"] * 60 + ["right"] * 40, ["right"] * 100)
    none = entries[INSPECT].difference
    assert (none.value, none.gained, none.lost) == (0, 0, 0)
    assert {name: (view.outcome, view.differs) for name, view in entries.items()} == {
        OPENAI: ("none", True), STRICT: ("none", True), FLEXIBLE: ("up", False), INSPECT: ("none", True),
        ANSWER: ("up", False), NUMBERS: ("up", False),
    }  # fmt: skip
    assert [name for name, view in entries.items() if not view.applicable] == [OPENAI, STRICT]


def test_scorers_that_read_another_place_find_the_opposite(tmp_path):
    """60 questions go from right by the last number alone to right by the solution block alone, 40 stay wrong.

    Ours and the tutorial's read the block: 0 to 60 of 100. Flexible and Inspect read the end: 60 to 0.
    """
    base, tuned = ["right at the end"] * 60 + ["wrong"] * 40, ["right in the block"] * 60 + ["wrong"] * 40
    entries = compared(tmp_path, base, tuned)
    assert {name: view.outcome for name, view in entries.items()} == {
        OPENAI: "none", STRICT: "none", FLEXIBLE: "down", INSPECT: "down", ANSWER: "up", NUMBERS: "up",
    }  # fmt: skip
    flexible = entries[FLEXIBLE]
    assert (flexible.difference.gained, flexible.difference.lost) == (0, 60)
    assert flexible.base == ScorerSide(accuracy=0.6, extracted=1.0, as_ours=0.4)
    assert flexible.tuned == ScorerSide(accuracy=0.0, extracted=1.0, as_ours=0.4)


def answering(numbers, end):
    """Completions, the first `numbers` of 100 right by our verdict, and `end` of them by their last line."""
    return [scorer_panel.Completed(str(q), "18", f"#### {18 if q < end else 9}", q < numbers) for q in range(100)]


@pytest.mark.parametrize(
    ("ours", "theirs", "outcome", "differs"),
    [
        ((40, 80), (50, 49), "none", True),  # one question of noise is no fall
        ((40, 80), (50, 50), "none", True),
        ((50, 49), (40, 80), "up", True),
        ((40, 80), (40, 80), "up", False),
        ((40, 80), (40, 78), "up", False),  # two questions less are not detected to be less
        ((40, 80), (40, 60), "up", True),
        ((40, 80), (80, 40), "down", True),
        ((80, 40), (80, 40), "down", False),
    ],
)
def test_what_a_scorer_detects_and_whether_it_is_unlike_ours(ours, theirs, outcome, differs):
    base, tuned = (answering(*each) for each in zip(ours, theirs, strict=True))
    change = np.array([float(after.correct) - before.correct for before, after in zip(base, tuned, strict=True)])
    entries = judged(base, [tuned], change)
    assert (entries[OPENAI].outcome, entries[OPENAI].differs) == (outcome, differs)
    assert (entries[STRICT].outcome, entries[STRICT].differs) == (outcome, differs)


def test_over_seeds_it_is_the_mean_that_is_judged():
    base, first, second = answering(40, 40), answering(80, 80), answering(44, 44)
    ours = np.array([[a.correct - b.correct for a, b in zip(side, base, strict=True)] for side in (first, second)])
    view = judged(base, [first, second], ours.astype(float))[OPENAI]
    assert view.difference.per_seed == pytest.approx((0.4, 0.04)) and view.tuned.accuracy == pytest.approx(0.62)
    assert (view.outcome, view.differs, view.tuned.extracted) == ("none", False, 1.0)


def test_half_of_a_side_is_enough_to_be_applicable_and_less_is_not(tmp_path):
    """check_answer's pattern finds an answer in the exact format alone."""
    tuned = ["right"] * 100
    half = compared(tmp_path, ["right, no format"] * 50 + ["wrong"] * 50, tuned)[ANSWER]
    assert half.applicable and half.base.extracted == 0.5
    assert not compared(tmp_path / "less", ["right, no format"] * 51 + ["wrong"] * 49, tuned)[ANSWER].applicable


def test_several_samples_are_averaged_by_question():
    def side(*answers):
        return [
            scorer_panel.Completed(str(q), "18", f"#### {a}", a == 18) for q, pair in enumerate(answers) for a in pair
        ]

    base, tuned = side((18, 9), (9, 9), (18, 18)), side((18, 18), (9, 9), (18, 9))
    strict = judged(base, [tuned], np.array([0.5, 0, -0.5]))[STRICT]
    assert (strict.difference.n, strict.difference.gained, strict.difference.lost) == (3, 1, 1)
    assert strict.base.accuracy == strict.tuned.accuracy == 0.5
    with pytest.raises(ValueError, match="same questions"):
        scorer_panel.compare(base, [tuned[:-1]], np.zeros(3), TAGS)


def test_a_cut_completion_is_judged_by_its_text(tmp_path):
    assert compared(tmp_path, ["right"] * 100, ["right, cut"] * 100)[ANSWER].tuned.accuracy == 1


def test_a_missing_text_is_one_line(tmp_path):
    run = make_run(tmp_path, ["right"] * 10, ["right"] * 10)
    log = run.base / "samples.jsonl"
    files.write_lines(log, files.read_lines(log)[1:])
    with pytest.raises(HarnessError, match=r"is missing; run harness\.evaluate"):
        scorer_panel.completed(read_evaluation(run.base).scores, log)
