"""The scorer's self-test: golds in many spellings, which must score right, and texts that must not.

    python -m harness.scoring --selftest [--golds FILE.jsonl]

An evaluation runs it on its own golds before it asks the model.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from harness.tasks.answer_format import DEFAULT_TAGS, check_tags
from harness.tasks.numbers import gold_value
from harness.tasks.records import Tags
from harness.tasks.scoring import score
from harness.util.cli import Parser, exit_code
from harness.util.errors import HarnessError

BUILT_IN_GOLDS = ("18", "1,000", "-5", "0", "3.5", "-1,234.5", "2,125,000", "16", "7", "1/2")
_WRONG = {  # gold: solutions that must not score right for it, in a perfect format
    "0": "nan|1/0|zero|0 or 1|0-0",
    "1": "18|1,000|1,00|1.2.3|1_000|1e3|x1|01:01|1/2|one",
    "5": r"-5|−5|-$5|5²|5^{2}|±5|5-5|5 + 5|5 \times 5|5:5|\sqrt{5}|\frac5{2}|5, 6|6, 5|5 = 6",
    "-5": "5|$5|(5)|10-5|10 - 5|- 5 and 5",
    "16": "15|17|16.01|15.99999999999999999999999|16 = 17|1 6|116|160|sixteen",
    "18": "18 or 20|18 to 20|18-20|18 eggs and 20 eggs|18 and a half|18 dollars for 9 eggs|16 since 20 - 2 = 18|18k|18½"
    "|18 thousand|18 000|18, 000|18'000|3:18|9 + 9|18 = 9 * 2|9 since 9 * 2 = 18|36 (36 / 2 = 18)",
    "1,000": "1|1 000|1'000|1, 000|1 k|1,0000|1,00|1.000|10,00|1,000,000|1000.0.0",
}
# Statements behind a phrase, in a box and after hashes, by their answer; "none" for those that have none.
_STATED = {
    "18": "18 dollars for 9 eggs|16 - 7 = 18|x = 9 * 2 = 18|18 since 16 - 7 = 9|18 (16 - 7 = 9)|18 m^2|USD18",
    "none": "18 or 20|18 to 20|18-20|18 hours and 15 minutes|18 and a half|18 000|9 + 9|3:30",
    "18,000": "18 thousand|18k|0.018 million",
}
_MARKERS = (("The answer is ", "."), ("\\boxed{", "}"), ("#### ", ""))
# Texts with the right answer, 18, that are not the format; w, W, s and S are the four tags.
_NOT_EXACT = """18|s18S|w1Ws18|w1W18S|wWs18S|w Ws18S|w1WsS18|w1Ws S18|.w1Ws18S|w1Ws18S.|.\nw1Ws18S|w1Ws18S\n.|
s18Sw1W|W1ws18S|w1Ws18Ss18S|w1Ws18s18S|w1Ww1Ws18S|w1s18WS|w1sW18S|w1Ws18S\nS|s18S\nw1Ws18S|w1WWs18S"""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """The result of the scorer's self-test."""

    golds: int  # gold answers tried
    spellings: int  # right texts made from them, each of which must score right
    adversarial: int  # texts that must score wrong, or must not be in the exact format
    failures: tuple[str, ...]  # each in words; empty if all is well

    @property
    def passed(self) -> bool:
        return not self.failures


def _spellings(gold: str, value: str) -> tuple[str, ...]:
    """Ways to write one number in a solution block."""
    grouped, zeros = value, value
    if "/" not in value:
        whole, point, below = value.partition(".")
        grouped = f"{Decimal(whole):,f}{point}{below}"
        zeros = f"{value}0" if point else f"{value}.00"
    dollars = f"-${value[1:]}" if value[0] == "-" else f"${grouped}"
    box = "$\\boxed{" + grouped.replace(",", "{,}") + "}$"
    wide = value.replace("-", "−").translate({ord("0") + i: ord("０") + i for i in range(10)})
    plain = (gold, f"\n{grouped}\n", zeros, f"**{value}.**", f"{value}%")
    return *plain, dollars, box, f"x = {grouped} dollars", wide


def selftest(golds: Iterable[str], tags: Tags = DEFAULT_TAGS) -> SelfTest:
    """Score every gold in many spellings (must be right) and adversarial texts (must not be)."""
    order = check_tags(tags)
    head, tail = "{}so 6 * 3 = 18{}\n{}".format(*order[:3]), order[3]
    wrong = [(inside, gold) for gold, insides in _WRONG.items() for inside in insides.split("|")]
    cases: list[tuple[str, str, str, bool]] = []  # text, gold, a field of its score, what that must be
    failures, tried = [], 0
    for gold in golds:
        tried += 1
        try:
            value = gold_value(gold)
        except ValueError as error:
            failures.append(str(error))
            continue
        cases += [(f"{head}{inside}{tail}", gold, "strict", True) for inside in _spellings(gold, value)]
        cases += [(bare + gold, gold, "correct", True) for bare in ("4. The answer is ", "4\n#### ", "4: ")]
        sign, size = value[: value[0] == "-"], value.removeprefix("-")
        wrong += [(f"{sign}1{size}", gold), (size if sign else f"-1{size}", gold)]
    spellings = len(cases)
    cases += [(f"{head}{inside}{tail}", gold, "correct", False) for inside, gold in wrong]
    for gold, statements in _STATED.items():
        marked = [f"{before}{each}{after}" for each in statements.split("|") for before, after in _MARKERS]
        cases += [(text, gold.replace("none", "18"), "correct", gold != "none") for text in marked]
    fill = dict(zip(map(ord, "wWsS"), order, strict=True))
    cases += [(shape.translate(fill), "18", "exact_format", False) for shape in _NOT_EXACT.split("|")]
    for text, gold, field, expected in cases:
        if getattr(score(text, gold, tags=tags), field) is not expected:
            failures.append(f"{text!a} for {gold!a}: {field} is not {expected}")
    return SelfTest(tried, spellings, len(cases) - spellings, tuple(failures))


def main(argv: list[str] | None = None) -> int:
    parser = Parser("scoring", "Test the scorer on gold answers in many spellings.")
    parser.add_argument("--selftest", action="store_true", required=True, help="run the self-test")
    parser.add_argument("--golds", type=Path, metavar="FILE.jsonl", help="default: a built-in list")
    args = parser.parse(argv)
    golds = BUILT_IN_GOLDS
    if args.golds:
        try:
            text = args.golds.read_text(encoding="utf-8").strip("\n")
            golds = [json.loads(row)["answer"].rpartition("####")[2].strip() for row in text.split("\n")]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise HarnessError(
                f"--golds: {args.golds} could not be read as JSON lines with an answer each "
                f"({type(error).__name__}: {error})"
            ) from None
    result = selftest(golds)
    counts = f"{result.golds} golds, {result.spellings} spellings, {result.adversarial} adversarial strings"
    end = "all passed" if result.passed else f"{len(result.failures)} FAILED, first: {result.failures[0]}"
    print(f"selftest: {counts}; {end}")
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(exit_code(main))
