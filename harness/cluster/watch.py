"""What the stages of runs are doing, read from disk, wherever they run: the rows of the table that a command shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.runs.directory import RunDir
from harness.util import console, locks
from harness.util.console import duration


@dataclass(frozen=True)
class Shown:
    """A run, as the table shows it."""

    label: str
    run: RunDir
    state: str  # while none of its stages is running


def rows(shown: Sequence[Shown]) -> list[dict[str, str]]:
    """A row for each stage that is running, and one for each run that has none."""
    found = []
    for each in shown:
        running = locks.parts(each.run.path)
        found += [_row(each.label, "running", *_work(each.run, name), holder) for name, holder in running.items()]
        if not running:
            found.append(_row(each.label, each.state))
    return found


def _work(run: RunDir, part: str) -> tuple[str, str, str, str]:
    """What a part of a run's work does: the stage, how far it is, the time left, and its note."""
    now = console.published(locks.part_file(run.path, part).with_suffix(".json"))
    if now is None:
        return part, "starting", "", ""
    far = f"{now.done} of {now.total}" if now.total else ""
    return now.what, far, duration(now.left) if now.left is not None else "", now.note


def _row(
    label: str, state: str, stage: str = "", far: str = "", left: str = "", note: str = "", where: str = ""
) -> dict[str, str]:
    return {"run": label, "state": state, "stage": stage, "done": far, "left": left, "so far": note, "where": where}
