"""The report's section about several tasks: the gain on each, and how far the first one's carries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness.report import charts
from harness.report.charts import Row
from harness.report.document import Block, Figure, Section, Table
from harness.report.summary import Identity, Summary, TaskGain, TaskSummary
from harness.report.wording import difference_mark, points
from harness.runs.directory import RunDir
from harness.stats.finding import spell_p
from harness.stats.intervals import ALPHA
from harness.stats.power import FEWEST, POWER
from harness.stats.records import Difference
from harness.stats.transfer import CARRIES, HURTS, LESS, UNDETECTED
from harness.tasks.registry import TRAINING
from harness.util.text import plural

BOTH = f"{CARRIES}, but {LESS}"
_SAID = {  # where the first task has a gain, and where none is detected
    CARRIES: ("carries to", "rose on"),
    BOTH: ("carries, but is less, on", "rose on"),
    LESS: ("is less, and by itself not detected, on", "did worse than on the first task on"),
    HURTS: ("turns into a loss on", "fell on"),
    UNDETECTED: ("is not detected on", "is not detected to have changed on"),
}


def tasks(run: RunDir, numbers: Summary) -> Section | None:
    """A row a task, a plot of the gains, and rows for the kinds of questions; None with one task."""
    if not numbers.transfer:
        return None
    found = named(numbers.transfer.tasks, numbers.identity)
    title = "Gain by task in points, with 95% intervals"
    drawn = [Row(task.name, (difference_mark(task.gain),), f"{task.gain.n:,} questions") for task in found]
    blocks: list[Block] = [
        numbers.transfer.sentence,
        Figure("tasks", title, charts.forest("tasks", title, drawn, zero=True)),
        Table(_columns(found[0].name), [_row(task, found[0]) for task in found]),
        "\n".join(_words(found)),
    ]
    for task in found:
        if task.kinds:
            rows = [(kind.kind, *_of(kind.difference)) for kind in task.kinds]
            columns = (f"{task.name}, by kind of question", "n", "base", "tuned", "difference, points")
            blocks.append(Table(columns, rows))
    return Section("Other tasks", blocks)


def named(found: Sequence[TaskSummary], identity: Identity) -> list[TaskSummary]:
    """The tasks, the first by the name of its data: a run that is not on GSM8K's has gsm8k's rules alone."""
    first, *further = found
    return [replace(first, name=identity.data.rpartition("/")[2]) if first.name == TRAINING else first, *further]


def sentence(found: Sequence[TaskSummary]) -> str:
    """What may be said of the further tasks, each by its name."""
    first, *further = found
    gained = _detected(first) == "up"
    said: dict[str, list[str]] = {}
    for verdict, words in _SAID.items():
        if names := [task.name for task in further if task.verdict == verdict]:
            said.setdefault(words[0 if gained else 1], []).extend(names)
    listed = "; ".join(f"{words} {_listed(names)}" for words, names in said.items())
    undetected = [task for task in further if task.verdict in (LESS, UNDETECTED)]
    corrected = ""  # an interval that excludes 0 would look like a contradiction
    if alone := [task.name for task in undetected if _detected(task)]:
        corrected = (
            f" All of this is corrected for the {len(further)} further tasks: by itself the change on "
            f"{_listed(alone)} would be detected."
        )
    if gained:
        return f"Beyond {first.name}, the gain {listed}.{corrected}"
    came = "accuracy fell" if _detected(first) == "down" else "no gain is detected"
    return f"On {first.name} {came}; of the further tasks, accuracy {listed}.{corrected}"


def _detected(task: TaskSummary) -> str | None:
    """The direction of the gain that is detected by itself, "up" or "down": interval and p agree."""
    if task.gain.p >= ALPHA:
        return None
    return "up" if task.gain.low > 0 else "down" if task.gain.high < 0 else None


def verdict_text(task: TaskSummary, first: TaskSummary) -> str:
    """The verdict as a cell; where nothing is detected, with what would have been. first: the first task."""
    if task.verdict is None:
        return "the first task"
    if task.verdict != UNDETECTED:
        return task.verdict if _detected(first) == "up" else task.verdict.replace(CARRIES, "rose")
    if task.detectable is None:
        seeds = task.gain.per_seed or ()
        why = "too few questions changed"
        if task.gain.clusters == 1:
            why = "all questions are of one cluster"
        elif len(set(seeds)) > 1:
            why = "the trainings vary too much"
        if 0 < len(seeds) < FEWEST:
            why = "two seeds do not bound how much trainings vary"
        return f"{UNDETECTED}; what it detects is not known: {why}"
    return f"{UNDETECTED}, detects ≥ {100 * task.detectable:.1f} points"


def _columns(first: str) -> tuple[str, ...]:
    gain = ("base", "tuned", "difference, points", "p", "p, Holm")
    return ("task", "verdict", "questions", *gain, f"difference from {first}'s gain", "its p, Holm")


def _row(task: TaskSummary, first: TaskSummary) -> tuple[str, ...]:
    gain, against = task.gain, task.against
    clusters = f" in {plural(gain.clusters, 'cluster')}" if gain.clusters else ""
    tests = (spell_p(gain.p), "" if gain.p_holm is None else spell_p(gain.p_holm))
    other = (points(against), spell_p(against.p_holm)) if against else ("", "")
    n, base, tuned, difference = _of(gain)
    return (task.name, verdict_text(task, first), n + clusters, base, tuned, difference, *tests, *other)


def _of(difference: Difference | TaskGain) -> tuple[str, str, str, str]:
    rates = (f"{100 * share:.1f}%" for share in (difference.base, difference.tuned))
    return (f"{difference.n:,}", *rates, points(difference))


def _words(found: Sequence[TaskSummary]) -> Iterator[str]:
    first = found[0].name
    yield (
        "Difference: accuracy of the tuned model minus the base's on the same questions, with its 95% interval, "
        "which is not corrected for the number of tasks. Questions made from one template or seed question are a "
        "cluster, and the interval is that of the clusters' sums. p, Holm, which the verdicts follow: corrected for "
        f"the {len(found) - 1} further tasks, once for their gains and once for their differences from {first}'s gain."
    )
    yield (
        "Carries (rose, where the first task has no gain): the task's own gain is detected above 0. Hurts: it is "
        f"detected below 0. Less here: it is detected to be below {first}'s gain. Undetected: none of these; beside it "
        f"stands the smallest gain that is detected with {POWER:.0%} power as one of so many tests. There is no mean "
        "over tasks: they have different questions."
    )
    if overlapping := [f"{task.name}: {task.overlap}" for task in found if task.overlap]:
        yield (
            f"Not independent of GSM8K: {'; '.join(overlapping)}. Their difference from a gain on GSM8K is computed as "
            "if they were independent of it; they show how the same kind of question is answered in other words and "
            "numbers."
        )
    for task in found:
        for reason, count in task.left_out.items():
            yield f"{task.name}: {count:,} published questions are left out ({reason})."
        if task.time_outs and any(task.time_outs):
            base, tuned = task.time_outs
            whose = f"tuned answers of {len(task.gain.per_seed)} trainings" if task.gain.per_seed else "tuned answers"
            yield f"{task.name}: {base:,} of the base's and {tuned:,} of the {whose} could not be judged: wrong."
    for task in found:
        if task.kinds is not None and (alone := task.gain.n - sum(kind.difference.n for kind in task.kinds)):
            yield (
                f"{task.name}: {plural(alone, 'question')} of a kind with no other: no row, as an interval over "
                "several trainings takes two."
            )
        if task.hub:
            yield f"{task.name}: {task.hub}, commit {task.revision[:12]}, {task.licence}; content {task.data[:16]}."
    if any(task.kinds for task in found):
        yield "The intervals by kind of question are each by itself at 95%, and not corrected for their number."


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
