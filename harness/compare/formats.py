"""A comparison as a terminal table, Markdown, CSV, JSON or a page."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.compare import conditions
from harness.compare import groups as run_groups
from harness.compare import pairs as run_pairs
from harness.compare.groups import Group, Run
from harness.report.markdown import table_lines
from harness.util.console import say, table
from harness.util.text import INVISIBLE, one_line


def show(parted: Sequence[Group], form: str, intervals: str, folder: Path) -> None:
    """Print the comparison in one of the formats; the page's links are relative to `folder`."""
    if form == "html":
        text = page(parted, intervals, folder)
        print(text if _is_utf8() else text.encode("ascii", "xmlcharrefreplace").decode(), end="")
    elif form == "json":
        print(_json(parted))
    elif form == "csv":
        print(_csv(parted), end="")
    else:
        _tables(parted, intervals, markdown=form == "md")


def _tables(parted: Sequence[Group], intervals: str, *, markdown: bool) -> None:
    fields = run_groups.parting_fields(parted)
    if len(parted) > 1:
        say(f"{len(parted)} groups that cannot be compared with each other; they differ in: {', '.join(fields)}.\n")
    for number, group in enumerate(parted, 1):
        values = run_groups.parted_by(group, fields)
        caption = one_line(f"Group {number}: " + ", ".join(f"{k} {v}" for k, v in values.items())) if fields else ""
        rows = [run_groups.row(run, intervals) for run in group]
        title, pairs, notes = run_pairs.lines(group)
        if markdown:
            print(_markdown(caption, rows, [*([run_groups.MEANING] if number == 1 else []), *run_groups.lines(group)]))
            if pairs or notes:
                print(_markdown(title, pairs, [run_pairs.MEANING, *notes] if pairs else notes))
            continue
        if number > 1:
            say("")
        _table(caption, rows, run_groups.EXPENDABLE)
        for line in [*([run_groups.MEANING, ""] if number == 1 else []), *run_groups.lines(group)]:
            say(line, wrap=True)
        if pairs or notes:
            say("")
        if pairs:
            _table(title, pairs, run_pairs.EXPENDABLE)
            say(run_pairs.MEANING, wrap=True)
        for line in notes:
            say(line, wrap=True)


def _table(caption: str, rows: list[dict[str, str]], expendable: Sequence[str | tuple[str, ...]]) -> None:
    if left_out := table(caption, rows, expendable):
        say(f"A wider terminal, or --format md, csv or json, also shows: {', '.join(left_out)}.", wrap=True)


def _is_utf8() -> bool:
    """Whether standard output can encode any text, as a file of --out can."""
    return (sys.stdout.encoding or "utf-8").lower() in ("utf-8", "utf8")


def page(parted: Sequence[Group], intervals: str, folder: Path) -> str:
    """The comparison as one HTML file; its links to the runs' reports are relative to `folder`."""
    from harness.compare import page as compare_page

    fields = run_groups.parting_fields(parted)
    sections = [
        compare_page.Section(
            runs=group,
            rows=[run_groups.row(run, intervals) for run in group],
            parted_by=run_groups.parted_by(group, fields),
            conditions={name: conditions.spelled(value) for name, value in group[0].conditions.items()},
            settings={
                key: [run_groups.spelled(run.settings[key]) if key in run.settings else "" for run in group]
                for key in run_groups.differing(group)
            },
        )
        for group in parted
    ]
    return compare_page.draw(sections, folder, intervals)


def _json(parted: Sequence[Group]) -> str:
    """Every number, as in summary.json; what the runs of a group share is given once for the group."""
    listed = [
        {
            "conditions": group[0].conditions,
            "runs": [_plain(run) for run in group],
            "differences": run_pairs.numbers(group),
        }
        for group in parted
    ]
    whole = {"groups": listed, "parted_by": run_groups.parting_fields(parted)}
    text = json.dumps(whole, indent=2, ensure_ascii=not _is_utf8())
    return INVISIBLE.sub(lambda match: json.dumps(match[0])[1:-1], text)


def _plain(run: Run) -> dict[str, Any]:
    numbers = run_groups.plain(run.summary)
    del numbers["conditions"]
    return {"run": run.name, "settings": run.settings} | numbers


def _csv(parted: Sequence[Group]) -> str:
    """One line for each run, one column for each number, as proportions."""
    rows = [{"group": number} | run_groups.numbers(run) for number, group in enumerate(parted, 1) for run in group]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _markdown(caption: str, rows: list[dict[str, str]], notes: list[str]) -> str:
    lines = [f"**{caption}**\n"] if caption else []
    if rows:
        lines += table_lines(rows[0], (row.values() for row in rows))
    if notes:
        lines += ["", *(f"- {line}" for line in notes)]
    return "\n".join(lines) + "\n"
