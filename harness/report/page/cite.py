"""The result to paste elsewhere, in words and as a table: Markdown, LaTeX, BibTeX; and the command that repeats it."""

from __future__ import annotations

import re

from harness.report.document import Table
from harness.report.markdown import table_lines
from harness.report.summary import Summary
from harness.report.wording import CONTROL_REWARDS, ended, identity_line, model_text
from harness.runs.directory import RunDir

AUTHOR = "The GRPO harness authors"  # as in CITATION.cff; who ran an experiment is not known
_SPECIAL = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$", "≥": r"$\geq$",
    "<": "$<$", ">": "$>$", **{each: f"\\{each}" for each in "&%$#_{}"},
}  # fmt: skip
_TO_ESCAPE = re.compile("|".join(map(re.escape, _SPECIAL)))


def texts(run: RunDir, numbers: Summary, evidence: Table) -> dict[str, str]:
    """By name; evidence: the rates and differences."""
    name, sentence = run.path.resolve().name, numbers.verdict.sentence
    manifest = run.read_manifest()
    made = next((made for made in manifest.made_with.values() if made.commit), None)
    changed = any(each.dirty for each in manifest.made_with.values())
    table = [evidence.head, *evidence.rows]
    rows = [" & ".join(map(latex, row)) + r" \\" for row in table]
    columns = "l" + "r" * (len(evidence.head) - 1)
    tabular = [rf"\begin{{tabular}}{{{columns}}}", rows[0], r"\hline", *rows[1:], r"\end{tabular}"]
    made_of = (
        f"base model {model_text(numbers.identity)}, settings {numbers.digest}, "
        f"questions {numbers.conditions.data[:16]}"
    )
    control = numbers.control
    if control:  # a run without one, or with another, has the same name and settings
        made_of += f", control on {CONTROL_REWARDS[control.reward]}"
    fields = {"author": AUTHOR, "title": f"{name}: {sentence}"}
    if day := ended(manifest):
        fields["year"] = day[:4]
    fields["note"] = made_of
    if made:
        fields["howpublished"] = f"GRPO experiment, harness {made.commit[:12]}{' with changes' if changed else ''}"
    entry = ",\n".join(f"  {field} = {{{{{latex(value)}}}}}" for field, value in fields.items())
    checkout = [f"git checkout {made.commit}"] if made else []
    if made and changed:
        checkout.insert(0, "# The code had changes since this commit; manifest.json has them.")
    return {
        "Markdown": "\n".join(
            [
                f"**{name}**: {sentence}",
                "",
                identity_line(numbers, manifest),
                *(["", control.sentence] if control else []),
                "",
                *table_lines(evidence.head, evidence.rows),
            ]
        ),
        "LaTeX": "\n".join([f"% {sentence}", *tabular]),
        "BibTeX": f"@misc{{{re.sub(r'[^A-Za-z0-9:._-]', '-', name)},\n{entry}\n}}",
        "Command": "\n".join([*checkout, "python -m harness.run config.yaml"]),
    }


def latex(text: str) -> str:
    return _TO_ESCAPE.sub(lambda match: _SPECIAL[match[0]], text)
