"""The result to paste elsewhere, in words and as a table: Markdown, LaTeX, BibTeX; and the command that repeats it."""

from __future__ import annotations

import re

from harness.report.document import Table
from harness.report.markdown import table_lines
from harness.report.summary import Summary
from harness.runs.directory import RunDir

_SPECIAL = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$", "≥": r"$\geq$",
    "<": "$<$", ">": "$>$", **{each: f"\\{each}" for each in "&%$#_{}"},
}  # fmt: skip
_TO_ESCAPE = re.compile("|".join(map(re.escape, _SPECIAL)))


def texts(run: RunDir, numbers: Summary, evidence: Table) -> dict[str, str]:
    """By name; evidence: the rates and differences."""
    name, sentence = run.path.resolve().name, numbers.verdict.sentence
    commit = next((made.commit for made in run.read_manifest().made_with.values() if made.commit), None)
    table = [evidence.head, *evidence.rows]
    rows = [" & ".join(map(latex, row)) + r" \\" for row in table]
    columns = "l" + "r" * (len(evidence.head) - 1)
    tabular = [rf"\begin{{tabular}}{{{columns}}}", rows[0], r"\hline", *rows[1:], r"\end{tabular}"]
    made_of = f"settings {numbers.digest}, questions {numbers.conditions.data[:16]}"
    fields = {"title": f"{name}: {sentence}", "note": made_of}
    if commit:
        fields["howpublished"] = f"GRPO experiment, harness {commit[:12]}"
    entry = ",\n".join(f"  {field} = {{{{{latex(value)}}}}}" for field, value in fields.items())
    checkout = [f"git checkout {commit}"] if commit else []
    return {
        "Markdown": "\n".join([f"**{name}**: {sentence}", "", *table_lines(evidence.head, evidence.rows)]),
        "LaTeX": "\n".join([f"% {sentence}", *tabular]),
        "BibTeX": f"@misc{{{re.sub(r'[^A-Za-z0-9:._-]', '-', name)},\n{entry}\n}}",
        "Command": "\n".join([*checkout, "python -m harness.run config.yaml"]),
    }


def latex(text: str) -> str:
    return _TO_ESCAPE.sub(lambda match: _SPECIAL[match[0]], text)
