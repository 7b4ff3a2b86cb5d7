"""What the report says: each section a function (run, numbers) -> Section, drawn as Markdown and as a page alike.

A section that has nothing to say is None. To add one, write its function and put it in its place in SECTIONS.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.report.document import Section
from harness.report.sections import learning_curve, provenance, results, robustness, training
from harness.report.summary import Summary
from harness.runs.directory import RunDir

# In the order in which they are read; those of PAGE_ONLY are left out of the Markdown.
SECTIONS: tuple[Callable[[RunDir, Summary], Section | None], ...] = (
    results.opening, results.reading, robustness.seeds, results.decomposition, robustness.panel, robustness.of_samples,
    robustness.truncation, robustness.noise_floor, results.completions, training.training,
    learning_curve.learning_curve, training.curves, training.rollouts, training.proof, provenance.provenance,
    provenance.settings, results.questions,
)  # fmt: skip
PAGE_ONLY = (training.curves, provenance.settings)


def read(run: RunDir, numbers: Summary) -> tuple[list[Section], list[Section]]:
    """The report's sections for Markdown and for the page; one that has nothing to say is left out."""
    made = [(function, section) for function in SECTIONS if (section := function(run, numbers))]
    return [section for function, section in made if function not in PAGE_ONLY], [section for _, section in made]
