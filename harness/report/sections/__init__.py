"""The report's sections: each a function (run, numbers) -> Section | None, used for both Markdown and page.

None means that the section does not apply to the run. To add one, write its function and put it into SECTIONS.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.report.document import Section, Tab
from harness.report.sections import ability, control, learning_curve, provenance, results, robustness, tasks, training
from harness.report.summary import Summary
from harness.runs.directory import RunDir

Made = Callable[[RunDir, Summary], Section | None]

# In the order of the Markdown, each with its tab of the page; those of PAGE_ONLY are left out of the Markdown.
SECTIONS: dict[Made, str] = {
    results.opening: "Result",
    results.reading: "Result",
    tasks.tasks: "Result",
    robustness.seeds: "Result",
    control.control: "Result",
    results.decomposition: "Result",
    robustness.panel: "Result",
    ability.elicited: "Result",
    ability.of_samples: "Result",
    robustness.truncation: "Result",
    robustness.noise_floor: "Result",
    results.completions: "Details",
    training.training: "Training",
    learning_curve.learning_curve: "Training",
    training.curves: "Training",
    training.rollouts: "Training",
    training.proof: "Details",
    provenance.provenance: "Details",
    provenance.settings: "Details",
    results.words: "Details",
    results.questions: "Questions",
}
TABS = ("Result", "Questions", "Training", "Details")
PAGE_ONLY = (training.curves, provenance.settings, results.words)


def read(run: RunDir, numbers: Summary) -> tuple[list[Section], list[Tab]]:
    """The sections for the Markdown, and the tabs of the page, both without the sections that are None."""
    made = {function: section for function in SECTIONS if (section := function(run, numbers))}
    tabs = [Tab(title, [made[function] for function, tab in SECTIONS.items() if tab == title and function in made])
            for title in TABS]  # fmt: skip
    return [section for function, section in made.items() if function not in PAGE_ONLY], tabs
