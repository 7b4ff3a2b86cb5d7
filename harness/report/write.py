"""Writing a report: summary.json, plots, report.html and report.md from the files of the other stages."""

from __future__ import annotations

from harness.report import charts, html_report, sections, summarize, summary
from harness.report.document import Figure, Section
from harness.report.markdown import report_lines
from harness.report.sections import results
from harness.report.summary import Summary
from harness.runs import seals
from harness.runs.directory import RunDir
from harness.util import files
from harness.util.console import markdown, say
from harness.util.text import one_line, visible


def write(run: RunDir) -> Summary:
    """Write summary.json, plots/, report.html and, last, report.md; returns the summary. Raises HarnessError."""
    numbers = summarize.summarize(run)
    run.report.unlink(missing_ok=True)  # it is written last: a kill must not leave an old one with new numbers
    text, tabs = sections.read(run, numbers)
    content = {
        run.summary: summary.text(numbers),
        run.page: html_report.draw(run, numbers, tabs),
        run.report: visible("\n".join(report_lines(run, numbers, text))) + "\n",
    }
    figures = [block for section in text for block in section.blocks if isinstance(block, Figure)]
    content = {run.plots / f"{figure.name}.svg": charts.as_file(figure.svg) for figure in figures} | content
    seals.seal_texts(run, run.report, content, seals.hashes(run, run.drawn_from))
    for file, written in content.items():
        files.write_text(file, written)
    return numbers


def show(run: RunDir) -> None:
    """Print the report's verdict and first table, and where the report is. Raises HarnessError as `summary.read`."""
    numbers = summary.read(run.path)
    opening = results.opening(run, numbers)
    printed = Section("", [block for block in opening.blocks if not isinstance(block, Figure)])
    markdown(visible("\n".join(report_lines(run, numbers, [printed]))))
    say(f"\nReport: {one_line(str(run.report))}")
    if run.page.exists():
        say(f"Page:   {one_line(str(run.page))}")
