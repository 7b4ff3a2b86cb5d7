"""One accuracy table for many runs, and never one for runs that cannot be compared.

    python -m harness.compare results/*
    python -m harness.compare results/* --out compare.html
    python -m harness.compare results/* --format csv --intervals bootstrap

Runs share a table when their base, data, prompts, scorer, sampling, token limit and engine are the same; otherwise
each comparable group has its own, and the fields that part the groups are named. Under it stands every run minus
every other, paired: of up to 6 runs, on the page of up to 20 (a matrix), in JSON of any number. A run of several
training seeds stands with the mean over them: gained and lost then are counts a seed, and p, marked so, is that of its
t interval.
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

from harness.compare import groups as run_groups
from harness.compare.formats import FORMATS, show
from harness.util import files
from harness.util.cli import Parser, exit_code
from harness.util.console import say
from harness.util.errors import HarnessError
from harness.util.text import one_line

ENDINGS = {".txt": "table", ".md": "md", ".csv": "csv", ".json": "json", ".html": "html"}


def main(argv: list[str] | None = None) -> int:
    parser = Parser("compare", __doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directories, such as results/*")
    parser.add_argument("--format", choices=FORMATS, help="default: table, or what the ending of --out says")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write there instead of to standard output")
    parser.add_argument("--intervals", choices=("wilson", "bootstrap"), default="wilson", help="of single runs")
    parser.add_argument("--strict", action="store_true", help="refuse runs that are not all comparable")
    args = parser.parse(argv)
    parted = run_groups.comparable(run_groups.load(args.runs))
    if not parted:
        raise HarnessError("no finished run among the arguments; give run directories, such as results/*")
    if args.strict and len(parted) > 1:
        raise HarnessError(
            f"the runs cannot be compared: they differ in {', '.join(run_groups.parting_fields(parted))}"
        )
    if args.out and args.out.is_dir():
        raise HarnessError(f"--out: {args.out} is a directory; name a file in it")
    if not args.out:
        show(parted, args.format or "table", args.intervals, Path())
        return 0
    form = args.format or ENDINGS.get(args.out.suffix)
    if not form:
        raise HarnessError(f"--out: {args.out} ends in none of {', '.join(ENDINGS)}; name it so, or give --format")
    with contextlib.redirect_stdout(io.StringIO()) as written:
        show(parted, form, args.intervals, args.out.parent)
    files.write_text(args.out, written.getvalue())
    say(f"Written: {one_line(str(args.out))}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
