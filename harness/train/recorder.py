"""The recorder of a training: metrics.jsonl, sampled completions, and checks that stop a failed training."""

from __future__ import annotations

import functools
import io
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet
import torch
from accelerate.utils import gather_object
from torch.nn.utils import get_total_norm
from transformers import TrainerCallback

from harness.config.schema import Config
from harness.runs import training
from harness.runs.training import Metrics
from harness.stats.scores import QUANTITIES
from harness.tasks import scoring
from harness.train import ranks, rewards
from harness.util import files
from harness.util.console import say
from harness.util.errors import HarnessError

SHOWN = 10  # steps over which the progress bar averages the reward, because a single step is mostly noise
SAME = 1e-8  # between rewards that count as equal
PATIENCE = 3  # steps in a row in which every completion reached the token limit although its text had ended


class Recorder(TrainerCallback):
    """Listens to the trainer's log and to its reward functions.

    From every rollout it keeps one prompt's whole group of completions, with the rewards of each.
    """

    def __init__(self, folder: Path, config: Config, *, stop_ids: Sequence[int], eos_id: int, done: int) -> None:
        """Start recording after step `done`; records of later steps from earlier attempts are removed."""
        self.metrics, self.parquet = training.metrics_log(folder), training.rollouts_file(folder)
        self.config = config
        self.tags = config.prompt.tags.record()
        self.stop_ids, self.eos_id = frozenset(stop_ids), eos_id
        self.step = self.resumed_at = done
        self.tokens = 0
        self.never_stopped = 0
        self.update: Callable[[int, str], None] = lambda completed, note: None
        self.first_step_compiles = False
        # What a training that starts from the beginning finds is of an earlier attempt, and may be damaged.
        kept = [row for row in training.read_metrics(self.metrics) if row.step <= done] if done else []
        if ranks.is_first():
            training.write_metrics(self.metrics, kept)
        self.watched = training.Watched(kept)
        self.drift = self.watched.drift(config.rollouts)  # what an earlier attempt has said already
        self.rows = [row for row in training.read_rollouts(folder) if row["step"] <= done] if done else []
        self._rewards: dict[str, list[float | None]] = {}
        self._step_began = 0.0

    @property
    def over(self) -> bool:
        """Whether the training takes no further step."""
        return self.step >= self.config.train.steps or (self.config.train.on_drift == "stop" and self.drift is not None)

    @property
    def stopped(self) -> training.Stopped | None:
        """How a training that is over was stopped before its last step; None if it was not."""
        early = self.drift if self.over and self.step < self.config.train.steps else None
        return early and training.Stopped(self.step, early)

    # --- reward functions

    def wrap(self, functions: Sequence[Callable[..., list[float | None]]]) -> list[Callable[..., list[float | None]]]:
        """The same reward functions with their values recorded; after the last one the completions are recorded."""

        def recording(number: int, function: Callable[..., list[float | None]]):
            @functools.wraps(function)
            def recorded(**kwargs: Any) -> list[float | None]:
                values = function(**kwargs)
                self._rewards[f"reward_{function.__name__}"] = list(values)
                if number == len(functions) - 1:
                    self._rollout(kwargs)
                return values

            return recorded

        return [recording(number, function) for number, function in enumerate(functions)]

    def _rollout(self, given: dict[str, Any]) -> None:
        texts = [completion[0]["content"] for completion in given["completions"]]
        if ranks.is_one():  # what each made, in the order of the processes, which is that of the prompts
            texts = gather_object(texts)
            columns = ("answer", "completion_ids", "problem_id", "prompts")
            given |= {name: gather_object(given[name]) for name in columns}
            self._rewards = {name: gather_object(values) for name, values in self._rewards.items()}
        for name, share in rewards.disagreement(texts, given["answer"], self.tags).items():
            given["log_metric"](f"profiles_disagree/{name}", share)
        for name, share in self._judged(texts, given["answer"], given["completion_ids"]).items():
            given["log_metric"](f"{training.ROLLOUT}{name}", share)
        self.tokens += sum(map(len, given["completion_ids"]))
        self._check_stopping(given["completion_ids"])
        totals = self._totals()
        size = self.config.train.generations
        groups = [totals[start : start + size] for start in range(0, len(totals), size)]
        given["log_metric"](training.EQUAL_GROUPS, sum(map(_equal, groups)) / len(groups))
        given["log_metric"](training.UNREWARDED, totals.count(None) / len(totals))
        step = given["trainer_state"].global_step + 1
        for i in range(size):
            self.rows.append(
                {
                    "step": step,
                    "problem_id": given["problem_id"][i],
                    "question": given["prompts"][i][-1]["content"],
                    "gold": given["answer"][i],
                    "completion": texts[i],
                    "tokens": len(given["completion_ids"][i]),
                    "reward": totals[i],
                    **{name: values[i] for name, values in self._rewards.items()},
                }
            )

    def _totals(self) -> list[float | None]:
        """Each completion's weighted sum of its rewards; None where no function gave one: the trainer leaves it out."""
        weights = [function.weight for function in self.config.rewards.functions]
        parts = zip(*self._rewards.values(), strict=True)
        given = [[w * v for w, v in zip(weights, values, strict=True) if v is not None] for values in parts]
        return [sum(rewards) if rewards else None for rewards in given]

    def _judged(self, texts: Sequence[str], golds: Sequence[str], ids: Sequence[Sequence[int]]) -> dict[str, float]:
        """What the evaluation's scorer says of a rollout: the share of its completions, by quantity."""
        scores = [
            scoring.score(text, gold, finish_reason="stop" if made[-1] == self.eos_id else "length", tags=self.tags)
            for text, gold, made in zip(texts, golds, ids, strict=True)
        ]
        return {
            name: sum(getattr(score, quantity.score) for score in scores) / len(scores)
            for name, quantity in QUANTITIES.items()
        }

    def _check_stopping(self, completion_ids: Sequence[Sequence[int]]) -> None:
        """Stop a training whose completions all run to the token limit although they contain a stop token.

        Then the rollout does not stop at that token, and rewards are given for text after the answer.
        """
        clipped = all(ids[-1] != self.eos_id for ids in completion_ids)
        ended = any(token in self.stop_ids for ids in completion_ids for token in ids[:-1])
        self.never_stopped = self.never_stopped + 1 if clipped and ended else 0
        if self.never_stopped >= PATIENCE:
            raise HarnessError(
                f"train: for {PATIENCE} steps every completion ran to the token limit although its turn had ended "
                f"before: the rollout does not stop at the end of the turn; check the checkpoint's chat template"
            )

    # --- the trainer's log

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not logs or "train_runtime" in logs:  # the final summary has only times
            return
        # JSON has no NaN or infinity: such a value, of a gradient norm for example, is written as null.
        values = {
            key: value if value is not None and math.isfinite(value) else None
            for key, value in logs.items()
            if value is None or isinstance(value, (int, float))
        }
        row = Metrics(state.global_step, values)
        if ranks.is_first():
            training.append_metrics(self.metrics, row)
        if self._drifts(row) and self.config.train.on_drift == "stop":
            # Each of several processes comes to this at the same step: the numbers are of all of them.
            control.should_training_stop = control.should_save = True

    def _drifts(self, row: Metrics) -> bool:
        """Whether the reward is first found here to rise while the accuracy of the rollouts falls; it is also said."""
        if not self.watched.add(row) or self.config.train.on_drift == "off" or self.drift:
            return False
        self.drift = self.watched.drift(self.config.rollouts)
        if self.drift and ranks.is_first():
            (r0, r1), (a0, a1) = self.drift.reward, self.drift.accuracy
            say(
                f"Warning: up to step {self.drift.step} the reward rose from {r0:.2f} to {r1:.2f} while the accuracy "
                f"of the rollouts fell from {a0:.1%} to {a1:.1%}. The reward is paying for something else than right "
                f"answers."
            )
        return self.drift is not None

    def on_step_begin(self, args, state, control, **kwargs):
        self._step_began = time.perf_counter()

    def on_step_end(self, args, state, control, model, **kwargs):
        self.step = state.global_step
        norm = get_total_norm([p for p in model.parameters() if p.requires_grad])
        if not torch.isfinite(norm):
            raise HarnessError(
                f"train: after step {self.step} the norm of the weights is {norm:g}: the training diverged; run again "
                f"with a lower train.learning_rate, and with model.load_in_8bit off if it is on"
            )
        if self.first_step_compiles and self.step == self.resumed_at + 1:
            say(f"The first step took {time.perf_counter() - self._step_began:.0f} s, compiling included.")
        self.update(self.step, _note(state.log_history))

    def save(self) -> None:
        """Write the completions recorded so far, atomically."""
        if self.rows:
            buffer = io.BytesIO()
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(self.rows), buffer)
            files.write_bytes(self.parquet, buffer.getvalue())


def _equal(group: Sequence[float | None]) -> bool:
    """Whether no two of its rewards differ, as TRL judges it: all advantages are 0."""
    rewards = [reward for reward in group if reward is not None]
    return not rewards or max(rewards) - min(rewards) <= SAME


def _note(history: Sequence[dict[str, float | None]]) -> str:
    """The mean reward and completion length of the last steps, for the progress bar."""
    last = [entry for entry in history if entry.get("reward") is not None][-SHOWN:]
    if not last:
        return ""
    reward, length = (sum(e[key] for e in last) / len(last) for key in ("reward", "completions/mean_length"))
    steps = f"mean of the last {len(last)} steps" if len(last) > 1 else "in the last step"
    return f"reward {reward:.2f}, {length:.0f} tokens a completion ({steps})"
