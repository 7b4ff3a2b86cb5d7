"""The completions that the trainings kept, with their rewards, as data for templates/rollouts.js."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from itertools import count, groupby

from harness.report.page import packed
from harness.report.page.packed import readable
from harness.runs.directory import RunDir
from harness.runs.training import read_rollouts, rollouts_file
from harness.tasks.records import Tags

ROOM = 500_000  # bytes of packed rollouts
PART = "reward_"  # before the name of a reward function, in the file


@dataclass(frozen=True)
class Rollout:
    """One completion with its reward."""

    text: str
    tokens: int
    reward: float | None  # the weighted sum of the parts; None where no function gave one
    parts: list[float | None]  # of each reward function, unweighted; None where it gave no reward


@dataclass(frozen=True)
class Group:
    """The completions of one question that were rewarded against each other."""

    step: int
    question: str
    gold: str
    rollouts: list[Rollout]


@dataclass(frozen=True)
class Kept:
    """The groups of every training that kept some, by seed, and the names of the reward functions."""

    functions: list[str]
    groups: dict[int, list[Group]]
    limit: int  # tokens, at which a completion was cut


def read(run: RunDir) -> Kept:
    """The rollouts of a run's trainings. Raises HarnessError if a file of them cannot be read."""
    functions: list[str] = []
    groups: dict[int, list[Group]] = {}
    for seed in run.config.train.seeds:
        rows = read_rollouts(run.train(seed)) if rollouts_file(run.train(seed)).exists() else []
        for (step, question, gold), group in groupby(rows, lambda row: (row["step"], row["question"], row["gold"])):
            made = list(group)
            functions = [name for name in made[0] if name.startswith(PART)]
            rollouts = [
                Rollout(row["completion"], row["tokens"], row["reward"], [row[name] for name in functions])
                for row in made
            ]
            groups.setdefault(seed, []).append(Group(step, question, gold, rollouts))
    return Kept([name.removeprefix(PART) for name in functions], groups, run.config.train.max_completion_tokens)


def data(kept: Kept, tags: Tags) -> str:
    """All rollouts as packed data, or if they take too much room those of every second, fourth, … step."""
    steps = sorted({group.step for groups in kept.groups.values() for group in groups})
    for every in (2**power for power in count()):
        shown = {step for at, step in enumerate(steps) if at % every == 0}
        drawn = [(seed, _group(g)) for seed, groups in kept.groups.items() for g in groups if g.step in shown]
        if len(packed.fitting(drawn, ROOM)) == len(drawn) or len(shown) == 1:
            break
    seeds = {seed: [group for of, group in drawn if of == seed] for seed in kept.groups}
    return packed.pack(
        {
            "tags": [readable(tag) for tag in astuple(tags)],
            "functions": kept.functions,
            "every": every,
            "limit": kept.limit,
            "seeds": list(seeds),
            "groups": list(seeds.values()),
        }
    )


def _group(group: Group) -> dict[str, object]:
    rollouts = [
        {"text": readable(each.text), "tokens": each.tokens, "reward": each.reward, "parts": each.parts}
        for each in group.rollouts
    ]
    question, gold = readable(group.question), readable(group.gold)
    return {"step": group.step, "question": question, "gold": gold, "rollouts": rollouts}
