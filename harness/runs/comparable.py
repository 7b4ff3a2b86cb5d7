"""Whether two evaluations of a run may be compared: the same questions and prompts, under the same conditions."""

from __future__ import annotations

from harness.runs.directory import RunDir
from harness.runs.results import Conditions, Evaluation
from harness.util import typed
from harness.util.errors import HarnessError


def check_conditions(run: RunDir, before: Conditions, after: Conditions, other: str = "tuned") -> None:
    """Raise HarnessError, naming the first difference, unless both were evaluated under the same conditions.

    before: those of the base; after: those of `other`, "tuned" or "again".
    """
    then, now = typed.plain(before), typed.plain(after)
    differing = [name for name in sorted(then) if then[name] != now[name]]
    if not differing:
        return
    remedy = "delete base/ and tuned/ and run again"
    if other == "again":
        remedy = "delete again/ and leave eval.noise_floor out, or delete base/, again/ and tuned/, and run again"
    if differing == ["scorer"]:  # the completions are still valid, and may have taken hours
        remedy = "delete the result.json of both, keep the completions, and run again"
        if run.is_evaluated:
            remedy = f"python -m harness.rescore {run.path} scores both again"
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


def _from_their_difference(*texts: str) -> list[str]:
    """The texts in at most 40 characters each; long ones are cut around the first character that differs."""
    same = next((at for at, letters in enumerate(zip(*texts, strict=False)) if len(set(letters)) > 1), 0)
    start = max(0, same - 10) if max(map(len, texts)) > 40 else 0
    cut = (f"...{text[start:]}" if start else text for text in texts)
    return [text if len(text) <= 40 else text[:37] + "..." for text in cut]


def _asked(evaluation: Evaluation) -> list[tuple[str, int, str]]:
    return [(score.id, score.sample, score.prompt) for score in evaluation.scores]
