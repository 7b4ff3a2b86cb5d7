"""ASDiv: word problems of primary school, of many kinds (Miao et al. 2020, arXiv 2106.15772).

An answer is a number with a unit, as "9 (apples)". Answers that are several numbers, ratios, times or words are left
out. Golds with decimals may have been rounded (3.333 minutes): harness.tasks.published.
"""

from __future__ import annotations

import re
from typing import Any

from harness.tasks.published import LeftOut, Rounded, one_number
from harness.tasks.records import Problem

NO_NUMBER = "the answer is several numbers, a ratio, a time or words"
_ANSWER = re.compile(r"-\((?P<negative>\d+/\d+)\)|(?P<plain>[^();:]+?)\s*(?:\([^();]*\))?")


class Asdiv(Rounded):
    name = "asdiv"
    lm_eval_task = "asdiv_cot_llama"
    hub = "EleutherAI/asdiv"
    subset = "asdiv"
    revision = "8f95807222d87b4c688c3c22a6ba2801e1fa03e2"
    splits = ("validation",)  # the only one
    file = "asdiv.jsonl"
    licence = "CC BY-NC 4.0"

    def problem(self, row: dict[str, Any]) -> Problem:
        found = _ANSWER.fullmatch(row["answer"].strip())
        if not found:
            raise LeftOut(NO_NUMBER)
        gold = one_number(found["plain"] or f"-{found['negative']}", NO_NUMBER)
        return Problem("", f"{row['body'].strip()} {row['question'].strip()}", gold, row["formula"])


TASK = Asdiv()
