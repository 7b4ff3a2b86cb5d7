"""The report's sections about results: the verdict, how to read it, the parts of strict accuracy, the answers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from harness.config import plugins
from harness.report import charts, gallery, verdict
from harness.report.charts import Bar, Change
from harness.report.document import Figure, Gallery, Loud, Section, Table
from harness.report.sections import diagnosis
from harness.report.sections.robustness import alerts
from harness.report.summary import Summary
from harness.report.wording import TERMS, counts_text, difference_mark, mark, p_text, points, rate_text
from harness.runs.directory import RunDir
from harness.runs.results import SamplingParameters, question_ids
from harness.stats import finding, power
from harness.stats.finding import spell_p
from harness.stats.power import POWER
from harness.stats.records import PairedRecord
from harness.stats.scores import COMPARED, QUANTITIES
from harness.tasks.elicitation import OWN
from harness.util import typed
from harness.util.errors import HarnessError
from harness.util.text import plural


def opening(run: RunDir, numbers: Summary) -> Section:
    several, rows = numbers.several, []
    for name in COMPARED:
        d = getattr(numbers.difference, name)
        rates = [rate_text(getattr(side, name)) for side in (numbers.base, numbers.tuned)]
        tests = (p_text(d),) if several else (spell_p(d.mid_p), spell_p(d.exact_p))
        flipped = (counts_text(numbers, name, way) for way in ("gained", "lost"))
        rows.append((QUANTITIES[name].label, *rates, points(d), *flipped, *tests))
    scored, model = run.config.eval.precision, run.config.model
    trained = "4-bit" if model.load_in_4bit else "8-bit" if model.load_in_8bit else model.precision
    if trained != scored:
        rows.append(("Weights", scored, scored, Loud(f"trained in {trained}"), *[""] * (len(rows[0]) - 4)))
    tuned = f"tuned, mean of {several} seeds" if several else "tuned"
    tests = ("p",) if several else ("mid-p", "exact p")
    changed = ("gained", "lost") if numbers.samples == 1 else ("rose", "fell")  # questions
    columns = (plural(numbers.n, "question"), "base", tuned, "difference, points", *changed, *tests)
    blocks = [Loud(numbers.verdict.sentence), Table(columns, rows), *alerts(numbers), *diagnosis.lines(run, numbers)]
    return Section("", [*blocks, _before_after(numbers)])


def _before_after(numbers: Summary) -> Figure:
    rows = []
    for name in COMPARED:
        base, tuned = (getattr(side, name) for side in (numbers.base, numbers.tuned))
        marks = (mark("base", base, rate_text(base)), mark("tuned", tuned, rate_text(tuned)))
        rows.append(Change(QUANTITIES[name].label, *marks, difference_mark(getattr(numbers.difference, name))))
    title = (
        f"Percent of {plural(numbers.n, 'question')}, base to tuned, with 95% intervals; at the right "
        "the difference in points"
    )
    if any(row.difference.series == "unclear" for row in rows):
        title += f"; dotted: {charts.SERIES['unclear']}"
    return Figure("before_after", title, charts.dumbbell("before_after", title, rows))


def reading(run: RunDir, numbers: Summary) -> Section:
    return Section("How to read this", ["\n".join(_reading(run, numbers))])


def _reading(run: RunDir, numbers: Summary) -> Iterator[str]:
    conditions = numbers.conditions
    yield (
        "Brackets are 95% intervals. Accuracy is a right final answer in any format, strict accuracy a right one in "
        "the exact format, format the exact format, each over all questions; truncated and unparsed count as wrong. "
        f"Intervals treat the {plural(numbers.n, 'question')} as a sample of similar questions; both models "
        f"answered the same questions (paired). {_retraining(numbers)}"
    )
    rates, methods = map(_methods, ((numbers.base, numbers.tuned), (numbers.difference,)))
    yield f"Intervals of single rates: {rates}. Of differences: {methods}."
    yield from _precision(numbers)
    yield (
        f"Both sides: {conditions.split} split, {_decoding(conditions.sampling)}, at most "
        f"{conditions.max_new_tokens} new tokens, {conditions.precision}, {conditions.engine}."
    )
    p = numbers.problems
    left_out = f" ({p.repeated} rows left out: their question had occurred before)" if p.repeated else ""
    yield f"Problems: {p.train:,} train, {p.dev:,} dev, {p.test:,} test{left_out}."
    if conditions.split == "test":
        yield (f"This run scored the test questions {_looks(numbers)}, and never while training. {_looked_at(run)}")


def _methods(held: Iterable[Any]) -> str:
    """How the intervals of these were computed, each method once."""
    used = dict.fromkeys(getattr(each, name).method for each in held for name in COMPARED)
    first, *others = sorted(used, key=len)  # a method may be another one and more
    return ", ".join(
        [first, *(f"or the same{each[len(first) :]}" if each.startswith(first) else each for each in others)]
    )


def _decoding(sampling: SamplingParameters) -> str:
    values = ", ".join(f"{name} {value:g}" for name, value in typed.fields(sampling).items())
    return f"sampled ({values})" if sampling.temperature else "greedy"


def _precision(numbers: Summary) -> Iterator[str]:
    """The counts behind the rates, and the precision of the comparison; over several seeds a table shows it."""
    base, tuned, d = numbers.base.accuracy, numbers.tuned.accuracy, numbers.difference.accuracy
    details = []
    if base.k is not None and tuned.k is not None:
        details.append(f"right answers {base.k:,} and {tuned.k:,} of {numbers.n:,}")
    if isinstance(d, PairedRecord):
        if d.se:
            details.append(f"paired standard error of the difference {100 * d.se:.2f} points")
        if d.correlation is not None:
            details.append(f"correlation of base and tuned over the questions {d.correlation:.2f}")
    if d.detectable is not None and numbers.verdict.kind == "detected":  # else it is in the first sentence
        why = " (Training seeds says why it is so many)" if verdict.of(numbers).power() else ""
        details.append(f"this design detects ≥ {100 * d.detectable:.2f} points with {POWER:.0%} power{why}")
    if details:
        yield f"Accuracy: {', '.join(details)}."
    share, high = numbers.verdict.discordance, numbers.verdict.discordance_high
    if d.detectable is not None and share is not None and high is not None:
        what, cautious = "share of the questions that changed", ""
        if numbers.samples > 1:
            what = "mean of the questions' squared changes"
            if least := power.minimum_detectable_effect(numbers.n, share, correction=1.0, whole=False):
                cautious = (
                    f" With several answers a question that end is cautious; at {share:.1%} itself it would be ≥ "
                    f"{100 * least:.2f} points."
                )
        yield (
            f"The stated power is computed as in the plan of --dry-run: from the {what}, {share:.1%}, at the upper end "
            f"of its 95% interval, {high:.1%}.{cautious}"
        )
    for name in COMPARED:
        found = finding.of(getattr(numbers.difference, name))
        if name != "accuracy" and found.kind == "borderline":
            yield f"{QUANTITIES[name].label} is borderline: {found.disagreement}. The first sentence does not claim it."


def _retraining(numbers: Summary) -> str:
    if numbers.several:
        return f"They describe trainings like these {numbers.several}: variation from retraining is included."
    return "They describe this checkpoint; variation from retraining is not included (one seed)."


def _looks(numbers: Summary) -> str:
    base = "twice" if numbers.noise_floor else "once"
    tuned = f"each of {numbers.several} tuned models" if numbers.several else "the tuned model"
    control = " and its control" if numbers.control else ""
    prompted = numbers.elicited and numbers.elicited.choice.chosen != OWN
    other = ", once with the base and another prompt," if prompted else ""
    return f"{base} with the base{other} and once with {tuned}{control}"


def _looked_at(run: RunDir) -> str:
    """How many other finished runs in the results folder were scored on questions of this one."""
    own, shared = question_ids(run.base), 0
    for file in run.path.parent.glob("*/summary.json"):
        if file.parent.resolve() != run.path.resolve():
            with contextlib.suppress(HarnessError):  # another run's broken file must not stop this report
                shared += not own.isdisjoint(question_ids(file.with_name("base")))
    if not shared:
        return "No other finished run in this results folder has scored any of them."
    return (
        f"{plural(shared, 'other finished run')} in this results folder scored some or all of them. The best of many "
        "runs on the same questions looks better than it is."
    )


def decomposition(run: RunDir, numbers: Summary) -> Section:
    parts, strict = numbers.decomposition, numbers.difference.strict
    title = "What changed strict accuracy, in points"
    bars = [
        Bar(name, label, 100 * part.value, points(part))
        for name, label in PARTS.items()
        for part in (getattr(parts, name),)
    ]
    total = Bar("total", QUANTITIES["strict"].label, 100 * strict.value, points(strict))
    chart = charts.waterfall("decomposition", title, bars, total)
    rows = []
    for name, label in STOOD.items():
        flow = getattr(parts.flows, name)
        rows.append((label, *(_count(getattr(flow, f"{way}_{right}")) for way in _WAYS for right in _RIGHT)))
    columns = ("the wrong answer was", *(f"{way}, right one {right}" for way in _WAYS for right in _RIGHT))
    words = "Questions gained and lost, by how both answers stood; where both are marked, it is mathematics."
    if numbers.samples > 1:
        words += " Expected numbers, were each model asked once: one of its answers drawn at random."
    if numbers.seeds:
        words += " Means over the seeds."
    return Section(
        "Mathematics, readability or format?",
        [parts.sentence, Figure("decomposition", title, chart), words, Table(columns, rows)],
    )


PARTS = {"mathematics": "Mathematics", "readability": "Readability", "format": "Format gap"}
STOOD = {
    "marked": "a marked number",
    "unmarked": "the last number of the text",
    "none": "none, ambiguous or malformed",
    "cut": "cut at the token limit",
}
_WAYS, _RIGHT = ("gained", "lost"), ("marked", "unmarked")


def completions(run: RunDir, numbers: Summary) -> Section:
    base, tuned = numbers.base, numbers.tuned
    rows = [
        ("all", f"{base.completions:,}", f"{tuned.completions:,}"),
        ("cut at the token limit", f"{base.truncated:,}", f"{tuned.truncated:,}"),
        ("no answer found", f"{base.unparsed:,}", f"{tuned.unparsed:,}"),
        ("mean tokens", f"{base.mean_tokens:.1f}", f"{tuned.mean_tokens:.1f}"),
        ("each tag exactly once", rate_text(base.tags), rate_text(tuned.tags)),
        ("a marked, whole answer", rate_text(base.marked), rate_text(tuned.marked)),
    ]
    rules = []
    for rule, c in numbers.decomposition.by_rule.items():
        change = c.tuned_correct - c.base_correct
        signed = ("+" if change >= 0 else "") + _count(change).replace("-", "−")
        rules.append((rule, *map(_count, (c.base, c.base_correct, c.tuned, c.tuned_correct)), signed))
    tuned_by = ("tuned, all seeds", "tuned a seed") if numbers.several else ("tuned", "tuned")
    columns = ("rule that decided", "base", "base right", tuned_by[1], f"{tuned_by[1]} right", "Δ right")
    return Section("Completions", [Table(("completions", "base", tuned_by[0]), rows), Table(columns, rules)])


def words(run: RunDir, numbers: Summary) -> Section:
    """What the words of the report mean; only in the page."""
    rows = [({"format": "format gap"}.get(word, word), meaning) for word, meaning in TERMS.items()]
    return Section("Words", [Table(("word", "what it means here"), rows)])


def _count(value: float) -> str:
    """A count, or a mean of counts over seeds."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def questions(run: RunDir, numbers: Summary) -> Section:
    voting = {view.name for view in numbers.panel.scorers if view.applicable}
    scorers = [scorer for scorer in plugins.task(run.config).scorers if scorer.name in voting]
    fell = verdict.of(numbers).accuracy.outcome.endswith("down")
    shown = Gallery(gallery.read(run, scorers), run.config.train.seeds, "lost" if fell else "gained")
    return Section("Questions", [shown])
