"""What a tracker shows of a run: read from its files, step by step, each once.

Keys follow the run directory: train/<metric> at its step (train/seed-<s>/<metric> for several seeds), as in SwanLab's
own callback for the trainer; base/<score>, tuned/<score> and difference/<score>, each with the ends of its 95%
interval; completions as text; the report's plots as images. Numbers are those of metrics.jsonl and summary.json.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.report import summary
from harness.runs import completions, curve, training
from harness.runs.directory import RunDir
from harness.runs.results import read_evaluation
from harness.stats import scores
from harness.stats.records import Estimate
from harness.util.errors import HarnessError

COMPLETIONS = 8  # shown for each step


@dataclass(frozen=True)
class Shown:
    """What is shown for one step."""

    step: int
    numbers: dict[str, float] = field(default_factory=dict)
    texts: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # text and caption
    charts: dict[str, str] = field(default_factory=dict)  # SVG files


class Reader:
    """Reads what the stages of a run have written since the last look."""

    def __init__(self, run: RunDir, *, following: bool) -> None:
        """following: stages are running, or will be."""
        self.run = run
        self._shown: set[str] = set()
        self._last: dict[Path, int] = {}  # step shown, by file
        self._read: dict[Path, tuple[int, ...]] = {}  # state when it was read
        self._lines: dict[tuple[Path, int], int] = {}  # lines read of a log, by file and inode
        # A training that is resumed discards the steps after its resume point and makes them again: its files are not
        # shown until it has rewritten them.
        self._trained = [(arm, seed) for arm in run.arms for seed in run.config.train.seeds]
        unfinished = [(arm, seed) for arm, seed in self._trained if following and not arm.adapter(seed).exists()]
        self._stale = {file: _state(file) for arm, seed in unfinished for file in _logs(arm, seed)}

    def new(self) -> Iterator[Shown]:
        run = self.run
        yield from self._side(run.base, "base")
        yield from self._side(run.again, "again")
        yield from self._side(run.elicited, "elicited")
        for arm, seed in self._trained:
            metrics, completions = _logs(arm, seed)
            place = self._place("train", seed, arm)
            for row in self._rows(metrics, self._added):
                numbers = {f"{place}/{key}": value for key, value in row.items() if key != "step" and value is not None}
                yield Shown(row["step"], numbers)
            yield from self._rollouts(f"{place}/completions", self._rows(completions, _kept))
            if arm is run:
                yield from self._curve(seed)
        for arm, seed in self._trained:
            yield from self._side(arm.tuned(seed), self._place("tuned", seed, arm), seed)

    def closing(self) -> Iterator[Shown]:
        """What is shown once the report is written."""
        run, numbers = self.run, summary.read(self.run.path)
        found = {f"difference/{name}": getattr(numbers.difference, name) for name in scores.COMPARED}
        if numbers.several:  # with one seed, the evaluation has shown it already
            found |= {f"tuned/{name}": getattr(numbers.tuned, name) for name in scores.QUANTITIES}
        yield Shown(
            max(map(run.steps, run.config.train.seeds)),
            {key: value for name, each in found.items() for key, value in _with_interval(name, each).items()},
            {"report/verdict": [(numbers.verdict.sentence, run.path.name)]},
            {f"report/{file.stem}": file.read_text(encoding="utf-8") for file in sorted(run.plots.glob("*.svg"))},
        )

    def _place(self, stage: str, seed: int, arm: RunDir | None = None) -> str:
        whose = arm or self.run
        several = len(self.run.config.train.seeds) > 1 or whose is not self.run
        return f"{stage}/{whose.arm}-{seed}" if several else stage

    def _once(self, file: Path) -> bool:
        if str(file) in self._shown or not file.exists():
            return False
        self._shown.add(str(file))
        return True

    def _side(self, folder: Path, name: str, seed: int | None = None) -> Iterator[Shown]:
        """The scores of an evaluation, as in the summary, and its first completions."""
        if not self._once(folder / "result.json"):
            return
        step = 0 if seed is None else self._tuned_step(seed) or self.run.steps(seed)
        result = read_evaluation(folder)
        columns, count = scores.per_question(result.scores), self.run.config.eval.samples
        numbers = {}
        for quantity in scores.QUANTITIES:
            numbers |= _with_interval(f"{name}/{quantity}", scores.rate(columns[quantity], count))
        said, questions = completions.texts(folder / "samples.jsonl"), result.questions or {}
        texts = []
        for score in result.scores[:COMPLETIONS]:
            if (text := said.get((score.id, score.sample))) is None:
                raise HarnessError(
                    f"{folder / 'samples.jsonl'}: the completion of problem {score.id} is missing; "
                    f"delete {folder} and run again"
                )
            caption = f"problem {score.id}, gold {score.gold}, answer {score.answer}, {score.why}"
            texts.append((_dialogue(questions.get(score.id), text), caption))
        yield Shown(step, numbers, {f"{name}/completions": texts})

    def _curve(self, seed: int) -> Iterator[Shown]:
        folder = self.run.curve(seed)
        if self._once(folder / curve.NAME):
            for point in curve.read(folder).points:
                numbers = {}
                for name in scores.COMPARED:
                    numbers |= _with_interval(f"{self._place('curve', seed)}/{name}", getattr(point, name))
                yield Shown(point.step, numbers)

    def _tuned_step(self, seed: int) -> int | None:
        folder = self.run.curve(seed)
        return curve.read(folder).chosen if (folder / curve.NAME).exists() else None

    def _rollouts(self, key: str, rows: list[dict[str, Any]]) -> Iterator[Shown]:
        """The groups kept from the first rollout, the last, and the last one before every resume_every-th step.

        With num_iterations, several steps learn from one rollout; it is shown at the first of them.
        """
        t = self.run.config.train
        groups: dict[int, list[dict[str, Any]]] = {}
        for row in rows:
            before, after = row["step"] - 1, row["step"] - 1 + t.num_iterations
            if before == 0 or after >= t.steps or before // t.resume_every < after // t.resume_every:
                groups.setdefault(row["step"], []).append(row)
        for step, group in groups.items():
            texts = [
                (
                    _dialogue(row["question"], row["completion"]),
                    f"problem {row['problem_id']}, gold {row['gold']}, {_reward(row['reward'])}",
                )
                for row in group[:COMPLETIONS]
            ]
            yield Shown(step, texts={key: texts})

    def _rows(self, file: Path, read: Callable[[Path, int], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """The rows of a training's log after the last step shown."""
        now = _state(file)
        if now is None or now in (self._read.get(file), self._stale.get(file)):
            return []
        self._read[file], last = now, self._last.get(file, 0)
        rows = [row for row in read(file, last) if row["step"] > last]
        self._last[file] = max((row["step"] for row in rows), default=last)
        return rows

    def _added(self, log: Path, last: int) -> list[dict[str, Any]]:
        """The rows that were appended since the last look, so that in a long training each is parsed only once."""
        key = log, log.stat().st_ino  # changes when the log is rewritten
        added = training.read_metrics(log, after=self._lines.get(key, 0))
        rows = [{"step": row.step} | row.numbers for row in added]
        self._lines[key] = self._lines.get(key, 0) + len(rows)
        return rows


def _logs(run: RunDir, seed: int) -> tuple[Path, Path]:
    return training.metrics_log(run.train(seed)), training.rollouts_file(run.train(seed))


def _reward(found: float | None) -> str:
    return "no reward" if found is None else f"reward {found:.2f}"


def _state(file: Path) -> tuple[int, ...] | None:
    """A value that changes when the file is replaced or grows; None if there is none."""
    with contextlib.suppress(FileNotFoundError):
        found = file.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns
    return None


def _kept(file: Path, last: int) -> list[dict[str, Any]]:
    return training.read_rollouts(file.parent, last)


def _with_interval(name: str, found: Estimate) -> dict[str, float]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _dialogue(question: str | None, completion: str) -> str:
    return f"{question}\n\n{completion}" if question else completion
