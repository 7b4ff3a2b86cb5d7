"""SVAMP: 1,000 one-step word problems whose wording, numbers or question were changed.

Source: Patel et al. 2021, arXiv 2103.07191.
"""

from __future__ import annotations

from typing import Any

from harness.tasks.published import Published
from harness.tasks.records import Problem


class Svamp(Published):
    name = "svamp"
    hub = "ChilleD/SVAMP"
    revision = "5e0bf1e5e7c0e9c4bc39180d224f41f3f801b7ef"
    splits = ("train", "test")  # all 1,000 were made as a test set
    file = "svamp.jsonl"
    licence = "MIT"

    def problem(self, row: dict[str, Any]) -> Problem:
        answer = float(row["Answer"])
        return Problem("", f"{row['Body'].strip()} {row['Question'].strip()}", f"{answer:.12g}", row["Equation"])


TASK = Svamp()
