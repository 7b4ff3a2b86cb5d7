"""GSM-Symbolic P2: 50 templates with two clauses more than GSM8K's, 50 questions of each.

The questions of one template are a cluster. Source: Mirzadeh et al. 2024, arXiv 2410.05229.
"""

from __future__ import annotations

from typing import Any

from harness.tasks.panel import SCORERS
from harness.tasks.published import Published, one_number
from harness.tasks.records import Problem


class GsmSymbolicP2(Published):
    name = "gsm_symbolic_p2"
    scorers = SCORERS
    clustered = True
    overlap = "its templates are made from GSM8K's test questions"
    hub = "apple/GSM-Symbolic"
    subset = "p2"
    revision = "93b5b3758d9d9841ffe81d6cd2ae2b030685b078"
    file = "gsm_symbolic_p2.jsonl"
    licence = "CC BY-NC-ND 4.0"

    def problem(self, row: dict[str, Any]) -> Problem:
        gold = one_number(row["answer"].rpartition("####")[2].strip(), "the answer is not a number")
        return Problem("", row["question"], gold, row["answer"], f"template {row['id']}")


TASK = GsmSymbolicP2()
