"""What a benchmark is: questions, and a rule for right answers.

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
    """A benchmark that the experiment file can name. Answers are numbers here; other tasks override the scoring."""

    name = ""  # as in the experiment file
    scorer = scoring.VERSION  # raised whenever a score could change: runs under two versions are not compared
    scorers: tuple[Scorer, ...] = ()  # published rules of others, which judge the same completions
    lm_eval_task: str | None = None  # the task of lm-evaluation-harness that asks the same questions
    hub: str | None = None  # id of the published data set; None: its questions are the experiment's data
    revision: str | None = None  # its commit
    licence: str | None = None
    overlap: str | None = None  # why its questions are not independent of GSM8K's test, as a clause; None: they are
    clustered = False  # several questions were made from one: its statistics are those of the clusters
    timed_out: str | None = None  # the `why` of a score that could not be reached within a budget; None: it has none
    quick = True  # its scoring takes no time worth mentioning, and is done while the engine works, too
    lengths = 1  # its answers may have so many times eval.max_new_tokens

    def load(self, source: Source) -> Data:
        """Its questions, from the experiment's data or from its own source. Raises HarnessError."""
        raise NotImplementedError

    def score(self, text: str, gold: str, *, finish_reason: str, tags: Tags) -> Score:
        """Score one completion against the gold answer of its question; never raises because of the text."""
        return scoring.score(text, gold, finish_reason=finish_reason, tags=tags)

    def selftest(self, golds: Iterable[str], tags: Tags) -> SelfTest:
        """The scorer's self-test on these golds, run before any completion is scored."""
        return selftest.selftest(golds, tags)
