"""The report's sections about what a gain is worth: would another prompt have done it; is it ability or sampling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from harness.report import charts
from harness.report.charts import Row
from harness.report.document import Block, Figure, Loud, Section, Table
from harness.report.summary import AtK, Curves, Elicited, Newly, Summary
from harness.report.wording import difference_mark, p_text, points, rate_text
from harness.runs.comparable import Tried
from harness.runs.directory import RunDir
from harness.stats import finding
from harness.stats.finding import change, in_points, signed
from harness.stats.records import AnyDifference, Difference, Estimate
from harness.tasks.elicitation import OWN


def elicited(run: RunDir, numbers: Summary) -> Section | None:
    """What prompting alone does to the base, and what training adds to that."""
    if (found := numbers.elicited) is None:
        return None
    choice, whole = found.choice, numbers.difference.accuracy
    chosen = next(each for each in choice.tried if each.name == choice.chosen)
    title = "Change of accuracy by prompting and by training, in points, with 95% intervals"
    named = (
        ("prompt alone: elicited minus base", found.prompting),
        ("training beyond: tuned minus elicited", found.training),
        ("both: tuned minus base", whole),
    )
    # Where the base's own prompt is the best, the elicited base is the base, and all are the same difference.
    if choice.chosen == OWN:
        named = (("tuned minus base", whole),)
    drawn = [Row(label, (difference_mark(d),)) for label, d in named]
    rows = [
        (
            Loud(f"{each.name} (chosen)") if each is chosen else each.name,
            each.words,
            f"{each.correct:,} of {each.completions:,}",
            f"{each.truncated:,}",
            f"{each.mean_tokens:.0f}",
        )
        for each in choice.tried
    ]
    return Section(
        "Would another prompt have done it?",
        [
            worth(found),
            Figure("elicited", title, charts.forest("elicited", title, drawn, zero=True)),
            "\n".join(_chosen(numbers, found, chosen)),
            Table(("prompt", "what it is", "right on dev", "cut", "mean tokens"), rows),
        ],
    )


def worth(found: Elicited) -> str:
    """One sentence: what the prompt does alone, and what the training adds."""
    if found.choice.chosen == OWN:
        return (
            "On dev no other prompt did better than the experiment's own, so that the elicited base is the base. "
            f"Training beyond it: {_claimed(found.training)}."
        )
    return (
        f"Another prompt alone: {_claimed(found.prompting)}. Training beyond that prompt: {_claimed(found.training)}."
    )


def _claimed(difference: AnyDifference) -> str:
    said = finding.of(difference)
    if said.kind == "not detected":
        return f"no difference detected ({change(difference)} points of accuracy; {said.design()})"
    return f"{said.word} ({change(difference)} points of accuracy)"


def _chosen(numbers: Summary, found: Elicited, chosen: Tried) -> Iterator[str]:
    choice, answers = found.choice, chosen.completions // found.choice.questions
    times = f" {answers} times" if answers > 1 else ""
    yield (
        f"The base answered {choice.questions:,} dev questions{times} with each prompt, with at most "
        f"{choice.max_new_tokens} new tokens an answer; the one with the most right answers in any format (of equals "
        f"the first) was then asked once on the {numbers.conditions.split} questions, where its accuracy is "
        f"{rate_text(found.accuracy)}. It was chosen without the {numbers.conditions.split} questions, so that the "
        "intervals need no correction for the choice."
    )
    yield (
        "The tuned model is asked with the experiment's own prompt. These are a few prompts, not the best there are; "
        "longer prompts also cost more to read."
    )
    if choice.left_out:
        yield f"Left out, because this model cannot be asked so: {', '.join(choice.left_out)}."


def of_samples(run: RunDir, numbers: Summary) -> Section | None:
    """pass@k for every k, the questions newly solved and lost, pass^K and maj@K."""
    if not (numbers.of_samples and numbers.curves):
        return None
    found, count = numbers.curves, numbers.samples
    title = (
        f"Questions solved with k answers each (pass@k), %, and tuned minus base in points with its 95% band, for k "
        f"from 1 to {count}"
    )
    at = found.at
    chart = charts.pass_at_k(
        "pass_at_k",
        title,
        [100 * each.base for each in at],
        [100 * each.tuned for each in at],
        [(None, None) if each.low is None or each.high is None else (100 * each.low, 100 * each.high) for each in at],
    )
    blocks: list[Block] = [
        curves(found, count),
        Figure("pass_at_k", title, chart),
        "\n".join(_words(found, count)),
        Table(
            ("pass@k", "base", "tuned", "difference, points, and band"),
            [_at(each) for each in at if _told(each.k, count)],
        ),
        *_newly(found.newly, count, numbers.n),
    ]
    rows = [
        (each.name, rate_text(each.base), rate_text(each.tuned), points(each.difference), p_text(each.difference))
        for each in numbers.of_samples
    ]
    blocks += [
        f"pass^{count} is the chance that all {count} answers are right, maj@{count} that the commonest one is (ties "
        "share; cut and unparsed ones have no vote). The intervals are over questions, each with all of its answers.",
        Table(("measure", "base", "tuned", "difference, points", "p"), rows),
    ]
    return Section("Several samples a question", blocks)


def curves(found: Curves, count: int) -> str:
    """One sentence: whether the curves cross, and what else the band shows."""
    more, fewer, last = found.more, found.fewer, found.at[-1]
    if more and fewer:
        return (
            f"The curves cross: with {_numbers(more)} a question the tuned model solves more questions than the base, "
            f"with {_numbers(fewer)} fewer."
        )
    if not more and not fewer:
        return (
            "By a band for all numbers of answers at once, which is wider than the interval of accuracy, no difference "
            f"in the questions solved is detected from 1 to {count}{_end(last)}."
        )
    detected, which = (more, "more") if more else (fewer, "fewer")
    said = f"With {_numbers(detected)} a question the tuned model solves {which} questions than the base"
    if count in detected:
        return f"{said}; the curves are not shown to cross."
    others = [each.k for each in found.at if each.k not in detected]
    return (
        f"{said}; with {_numbers(others)} no difference is detected{_end(last)}, and the curves are not shown to cross."
    )


def _end(last: AtK) -> str:
    if last.low is None or last.high is None:
        return ""
    low, high = signed(last.low, last.high)
    return f" (with {last.k}, the band reaches from {low} to {high} points)"


def _words(found: Curves, count: int) -> Iterator[str]:
    yield (
        f"pass@k is the chance that at least one of k answers is right, from {count} answers a question. If training "
        "only makes answers likelier that the base gives too, the difference shrinks as k grows; if it is negative at "
        "large k, some answers have become rare. What would happen beyond "
        f"k = {count} was not measured."
    )
    yield (
        "The band holds for all k at once (95%): any k may be picked after looking. So at k = 1 it is wider than the "
        "interval of accuracy. The curves cross only where it lies above 0 at one k and below 0 at another."
    )
    if found.constant:
        yield f"With {_numbers(found.constant)} no question changed: no variance, so no band."


def _told(k: int, count: int) -> bool:
    """Powers of two, and the last; summary.json has all."""
    return k == count or k & (k - 1) == 0


def _at(each: AtK) -> tuple[str, ...]:
    sides = (f"{in_points(side)[0]}%" for side in (each.base, each.tuned))
    if each.low is None or each.high is None:
        return f"pass@{each.k}", *sides, f"{signed(each.difference)[0]} (no variance)"
    return f"pass@{each.k}", *sides, change(Estimate(value=each.difference, low=each.low, high=each.high))


def _newly(found: Newly, count: int, n: int) -> Iterator[Block]:
    half = found.drawn
    yield (
        "A question is newly solved if none of the base's answers is right and at least one of the tuned model's is, "
        "and newly lost if it is the other way round. Chance makes some of both: below stands how many there are, with "
        f"{half} answers each, between two sets of the base's own answers. Expected numbers are over all ways to draw "
        f"{half} and {half} others of the {count}. Where the interval of their difference excludes 0, it is not chance "
        "alone."
    )
    drawn = str(half)
    rows = [
        ("base to tuned", str(count), _questions(found.solved), _questions(found.lost)),
        ("base to tuned, expected", drawn, f"{found.solved_of_drawn:.1f}", f"{found.lost_of_drawn:.1f}"),
        ("base to itself, expected", drawn, f"{found.by_chance:.1f}", f"{found.by_chance:.1f}"),
        (
            "base to tuned minus base to itself",
            drawn,
            _scaled(found.solved_beyond, n),
            _scaled(found.lost_beyond, n),
        ),
    ]
    if found.again_solved is not None:
        rows.append(("base to base again, other seeds", str(count), str(found.again_solved), str(found.again_lost)))
    yield Table(("questions", "answers each", "newly solved", "newly lost"), rows)


def _questions(number: float) -> str:
    return str(number) if number == int(number) else f"{number:.1f}"


def _scaled(difference: Difference, n: int) -> str:
    """A difference of the questions' chances as a number of questions."""
    value, low, high = signed(*(n * end / 100 for end in (difference.value, difference.low, difference.high)))
    return f"{value} [{low}, {high}]"


def _numbers(ks: Sequence[int]) -> str:
    """Numbers of answers in words, such as "1 to 3 and 7 answers"."""
    runs = [[k for _, k in group] for _, group in groupby(enumerate(ks), lambda pair: pair[1] - pair[0])]
    named = [each for run in runs for each in ([f"{run[0]} to {run[-1]}"] if len(run) > 2 else map(str, run))]
    words = ", ".join(named[:-1]) + " and " * bool(named[1:]) + named[-1]
    return f"{words} answer{'' if list(ks) == [1] else 's'}"
