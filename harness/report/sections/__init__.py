"""The report's sections: each a function (run, numbers) -> Section | None, used for both Markdown and page.

None means that the section does not apply to the run. To add one, write its function and put it into SECTIONS.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.report.document import Section
from harness.report.sections import learning_curve, provenance, results, robustness, training
from harness.report.summary import Summary
from harness.runs.directory import RunDir

# In the order of the report; those of PAGE_ONLY are left out of the Markdown.
SECTIONS: tuple[Callable[[RunDir, Summary], Section | None], ...] = (
    results.opening, results.reading, robustness.seeds, results.decomposition, robustness.panel, robustness.of_samples,
    robustness.truncation, robustness.noise_floor, results.completions, training.training,
    learning_curve.learning_curve, training.curves, training.rollouts, training.proof, provenance.provenance,
    provenance.settings, results.questions,
)  # fmt: skip
PAGE_ONLY = (training.curves, provenance.settings)


def read(run: RunDir, numbers: Summary) -> tuple[list[Section], list[Section]]:
    """The report's sections for Markdown and for the page, without those that are None."""
    made = [(function, section) for function in SECTIONS if (section := function(run, numbers))]
    return [section for function, section in made if function not in PAGE_ONLY], [section for _, section in made]
