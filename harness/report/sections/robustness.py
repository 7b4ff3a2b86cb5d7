"""The report's sections about robustness: other scorers, cut answers, the noise floor, samples, seeds.

Each is a function (run, numbers) -> Section, or None if it does not apply to the run; `alerts` are the lines about them
under the report's first table.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.report import charts, scorer_panel
from harness.report.charts import Row
from harness.report.document import Block, Figure, Loud, Section, Table
from harness.report.summary import REWARD_SHARE, Summary
from harness.report.wording import difference_mark, p_text, points, rate_text
from harness.runs.directory import RunDir
from harness.stats.records import Difference, Estimate, SeedsRecord
from harness.stats.scores import COMPARED, QUANTITIES
from harness.stats.seeds import quantile
from harness.stats.verdict import signed, spell_p

TRUNCATED = 0.01  # share of completions cut at the token limit above which the report warns


def alerts(numbers: Summary) -> Iterator[str]:
    """One line each: bold for what could overturn the verdict, plain for the panel's and the noise floor's findings."""
    t, panel = numbers.truncation, numbers.panel
    yield from _reward(numbers)
    if above := {side: cut for side, cut in (("base", t.base_cut), ("tuned", t.tuned_cut)) if cut > TRUNCATED}:
        cut = " and ".join(f"{share:.1%} of the {side}" for side, share in above.items())
        yield Loud(
            f"{cut} completions were cut at the token limit and count as wrong; whatever they would have been, the "
            f"difference of accuracy lies between {_bare(t.lowest)} and {_bare(t.highest)} points."
        )
    if panel.flips:
        flipped = [view for view in panel.scorers if view.name in panel.flips]
        others = ", ".join(f"{_bare(view.difference)} by {view.name}" for view in flipped)
        yield Loud(
            f"THE SIGN OF THE ACCURACY DIFFERENCE FLIPS WITH THE SCORER{_whose(numbers)}: "
            f"{_bare(panel.ours)} points by ours, {others}; see Under other scorers."
        )
    else:
        yield f"{scorer_panel.finding(panel)}{_whose(numbers)}."
    if numbers.noise_floor:
        yield numbers.noise_floor.accuracy.sentence


def _reward(numbers: Summary) -> Iterator[Loud]:
    """Where the reward rose in every training and accuracy is not detected to have risen with it."""
    trained = [entry.train for entry in numbers.seeds] if numbers.seeds else [numbers.train]
    verdict = numbers.verdict
    if not all(each.reward_rose for each in trained) or (verdict.kind, verdict.direction) == ("detected", "up"):
        return
    each = ", ".join(f"from {t.reward_first:.2f} to {t.reward_last:.2f}" for t in trained)
    came = "fell" if (verdict.kind, verdict.direction) == ("detected", "down") else "is not detected to have risen"
    yield Loud(f"The reward rose ({each}), and accuracy on these questions {came}.")


def seeds(run: RunDir, numbers: Summary) -> Section | None:
    """Every training by itself, and the mean."""
    if not numbers.seeds:
        return None
    whole, rows, drawn = numbers.difference, [], []
    for entry in numbers.seeds:
        d = entry.difference
        tests = (str(d.accuracy.gained), str(d.accuracy.lost), spell_p(d.accuracy.mid_p))
        others = (points(d.strict), points(d.format))
        rows.append((f"seed {entry.seed}", rate_text(entry.tuned.accuracy), points(d.accuracy), *tests, *others))
        drawn.append(_row(f"seed {entry.seed}", d.accuracy))
    rate, others = rate_text(numbers.tuned.accuracy), (points(whole.strict), points(whole.format))
    rows.append(("mean", rate, points(whole.accuracy), "", "", p_text(whole.accuracy), *others))
    title = "Change of accuracy by training seed in points, with 95% intervals"
    drawn.append(_row(f"mean of {len(drawn)} seeds, retraining included", whole.accuracy))
    columns = ("training", "tuned accuracy", "Δ accuracy", "gained", "lost", "mid-p", "Δ strict", "Δ format")
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
    trained = [entry.train for entry in numbers.seeds or ()]
    if all(each.reward_last is not None for each in trained):
        each = ", ".join(f"{t.reward_first:.2f} to {t.reward_last:.2f} (seed {t.seed})" for t in trained)
        yield f"The mean reward of the first and of the last {REWARD_SHARE:.0%} of the steps: {each}."
    if count == 2:
        yield "Two trainings tell little about a third: their interval is wide, and no power is given."


def panel(run: RunDir, numbers: Summary) -> Section:
    """The same completions under published rules of others."""
    found, rows = numbers.panel, []
    signs = {"agrees": "agrees", "disagrees": Loud("disagrees"), "undecided": "undecided", None: "not applicable"}
    ours = found.ours
    rows.append(("ours", "", _percent(ours.base), _percent(ours.tuned), points(ours), "", ""))
    for view in found.scorers:
        sides = (view.base, view.tuned)
        rates = [_percent(side.accuracy) for side in sides]
        extracted, as_ours = [side.extracted for side in sides], [side.as_ours for side in sides]
        shares = [" / ".join(map(_percent, share)) for share in (extracted, as_ours)]
        rows.append((view.name, signs[view.sign], *rates, points(view.difference), *shares))
    columns = ("scorer", "sign", "base", "tuned", "difference, points", "extracted", "as ours")
    words = (
        "The same completions under the rules of others; extracted and as ours are shares of the completions of base "
        "and tuned in which a rule finds an answer and on which its verdict is ours. A rule that finds one in under "
        "half of a side was made for another format and has no vote."
    )
    taken = "\n".join(f"{view.name} takes {view.reads} ({view.source})." for view in found.scorers)
    sentence = Loud(found.sentence) if found.flips else found.sentence
    return Section(f"Under other scorers{_whose(numbers)}", [sentence, words, Table(columns, rows), taken])


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
    shares = f"{t.base_cut:.1%} of the base's and {t.tuned_cut:.1%} of the tuned model's completions were cut."
    if t.sign_holds:
        words: Block = f"{shares} The sign of the difference does not depend on what they would have been."
    else:
        words = f"{shares} The sign of the difference depends on what they would have been."
        if max(t.base_cut, t.tuned_cut) > TRUNCATED:
            words = Loud(words)
    table = Table(("were the cut completions", "difference of accuracy, points"), rows)
    return Section("Cut at the token limit", [words, table])


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
    columns = ("base again minus base", "questions that changed", "gained", "lost", "difference, points")
    return Section("Doing nothing", [words, Table(columns, rows)])


def of_samples(run: RunDir, numbers: Summary) -> Section | None:
    """pass@k, pass^K and maj@K."""
    if not numbers.of_samples:
        return None
    rows = []
    for each in numbers.of_samples:
        d = each.difference
        rows.append((each.name, rate_text(each.base), rate_text(each.tuned), points(d), p_text(d)))
    count = numbers.samples
    words = (
        f"Of {count} samples a question: pass@k is the chance that at least one of k is right, pass^{count} that all "
        f"{count} are, maj@{count} that the commonest answer is (ties share; cut and unparsed ones have no vote). "
        "Questions are resampled, never pooled answers."
    )
    return Section(
        "Several samples a question", [words, Table(("measure", "base", "tuned", "difference, points", "p"), rows)]
    )


def _row(label: str, difference: Difference) -> Row:
    return Row(label, (difference_mark(difference),))


def _whose(numbers: Summary) -> str:
    """Which of several seeds a section is about."""
    return f" (seed {numbers.train.seed})" if numbers.seeds else ""


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _bare(difference: Difference) -> str:
    return signed(difference.value)
