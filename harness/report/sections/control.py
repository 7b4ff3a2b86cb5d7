"""The report's section about the control: the same trainings on rewards that say nothing about the answer."""

from __future__ import annotations

from collections.abc import Iterator

from harness.report import charts
from harness.report.charts import Row
from harness.report.document import Figure, Section, Table
from harness.report.summary import Control, Summary
from harness.report.wording import CONTROL_REWARDS, difference_mark, p_text, points, rate_text
from harness.runs.directory import RunDir
from harness.stats import finding
from harness.stats.scores import COMPARED, QUANTITIES


def control(run: RunDir, numbers: Summary) -> Section | None:
    """What of the gain a meaningless reward gives too; None without a control."""
    if (found := numbers.control) is None:
        return None
    rows, what = [], CONTROL_REWARDS[found.reward]
    for name in COMPARED:
        rates = [rate_text(getattr(side, name)) for side in (numbers.base, found.tuned, numbers.tuned)]
        gains = [points(getattr(each, name)) for each in (found.gain, numbers.difference, found.difference)]
        rows.append((QUANTITIES[name].label, *rates, *gains, p_text(getattr(found.difference, name))))
    title = "Change of accuracy in points, with 95% intervals"
    drawn = [
        Row(label, (difference_mark(difference.accuracy),))
        for label, difference in (
            (f"{what}, minus base", found.gain),
            ("the experiment's rewards, minus base", numbers.difference),
            ("difference of the two gains", found.difference),
        )
    ]
    compared = (
        "Each seed is compared with its own control."
        if numbers.several
        else "Each is one training: how much another seed of either would change is not included."
    )
    words = (
        f"The control is the same training, with the same seed, questions and number of steps, on {what}. "
        "A gain that it shows too does not come from rewards for right answers. Both gains are over the same base, so "
        f"that their difference is tuned minus control, question by question. {compared}"
    )
    if others := "; ".join(_others(found)):
        words += f" After this training, compared with the control: {others}."
    columns = ("", "base", "control", "tuned", "control's gain", "gain", "difference of the gains", "p")
    return Section(
        "Against a control",
        [found.sentence, Figure("control", title, charts.forest("control", title, drawn, zero=True)), words,
         Table(columns, rows)],
    )  # fmt: skip


def _others(found: Control) -> Iterator[str]:
    """What else is detected to differ from the control, as a reader of the sentence on accuracy would not guess."""
    for name in COMPARED:
        difference = getattr(found.difference, name)
        if name != "accuracy" and (way := finding.of(difference).detected):
            side = {"up": "higher", "down": "lower"}[way]
            yield f"{QUANTITIES[name].label.lower()} is {side} ({points(difference)} points, p {p_text(difference)})"
