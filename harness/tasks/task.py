"""What a benchmark is: its questions, and what a right answer to one of them is.

To add one: a file in harness/tasks/benchmarks with a Task, and a row in harness.tasks.registry.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.tasks import scoring, selftest
from harness.tasks.dataset import Data, Source
from harness.tasks.panel import Scorer
from harness.tasks.records import Score, Tags
from harness.tasks.selftest import SelfTest


class Task:
    """A benchmark as the experiment file names it. Answers are numbers here; a task of another kind has its own."""

    name = ""  # as the experiment file has it
    scorer = scoring.VERSION  # raised whenever a text could score otherwise: runs under two versions are not compared
    scorers: tuple[Scorer, ...] = ()  # published rules of others, which judge the same completions
    lm_eval_task: str | None = None  # the task of lm-evaluation-harness that asks the same questions

    def load(self, source: Source) -> Data:
        """Its questions, from the experiment's data or from a place of its own. Raises HarnessError."""
        raise NotImplementedError

    def score(self, text: str, gold: str, *, finish_reason: str, tags: Tags) -> Score:
        """Score one completion against the gold answer of its question; never raises on account of the text."""
        return scoring.score(text, gold, finish_reason=finish_reason, tags=tags)

    def selftest(self, golds: Iterable[str], tags: Tags) -> SelfTest:
        """What the scorer proves about itself on these golds before any completion counts."""
        return selftest.selftest(golds, tags)
