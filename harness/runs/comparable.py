"""Whether two evaluations of a run may be compared: the same questions and prompts, under the same conditions.

The elicited base is the one exception, a condition of its own kind: its prompt differs on purpose, and nothing else.
choice.json has the prompts that were tried on dev, and the one that was chosen before test.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from harness.runs.directory import RunDir
from harness.runs.results import Conditions, Evaluation
from harness.tasks.elicitation import OWN
from harness.util import files, typed
from harness.util.errors import HarnessError
from harness.util.text import quoted


@dataclass(frozen=True, slots=True)
class Tried:
    """One prompt on the dev questions."""

    name: str
    words: str  # what it is
    correct: int  # completions that are right in any format
    completions: int
    truncated: int  # completions cut at the token limit
    mean_tokens: float  # a completion


@dataclass(frozen=True, slots=True)
class Choice:
    """Which prompt the elicited base is asked with, and by which figures it was chosen."""

    questions: int  # of dev
    max_new_tokens: int  # of a completion, the same for every prompt
    tried: tuple[Tried, ...]  # in the order in which ties are decided
    left_out: tuple[str, ...]  # prompts that this model cannot be asked with
    chosen: str


def read_choice(run: RunDir) -> Choice:
    """Raises HarnessError as typed.read."""
    return typed.read(Choice, run.choice)


def text(choice: Choice) -> str:
    """The content of its file."""
    return files.as_json(typed.plain(choice))


def check_choice(run: RunDir) -> None:
    """Raise HarnessError if a prompt was chosen on another number of questions than the experiment now says."""
    asked = run.config.eval.elicit
    if asked and run.choice.exists() and (made := read_choice(run)).questions != asked:
        raise HarnessError(
            f"eval.elicit: the prompt was chosen on {made.questions} dev questions, and test is asked with one choice "
            f"only; set eval.elicit={made.questions}, or start a new run with another name (name=...)"
        )


# What to do if the base and this were evaluated under different conditions. The last two are found before any work.
REMEDIES = {
    "tuned": "delete base/ and tuned/ and run again",
    "again": "delete again/ and leave eval.noise_floor out, or delete base/, again/ and tuned/, and run again",
    "elicit": "delete elicit/test and run again",
    "what is asked now": "use the versions of then, or delete base/ and tuned/ and run again",
    "other prompts": (
        "use the versions of then, leave eval.elicit out, or delete base/, elicit/ and tuned/ and run again"
    ),
}


def check_conditions(run: RunDir, before: Conditions, after: Conditions, other: str = "tuned") -> None:
    """Raise HarnessError, naming the first difference, unless both were evaluated under the same conditions.

    before: those of the base; after: those of `other`, a key of REMEDIES.
    """
    then, now = typed.plain(before), typed.plain(after)
    differing = [name for name in sorted(then) if then[name] != now[name]]
    if not differing:
        return
    remedy = REMEDIES[other]
    if differing == ["scorer"]:  # the completions are still valid, and may have taken hours
        remedy = "delete the result.json of both, keep the completions, and run again"
        if run.is_evaluated:
            remedy = f"python -m harness.rescore {quoted(run.path)} scores both again"
    name = differing[0]
    values = _from_their_difference(str(then[name]), str(now[name]))
    raise HarnessError(
        f"{run.path}: base and {other} were evaluated under different conditions ({name}: {' and '.join(values)}); "
        f"{remedy}"
    )


def check_pair(run: RunDir, base: Evaluation, after: Evaluation, other: str = "tuned") -> None:
    """Raise HarnessError unless both were asked the same prompts under the same conditions; as check_conditions."""
    check_conditions(run, base.conditions, after.conditions, other)
    if _asked(base) != _asked(after):
        raise HarnessError(f"{run.path}: base and {other} answered different questions; delete {other}/ and run again")


def check_contrast(run: RunDir, base: Evaluation, elicited: Evaluation, choice: Choice) -> None:
    """Raise HarnessError unless the elicited base was asked the base's questions under its conditions, prompts apart.

    The prompts must differ if another one than the experiment's own was chosen, and be the same otherwise.
    """
    same = base.conditions.prompts == elicited.conditions.prompts
    if same != (choice.chosen == OWN):
        raise HarnessError(
            f"{run.elicited}: was not asked with the prompt that was chosen ({choice.chosen}); delete it and run again"
        )
    alike = dataclasses.replace(elicited.conditions, prompts=base.conditions.prompts)
    check_conditions(run, base.conditions, alike, "elicit")
    if [asked[:2] for asked in _asked(base)] != [asked[:2] for asked in _asked(elicited)]:
        raise HarnessError(f"{run.elicited}: answers other questions than the base; delete it and run again")


def _from_their_difference(*texts: str) -> list[str]:
    """The texts in at most 40 characters each; long ones are cut around the first character that differs."""
    same = next((at for at, letters in enumerate(zip(*texts, strict=False)) if len(set(letters)) > 1), 0)
    start = max(0, same - 10) if max(map(len, texts)) > 40 else 0
    cut = (f"...{text[start:]}" if start else text for text in texts)
    return [text if len(text) <= 40 else text[:37] + "..." for text in cut]


def _asked(evaluation: Evaluation) -> list[tuple[str, int, str]]:
    return [(score.id, score.sample, score.prompt) for score in evaluation.scores]
