"""What can be pasted elsewhere is valid there, whatever a run is called."""

from __future__ import annotations

import re

from harness.report import summary
from harness.report.document import Table
from harness.report.page import cite
from tests.conftest import ROOT
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
    assert "author = {{The GRPO harness authors}}" in entry and "note = {{base model tiny, settings " in entry
    assert "year" not in entry and "howpublished" not in entry  # an older run, not from a git checkout
    assert found["Command"] == "python -m harness.run config.yaml"
    assert "\n\ntiny; LoRA r 8; " in found["Markdown"]


def test_a_commit_with_changes_is_not_cited_as_the_commit_alone(tmp_path):
    run = reported(tmp_path, ["right"] * 30, ["right"] * 30)
    cost = {"start_seconds": 1.0, "seconds": 1.0, "tokens": 1, "peak_memory_mib": 1}
    for stage, dirty in (("base", False), ("tuned (seed 3407)", True)):
        made = {"commit": "a1" * 20, "dirty": dirty, "diff_sha256": "b" * 64 if dirty else None, "versions": {}}
        run.note("made_with", {stage: made})
        run.note("stages", {stage: cost | {"finished": "2026-11-29T12:00:00"}})
    found = cite.texts(run, summary.read(run.path), EVIDENCE)
    assert "year = {{2026}}" in found["BibTeX"]
    assert "howpublished = {{GRPO experiment, harness a1a1a1a1a1a1 with changes}}" in found["BibTeX"]
    assert found["Command"].startswith(
        "# The code had changes since this commit; manifest.json has them.\ngit checkout a1"
    )


def test_the_author_is_the_projects():
    assert f"- name: {cite.AUTHOR}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
