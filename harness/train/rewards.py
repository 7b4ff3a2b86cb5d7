"""Reward functions for TRL's GRPOTrainer, in two profiles with the same four names and the same maxima.

`tutorial` (the default) gives exactly what the tutorial's four functions give, with their quirks; it prints
nothing and takes linear time. A completion earns at most 9.5 (3.0 + 2.0 + 3.0 + 1.5), but 8.0 if the gold
has a comma (Python's float refuses "1,000") or a minus (the numbers pattern loses the sign): then
check_numbers is 0 even for a perfect completion.

`robust` is built on `scoring.score`, which the evaluation uses too. Nearly right earns nothing:

| a completion                        | format_exact | format_approximate | check_answer | check_numbers |
|-------------------------------------|--------------|--------------------|--------------|---------------|
| right, in a solution block          |              |                    |  3.0         | 1.5           |
| right, without a solution block     |              |                    |  1.5         | 1.5           |
| wrong, ambiguous, or no number      |              |                    | -1.0         | 0.0           |
| in the exact format, or not         | 3.0 or 0.0   |                    |              |               |
| each of the four tags: once, or not |              | 0.5 or -0.5        |              |               |

No answer costs as much as a wrong one, so giving none does not pay. TRL does not tell a reward function why a
completion ended, so a truncated one is scored as it is.

Others of a published form are in harness.train.reward_pieces.

The user's own functions are listed with these as `path/to/file.py:function`: experiments/rewards/brevity.py is an
example and documents the arguments. The run pins the content of the file.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from harness.config.loading import locate
from harness.config.schema import Config
from harness.tasks import answer_format, dataset, scoring
from harness.tasks.records import Problem, Tags
from harness.train.custom_rewards import RewardError, RewardFunction, own_name, users_own
from harness.train.reward_pieces import PIECES, Setting, text_of
from harness.util.files import file_hash

# --- the tutorial's profile: one text, its gold answer as written, the tags


def _tutorial_format_exact(text: str, gold: str, tags: Tags) -> float:
    return 0.0 if answer_format.tutorial_format_capture(text, tags) is None else 3.0


def _format_approximate(text: str, gold: str, tags: Tags) -> float:
    return sum(0.5 if count == 1 else -0.5 for count in answer_format.layout(text, tags).counts)


def _tutorial_check_answer(text: str, gold: str, tags: Tags) -> float:
    """3.0 for the gold's exact characters, 1.5 apart from whitespace, 0.5 or 0.25 within 10% or 20%, else negative."""
    guess = answer_format.tutorial_format_capture(text, tags)
    if guess is None:
        return 0.0
    if guess == gold:
        return 3.0
    if guess.strip() == gold.strip():
        return 1.5
    try:
        ratio = float(guess) / float(gold)
    except (ValueError, ZeroDivisionError):
        return -0.5
    if 0.9 <= ratio <= 1.1:
        return 0.5
    return 0.25 if 0.8 <= ratio <= 1.2 else -1.0


def _tutorial_check_numbers(text: str, gold: str, tags: Tags) -> float:
    """1.5 if the first digits and dots after the first solution tag equal the gold as a float."""
    guess = answer_format.tutorial_number(text, tags)
    try:
        return 1.5 if guess is not None and float(guess) == float(gold) else 0.0
    except ValueError:
        return 0.0


# --- the robust profile


def _robust_format_exact(text: str, gold: str, tags: Tags) -> float:
    return 3.0 if answer_format.layout(text, tags).exact else 0.0


def _robust_check_answer(text: str, gold: str, tags: Tags) -> float:
    score = scoring.score(text, gold, tags=tags)
    if not score.correct:
        return -1.0
    return 3.0 if score.rule == "solution" else 1.5


def _robust_check_numbers(text: str, gold: str, tags: Tags) -> float:
    return 1.5 if scoring.score(text, gold, tags=tags).correct else 0.0


PROFILES: dict[str, dict[str, Callable[[str, str, Tags], float]]] = {
    "tutorial": {
        "format_exact": _tutorial_format_exact,
        "format_approximate": _format_approximate,
        "check_answer": _tutorial_check_answer,
        "check_numbers": _tutorial_check_numbers,
    },
    "robust": {
        "format_exact": _robust_format_exact,
        "format_approximate": _format_approximate,
        "check_answer": _robust_check_answer,
        "check_numbers": _robust_check_numbers,
    },
}


def disagreement(texts: Sequence[str], golds: Sequence[str], tags: Tags) -> dict[str, float]:
    """The share of a batch on which the two profiles disagree; 0.0 for an empty batch.

    `format`: whether the format is exact. `answer`: whether the answer is right; the tutorial's check_answer
    counts as right from 1.5 on. Raises ValueError if the lengths differ.
    """
    shape = answer = 0
    for text, gold in zip(texts, golds, strict=True):
        score = scoring.score(text, gold, tags=tags)
        shape += (_tutorial_format_exact(text, gold, tags) > 0) != score.exact_format
        answer += (_tutorial_check_answer(text, gold, tags) >= 1.5) != score.correct
    count = max(len(texts), 1)
    return {"format": shape / count, "answer": answer / count}


# --- what the trainer gets


def of(config: Config, seed: int = 0) -> list[RewardFunction]:
    """The experiment's reward functions; seed: of the training, for rewards that are drawn. Raises RewardError."""
    names = [function.name for function in config.rewards.functions]
    setting = Setting(config.prompt.tags.record(), config.train.max_completion_tokens, seed, config.train.generations)
    return build(names, profile=config.rewards.profile, setting=setting, base_dir=Path.cwd())


def names(config: Config) -> list[str]:
    """The names of the experiment's reward functions in the trainer and its log."""
    parted = [function.name.rpartition(":") for function in config.rewards.functions]
    return [own_name(locate(file), name) if file else name for file, _, name in parted]


def inputs(config: Config) -> dict[str, str]:
    """Content hashes of those of the user's reward files that exist; the experiment file only names them."""
    named = {f.name.rpartition(":")[0] for f in config.rewards.functions if ":" in f.name}
    places = {file: locate(file) for file in sorted(named)}
    return {f"reward file {file}": file_hash(place) for file, place in places.items() if place.is_file()}


def try_out(config: Config, problem: Problem) -> None:
    """Call the user's own reward functions once as the training will: with a group of completions of one problem.

    The completions have the right answer in the exact format, the right answer without it, and no text. So mistakes are
    found before the base evaluation. Raises RewardError.
    """
    tags = config.prompt.tags
    exact = f"{tags.working_start}So.{tags.working_end}{tags.solution_start}{problem.gold}{tags.solution_end}"
    texts = itertools.cycle((exact, f"The answer is {problem.gold}.", ""))
    group = list(itertools.islice(texts, config.train.generations))
    for named, function in zip(config.rewards.functions, of(config), strict=True):
        if ":" in named.name:
            function(
                prompts=[dataset.messages(problem.question, config.prompt.system) for _ in group],
                completions=[[{"role": "assistant", "content": text}] for text in group],
                completion_ids=[[0] * (1 + len(text.split())) for text in group],  # as many as tokens might be
                answer=[problem.gold] * len(group),
                problem_id=[problem.id] * len(group),
                trainer_state=SimpleNamespace(global_step=0, max_steps=config.train.steps, epoch=0.0, log_history=[]),
                log_extra=lambda column, values: None,
                log_metric=lambda name, value: None,
            )


def build(functions: Sequence[str], *, profile: str, setting: Setting, base_dir: Path) -> list[RewardFunction]:
    """The reward functions named in an experiment, in its order.

    Each entry of `functions` is one of the profile's four names, one of PIECES, or `path/to/file.py:function` for the
    user's own function, which TRL will know as `file_function`. The path is relative to `base_dir`, or if there is no
    such file to the folder of the package, so that the shipped experiments work from anywhere.
    Raises RewardError for an unknown or repeated name and for a file that cannot be used.
    """
    if profile not in PROFILES:
        raise RewardError(f"unknown reward profile {profile!r}; {_nearest(profile, PROFILES)}")
    built: dict[str, RewardFunction] = {}
    modules: dict[Path, ModuleType] = {}
    own = PROFILES[profile]
    for name in functions:
        if ":" in name or name.endswith(".py"):
            function = users_own(name, base_dir, modules)
        elif name in own:
            function = _named(name, _batched(own[name], setting.tags))
        elif name in PIECES:
            function = _named(name, PIECES[name](setting))
        else:
            valid = _nearest(name, own | PIECES)
            raise RewardError(f"unknown reward function {name!r}; {valid}, path/to/file.py:function")
        if function.__name__ in built:
            raise RewardError(f"two reward functions are called {function.__name__!r}")
        built[function.__name__] = function
    return list(built.values())


def _nearest(name: str, valid: dict[str, Any]) -> str:
    nearest = difflib.get_close_matches(name, valid, n=1, cutoff=0.0)[0]
    return f"did you mean {nearest!r}? valid: {', '.join(valid)}"


def _named(name: str, reward: RewardFunction) -> RewardFunction:
    reward.__name__ = reward.__qualname__ = name
    return reward


def _batched(per_text: Callable[[str, str, Tags], float], tags: Tags) -> RewardFunction:
    def reward(*, completions: Sequence[Any], answer: Sequence[str], **_: Any) -> list[float | None]:
        pairs = zip(completions, answer, strict=True)
        return [float(per_text(text_of(completion), gold, tags)) for completion, gold in pairs]

    return reward
