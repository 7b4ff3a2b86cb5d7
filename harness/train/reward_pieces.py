"""Reward functions with a published form, to be listed under rewards.functions beside the profiles' four.

| name          | a completion earns                                                        |
|---------------|---------------------------------------------------------------------------|
| correct       | 1 for a right answer by the evaluation's scorer, else 0                   |
| math_verify   | 1 for an answer of the gold's value by math-verify (extra `math`), else 0  |
| tag_count     | a quarter for each of the four tags that it has exactly once              |
| soft_overlong | 0 up to 4/5 of train.max_completion_tokens, then less, to -1 at the limit |
| shorter       | from 0.5, the shortest of its group, to -0.5, the longest                 |
| random        | a number in [0, 1) that says nothing about it                             |
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.tasks import answer_format, judge, scoring
from harness.tasks.benchmarks import math500
from harness.tasks.records import Tags
from harness.train import ranks
from harness.train.custom_rewards import RewardError, RewardFunction

CACHE = 4096 / 20480  # share of the longest completion in which soft_overlong grows: DAPO's own
HALF = 0.5  # the most that `shorter` gives and takes


@dataclass(frozen=True)
class Setting:
    """What of an experiment the pieces depend on."""

    tags: Tags
    max_tokens: int  # of a completion, the token that ends it included
    seed: int  # of the training
    generations: int  # completions of a group, which come one after the other


def text_of(completion: str | Sequence[dict[str, Any]]) -> str:
    """The text of a completion, which TRL gives as a string or as messages, depending on the prompt."""
    return completion if isinstance(completion, str) else completion[0]["content"]


def correct(setting: Setting) -> RewardFunction:
    """1.0 for a right final answer, in any format, by harness.scoring, else 0.0.

    TRL does not tell a reward why a completion ended: one that was cut is scored as it is.
    """

    def reward(*, completions: Sequence[Any], answer: Sequence[str], **_: Any) -> list[float | None]:
        pairs = zip(completions, answer, strict=True)
        return [float(scoring.score(text_of(made), gold, tags=setting.tags).correct) for made, gold in pairs]

    return reward


def math_verify(setting: Setting) -> RewardFunction:
    """1.0 for an answer that math-verify finds equal to the gold, such as LaTeX, else 0.0.

    It is read where that of MATH-500 is, and judged in processes of its own: harness.tasks.benchmarks.math500. A pair
    that is not judged within its budget earns 0. Source: https://github.com/huggingface/Math-Verify, as in open-r1's
    accuracy_reward. Raises RewardError if math-verify is not installed.
    """
    if not judge.installed():
        raise RewardError('math_verify needs math-verify, which is not installed; pip install -e ".[math]"')

    def reward(*, completions: Sequence[Any], answer: Sequence[str], **_: Any) -> list[float | None]:
        def earned(pair: tuple[Any, str]) -> float:
            text, gold = text_of(pair[0]), pair[1]
            return float(math500.TASK.score(text, gold, finish_reason="stop", tags=setting.tags).correct)

        return judge.side_by_side(earned, zip(completions, answer, strict=True))

    return reward


def tag_count(setting: Setting) -> RewardFunction:
    """0.25 for each of the four tags that occurs exactly once, wherever it is.

    Source: tag_count_reward of Hugging Face's open-r1 (src/open_r1/rewards.py), with our tags and without its line
    breaks.
    """

    def reward(*, completions: Sequence[Any], **_: Any) -> list[float | None]:
        counted = (answer_format.layout(text_of(made), setting.tags).counts for made in completions)
        return [sum(count == 1 for count in counts) / len(counts) for counts in counted]

    return reward


def soft_overlong(setting: Setting) -> RewardFunction:
    """DAPO's soft overlong punishment, 0.0 to -1.0, from the number of tokens |y|.

    0 for |y| <= L_max - L_cache; ((L_max - L_cache) - |y|) / L_cache up to L_max; -1 beyond. L_max is
    train.max_completion_tokens, L_cache its fifth, as in the paper (4,096 of 20,480).
    Source: Yu et al. 2025, arXiv 2503.14476, eq. 13.
    """
    cache = CACHE * setting.max_tokens
    free = setting.max_tokens - cache

    def reward(*, completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float | None]:
        return [-min(1.0, max(0.0, (len(ids) - free) / cache)) for ids in completion_ids]

    return reward


def shorter(setting: Setting) -> RewardFunction:
    """Kimi k1.5's length reward, 0.5 to -0.5, among the completions of one group.

    λ = 0.5 - (tokens - min) / (max - min); a right completion earns λ, a wrong one min(0, λ): being short never pays
    for a wrong answer. All earn 0 where they are equally long.
    Source: Kimi Team 2025, arXiv 2501.12599, section 2.3.3. Right is right by harness.scoring.
    """
    right = correct(setting)

    def reward(
        *, completions: Sequence[Any], answer: Sequence[str], completion_ids: Sequence[Sequence[int]], **_: Any
    ) -> list[float | None]:
        lengths = [len(ids) for ids in completion_ids]
        given: list[float | None] = []
        for i, is_right in enumerate(right(completions=completions, answer=answer)):
            group = lengths[(start := i - i % setting.generations) : start + setting.generations]
            least, most = min(group), max(group)
            share = HALF - (lengths[i] - least) / (most - least) if most > least else 0.0
            given.append(share if is_right else min(0.0, share))
        return given

    return reward


def random(setting: Setting) -> RewardFunction:
    """A number in [0, 1) from a hash of the training's seed, the step, the question, and the completion's place.

    So a training that is resumed is paid as it would have been. The place is that among all completions of the step.
    Source of the control: Shao et al. 2025, arXiv 2506.10947 ("Spurious Rewards").
    """

    def reward(*, problem_id: Sequence[str], trainer_state: Any, **_: Any) -> list[float | None]:
        first = int(os.environ[ranks.RANK]) * len(problem_id) if ranks.is_one() else 0
        drawn: list[float | None] = []
        for place, problem in enumerate(problem_id, first):
            key = f"{setting.seed} {trainer_state.global_step} {problem} {place}"
            drawn.append(int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big") / 2**48)
        return drawn

    return reward


PIECES: dict[str, Callable[[Setting], RewardFunction]] = {
    "correct": correct,
    "math_verify": math_verify,
    "tag_count": tag_count,
    "soft_overlong": soft_overlong,
    "shorter": shorter,
    "random": random,
}
