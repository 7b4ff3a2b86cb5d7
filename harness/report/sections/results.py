"""The report's sections about results: the verdict, how to read it, what strict accuracy is made of, the answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.report import charts, gallery
from harness.report.charts import Bar, Row
from harness.report.document import Figure, Gallery, Loud, Section, Table
from harness.report.sections.robustness import alerts
from harness.report.wording import LABELS, certainty, counts_text, mark, p_text, points, rate_text
from harness.runs.directory import RunDir
from harness.stats.power import POWER
from harness.stats.verdict import spell_p
from harness.util import files
from harness.util.errors import HarnessError
from harness.util.text import plural


def opening(run: RunDir, numbers: dict[str, Any]) -> Section:
    n, several = numbers["n"], len(numbers.get("seeds", []))
    rows = []
    for name, label in LABELS.items():
        d = numbers["difference"][name]
        rates = [rate_text(numbers[side][name]) for side in ("base", "tuned")]
        tests = (p_text(d),) if several else (spell_p(d["mid_p"]), spell_p(d["exact_p"]))
        flipped = (counts_text(numbers, name, way) for way in ("gained", "lost"))
        rows.append((label, *rates, points(d), *flipped, *tests))
    scored, model = run.config.eval.precision, run.config.model
    trained = "4-bit" if model.load_in_4bit else "8-bit" if model.load_in_8bit else model.precision
    if trained != scored:
        rows.append(("Weights", scored, scored, Loud(f"trained in {trained}"), *[""] * (len(rows[0]) - 4)))
    tuned = f"tuned, mean of {several} seeds" if several else "tuned"
    tests = ("p",) if several else ("mid-p", "exact p")
    columns = (plural(n, "question"), "base", tuned, "difference, points", "gained", "lost", *tests)
    blocks = [Loud(numbers["verdict"]["sentence"]), Table(columns, rows), *alerts(numbers)]
    return Section("", [*blocks, *_before_after(numbers)])


def _before_after(numbers: dict[str, Any]) -> Iterator[Figure]:
    rates, differences = [], []
    for name, label in LABELS.items():
        sides = [mark(side, numbers[side][name], rate_text(numbers[side][name])) for side in ("base", "tuned")]
        rates.append(Row(label, tuple(sides)))
        d = numbers["difference"][name]
        differences.append(Row(label, (mark(certainty(d), d, points(d)),)))
    title = f"Percent of {plural(numbers['n'], 'question')} before and after, with 95% intervals"
    yield Figure("before_after", title, charts.forest("before_after", title, rates))
    title = "Tuned minus base in points, paired, with 95% intervals"
    yield Figure("differences", title, charts.forest("differences", title, differences, zero=True, pitch=2))


def reading(run: RunDir, numbers: dict[str, Any]) -> Section:
    return Section("How to read this", ["\n".join(_reading(run, numbers))])


def _reading(run: RunDir, numbers: dict[str, Any]) -> Iterator[str]:
    conditions = numbers["conditions"]
    yield (
        "Brackets are 95% intervals. Accuracy is a right final answer in any format, strict accuracy a right one in "
        "the exact format, format the exact format, each over all questions; truncated and unparsed count as wrong. "
        f"Intervals treat the {plural(numbers['n'], 'question')} as a sample of similar questions; both models "
        f"answered the same questions (paired). {_retraining(numbers)}"
    )
    rates, methods = (
        ", ".join(dict.fromkeys(numbers[side][name]["method"] for side in sides for name in LABELS))
        for sides in (("base", "tuned"), ("difference",))
    )
    yield f"Intervals of single rates: {rates}. Of differences: {methods}."
    yield from _precision(numbers)
    decoding = "greedy" if not conditions["sampling"]["temperature"] else f"sampled {conditions['sampling']}"
    yield (
        f"Both sides: {conditions['split']} split, {decoding}, at most {conditions['max_new_tokens']} new tokens, "
        f"{conditions['precision']}, {conditions['engine']}."
    )
    p = numbers["problems"]
    left_out = f" ({p['repeated']} rows left out: their question had occurred before)" if p["repeated"] else ""
    yield f"Problems: {p['train']:,} train, {p['dev']:,} dev, {p['test']:,} test{left_out}."
    if conditions["split"] == "test":
        others = _other_looks(run, conditions)
        yield (
            f"This run scored the test questions {_looks(numbers)}, and never while training. {others} other finished "
            f"run{'s' * (others != 1)} in this results folder scored the same questions: the more looks, the better "
            "the best of them seems."
        )


def _precision(numbers: dict[str, Any]) -> Iterator[str]:
    """The counts behind the rates, and how fine the comparison of accuracies is; over several seeds a table has it."""
    sides, d = [numbers[side]["accuracy"] for side in ("base", "tuned")], numbers["difference"]["accuracy"]
    told = []
    if "k" in sides[0] and "k" in sides[1]:
        told.append(f"right answers {sides[0]['k']:,} and {sides[1]['k']:,} of {numbers['n']:,}")
    if "seeds" not in numbers and d["se"]:
        told.append(f"paired standard error of the difference {100 * d['se']:.2f} points")
    if d.get("correlation") is not None:
        told.append(f"correlation of base and tuned over the questions {d['correlation']:.2f}")
    if d["detectable"] is not None and numbers["verdict"]["kind"] == "detected":  # else it is in the first sentence
        told.append(f"this design detects ≥ {100 * d['detectable']:.2f} points with {POWER:.0%} power")
    if told:
        yield f"Accuracy: {', '.join(told)}."


def _retraining(numbers: dict[str, Any]) -> str:
    if several := len(numbers.get("seeds", [])):
        return f"They describe trainings like these {several}: variation from retraining is included."
    return "They describe this checkpoint; variation from retraining is not included (one seed)."


def _looks(numbers: dict[str, Any]) -> str:
    base = "twice" if "noise_floor" in numbers else "once"
    several = len(numbers.get("seeds", []))
    return f"{base} with the base and once with {f'each of {several} tuned models' if several else 'the tuned model'}"


def _other_looks(run: RunDir, conditions: dict[str, Any]) -> int:
    """How many other runs beside this one have been scored on the same questions."""
    found = 0
    for file in run.path.parent.glob("*/summary.json"):
        try:
            other = files.read_json(file)
        except HarnessError:  # somebody else's broken file is no reason to have no report
            continue
        theirs = other.get("conditions") if isinstance(other, dict) else None
        same = isinstance(theirs, dict) and theirs.get("data") == conditions["data"]
        found += same and file.parent.resolve() != run.path.resolve()
    return found


def decomposition(run: RunDir, numbers: dict[str, Any]) -> Section:
    parts, strict = numbers["decomposition"], numbers["difference"]["strict"]
    both = parts["where_both_comply"]
    sentences = [parts["sentence"]]
    if both:
        sentences.append(
            f"On the {plural(parts['both_comply'], 'question')} that both answered in the exact format, accuracy "
            f"changed by {points(both)} points ({100 * both['base']:.1f}% to {100 * both['tuned']:.1f}%)."
        )
    elif parts["both_comply"] == 0:
        sentences.append("There is no question that both answered in the exact format.")
    title = "What changed strict accuracy, in points"
    shares = [
        Bar(name, label, 100 * parts[name]["value"], points(parts[name]))
        for name, label in (("mathematics", "Mathematics"), ("format", "Format"))
    ]
    total = Bar("total", "Strict accuracy", 100 * strict["value"], points(strict))
    chart = charts.waterfall("decomposition", title, shares, total)
    return Section("Mathematics or format?", ["\n".join(sentences), Figure("decomposition", title, chart)])


def completions(run: RunDir, numbers: dict[str, Any]) -> Section:
    base, tuned = numbers["base"], numbers["tuned"]
    counted = (("all", "completions"), ("cut at the token limit", "truncated"), ("no answer found", "unparsed"))
    rows = [(label, f"{base[name]:,}", f"{tuned[name]:,}") for label, name in counted]
    rows.append(("mean tokens", f"{base['mean_tokens']:.1f}", f"{tuned['mean_tokens']:.1f}"))
    rows.append(("each tag exactly once", rate_text(base["tags"]), rate_text(tuned["tags"])))
    rules = []
    for rule, c in numbers["decomposition"]["by_rule"].items():
        counts = (c["base"], c["base_correct"], c["tuned"], c["tuned_correct"])
        change = c["tuned_correct"] - c["base_correct"]
        rules.append((rule, *map(_count, counts), "+" * (change >= 0) + _count(change).replace("-", "−")))
    several = len(numbers.get("seeds", []))
    tuned_by = ("tuned, all seeds", "tuned a seed") if several else ("tuned", "tuned")
    columns = ("rule that found the answer", "base", "base right", tuned_by[1], f"{tuned_by[1]} right", "Δ right")
    return Section("Completions", [Table(("completions", "base", tuned_by[0]), rows), Table(columns, rules)])


def _count(value: float) -> str:
    """A count, or a mean of counts over seeds."""
    return str(value) if value == int(value) else f"{value:.1f}"


def questions(run: RunDir, numbers: dict[str, Any]) -> Section:
    seed = numbers["train"]["seed"]
    return Section("Questions", [Gallery(gallery.read(run, seed), f"seed {seed}" if "seeds" in numbers else "")])
