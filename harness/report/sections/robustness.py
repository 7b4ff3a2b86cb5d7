"""The report's sections about robustness: other scorers, cut answers, the noise floor, seeds.

Each is a function (run, numbers) -> Section, or None if it does not apply to the run; `alerts` are the lines about them
under the report's first table.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.report import charts, verdict
from harness.report.charts import Row
from harness.report.document import Figure, Loud, Section, Table
from harness.report.sections.ability import curves, worth
from harness.report.summary import REWARD_SHARE, Summary
from harness.report.verdict import FOUND, NOTABLE
from harness.report.wording import difference_mark, p_text, points, rate_text, stopped
from harness.runs.directory import RunDir
from harness.stats import finding
from harness.stats.finding import spell, spell_p
from harness.stats.records import Difference, Estimate, SeedsRecord
from harness.stats.scores import COMPARED, QUANTITIES
from harness.stats.seeds import quantile


def alerts(numbers: Summary) -> Iterator[str]:
    """One line each: bold for what could overturn the verdict, plain for what stands beside it."""
    found = verdict.of(numbers)
    for trained in [entry.train for entry in numbers.seeds or ()] or [numbers.train]:
        if said := stopped(trained):
            yield Loud(said)
    if said := found.each():
        yield Loud(said)
    if said := found.reward():
        yield Loud(said) if found.reward_apart() else said
    if said := found.formats_differ():
        yield Loud(said)
    if said := found.undivided():
        yield said
    if split := found.split():
        yield Loud(split) if found.readability.detected else split
    if said := found.unreadable():
        yield Loud(said)
    if max(found.cut) > NOTABLE:
        yield Loud(found.truncation())
    yield Loud(found.panel()) if found.disputed() else found.panel()
    if numbers.transfer:
        yield numbers.transfer.sentence
    if control := numbers.control:
        alone = found.accuracy.detected == "up" and finding.of(control.difference.accuracy).detected != "up"
        yield Loud(control.sentence) if alone else control.sentence
    if prompted := numbers.elicited:
        alone = found.accuracy.detected == "up" and finding.of(prompted.training).detected != "up"
        yield Loud(worth(prompted)) if alone else worth(prompted)
    if numbers.curves:
        yield curves(numbers.curves, numbers.samples)
    if numbers.noise_floor:
        yield numbers.noise_floor.accuracy.sentence


def seeds(run: RunDir, numbers: Summary) -> Section | None:
    """Every training by itself, and the mean."""
    if not numbers.seeds:
        return None
    whole, rows, drawn = numbers.difference, [], []
    for entry in numbers.seeds:
        d = entry.difference
        tests = (f"{d.accuracy.gained:,}", f"{d.accuracy.lost:,}", spell_p(d.accuracy.mid_p))
        others = (points(d.strict), points(d.format))
        rows.append((f"seed {entry.seed}", rate_text(entry.tuned.accuracy), points(d.accuracy), *tests, *others))
        drawn.append(_row(f"seed {entry.seed}", d.accuracy))
    rate, others = rate_text(numbers.tuned.accuracy), (points(whole.strict), points(whole.format))
    rows.append(("mean", rate, points(whole.accuracy), "", "", p_text(whole.accuracy), *others))
    title = "Change of accuracy by training seed in points, with 95% intervals"
    drawn.append(_row(f"mean of {len(drawn)} seeds, retraining included", whole.accuracy))
    columns = ("training", "tuned accuracy", "Δ accuracy", *_ways(numbers), "mid-p", "Δ strict", "Δ format")
    return Section(
        "Training seeds",
        [
            Figure("seeds", title, charts.forest("seeds", title, drawn, zero=True)),
            Table(columns, rows),
            "\n".join(_over_seeds(numbers)),
        ],
    )


def _over_seeds(numbers: Summary) -> Iterator[str]:
    d, count = numbers.difference.accuracy, numbers.several
    yield (
        "The interval of a seed is about that one checkpoint; the interval of the mean is about trainings like these "
        f"{count}, with other seeds and on questions like these."
    )
    if isinstance(d, SeedsRecord) and d.se:
        part, question, seed = (f"{100 * se:.2f}" for se in (d.se, d.se_question, d.se_seed))
        yield (
            f"Its standard error is {part} points, {question} from the questions and {seed} from the trainings "
            f"(squares add up). The interval takes the latter {quantile(count):.2f} times instead of 1.96, since "
            f"{count} trainings say only roughly how much trainings vary."
        )
    if said := verdict.of(numbers).power():
        yield said
    trained = [entry.train for entry in numbers.seeds or ()]
    if all(each.reward_last is not None for each in trained):
        each = ", ".join(f"{spell(t.reward_first)} to {spell(t.reward_last)} (seed {t.seed})" for t in trained)
        yield f"The mean reward of the first and of the last {REWARD_SHARE:.0%} of the steps: {each}."
    if count == 2:
        yield "Two trainings tell little about a third: their interval is wide, and no power is given."


def panel(run: RunDir, numbers: Summary) -> Section:
    """The same completions under published rules of others."""
    claimed, own = verdict.of(numbers), numbers.difference.accuracy
    rows: list[tuple[str, ...]] = [("ours", FOUND[claimed.accuracy.outcome], *_both(own), points(own), "", "", "")]
    for view in numbers.panel.scorers:
        found = FOUND[view.outcome] if view.applicable else "not applicable"
        told = (view.name, Loud(found) if claimed.disputes(view) else found, *_both(view.difference))
        sides = (view.base, view.tuned)
        shares = [" / ".join(_percent(getattr(side, name)) for side in sides) for name in ("extracted", "as_ours")]
        rows.append((*told, points(view.difference), "yes" if view.differs else "not detected", *shares))
    columns = ("scorer", "detects", "base", "tuned", "difference, points", "unlike ours", "extracted", "as ours")
    words = (
        "The same completions under the rules of others. Unlike ours: whether its difference is detected to be another "
        "than ours, question by question; each is tested at 5% by itself, uncorrected for their number. Extracted and "
        "as ours are shares of the completions of base and tuned in which a rule finds an answer and on which its "
        "verdict is ours. A rule that finds one in under half of a side was made for another format and is not "
        "applicable."
    )
    taken = "\n".join(f"{view.name} takes {view.reads} ({view.source})." for view in numbers.panel.scorers)
    sentence = numbers.panel.sentence
    return Section(
        "Under other scorers", [Loud(sentence) if claimed.disputed() else sentence, words, Table(columns, rows), taken]
    )


def _both(difference: Difference) -> tuple[str, str]:
    return _percent(difference.base), _percent(difference.tuned)


def truncation(run: RunDir, numbers: Summary) -> Section | None:
    """How the completions that were cut could have changed the difference."""
    t = numbers.truncation
    if not t.base_cut and not t.tuned_cut:
        return None
    rows = [
        ("as scored: wrong on both sides", points(numbers.difference.accuracy)),
        ("the base's right, the tuned model's wrong", points(t.lowest)),
        ("the base's wrong, the tuned model's right", points(t.highest)),
    ]
    claimed = verdict.of(numbers)
    words = claimed.truncation()
    loud = claimed.cut_changes() and max(claimed.cut) > NOTABLE
    table = Table(("were the cut completions", "difference of accuracy, points"), rows)
    return Section("Cut at the token limit", [Loud(words) if loud else words, table])


def noise_floor(run: RunDir, numbers: Summary) -> Section | None:
    """The base evaluated twice."""
    if (floor := numbers.noise_floor) is None:
        return None
    rows = []
    for name in COMPARED:
        found = getattr(floor, name)
        share, d = Estimate(value=found.rate, low=found.low, high=found.high), found.difference
        rows.append((QUANTITIES[name].label, rate_text(share), str(d.gained), str(d.lost), points(d)))
    what = "the order of the questions"
    if floor.changed and floor.changed.seed is not None:
        what += " and the seed of the sampling"
    words = (
        f"The base was evaluated a second time with nothing changed but {what}: what differs below is what any "
        "difference above has to be read against."
    )
    columns = ("base again minus base", "questions that changed", *_ways(numbers), "difference, points")
    return Section("Doing nothing", [words, Table(columns, rows)])


def _row(label: str, difference: Difference) -> Row:
    return Row(label, (difference_mark(difference),))


def _ways(numbers: Summary) -> tuple[str, str]:
    """What a question does: with one sample it is gained or lost, with several its score rises or falls."""
    return ("gained", "lost") if numbers.samples == 1 else ("rose", "fell")


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"
