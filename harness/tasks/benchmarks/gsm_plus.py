"""GSM-Plus, its smaller test set: questions of GSM8K's test, each changed in eight ways.

The eight questions of one seed question are a cluster. Those of "critical thinking" lack a number that the answer
needs; their gold is the word None, and no rule tells that a text says so: they are left out. Golds with decimals were
rounded (4.33): harness.tasks.published. Source: Li et al. 2024, arXiv 2402.19255.
"""

from __future__ import annotations

from typing import Any

from harness.tasks.dataset import problem_id
from harness.tasks.panel import SCORERS
from harness.tasks.published import Rounded, one_number
from harness.tasks.records import Problem


class GsmPlus(Rounded):
    name = "gsm_plus"
    scorers = SCORERS
    clustered = True
    lm_eval_task = "gsm_plus_mini"
    overlap = "it is made from GSM8K's test questions"
    hub = "qintongli/GSM-Plus"
    revision = "3b708db57b96a16e8e3368ed2956990c0809440e"
    splits = ("testmini",)
    file = "gsm_plus_testmini.jsonl"
    licence = "CC BY-SA 4.0"

    def problem(self, row: dict[str, Any]) -> Problem:
        kind = row["perturbation_type"]
        gold = one_number(row["answer"], f"{kind}: the answer is not a number")
        return Problem("", row["question"], gold, row["solution"], problem_id(row["seed_question"]), kind)


TASK = GsmPlus()
