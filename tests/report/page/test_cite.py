"""What can be pasted elsewhere is valid there, whatever a run is called."""

from __future__ import annotations

import re

from harness.report import summary
from harness.report.document import Table
from harness.report.page import cite
from tests.constructed import reported

EVIDENCE = Table(("3 questions", "difference, points"), [("100% & more", "−1.0 [−2.0, +0.0]")])


def test_what_latex_takes_for_commands_is_escaped():
    assert cite.latex("50% of {a_b} & ~$x^2 < #3\\") == (
        r"50\% of \{a\_b\} \& \textasciitilde{}\$x\textasciicircum{}2 $<$ \#3\textbackslash{}"
    )


def test_the_table_and_the_entry_hold_the_runs_own_words(tmp_path):
    run = reported(tmp_path, ["right"] * 30, ["right"] * 30)
    found = cite.texts(run, summary.read(run.path), EVIDENCE)
    assert list(found) == ["Markdown", "LaTeX", "BibTeX", "Command"]
    assert r"100\% \& more & $-$1.0 [$-$2.0, +0.0] \\" in found["LaTeX"]
    assert "| 100% & more | −1.0 [−2.0, +0.0] |" in found["Markdown"]
    entry = found["BibTeX"]
    assert "No difference in accuracy detected" in entry and entry.count("{") == entry.count("}")
    assert re.match(r"@misc\{[A-Za-z0-9:._-]+,\n", entry)
    assert found["Command"] == "python -m harness.run config.yaml"
