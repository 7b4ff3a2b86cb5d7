"""One accuracy table for many runs, and never one for runs that cannot be compared.

    python -m harness.compare results/*
    python -m harness.compare results/* --out compare.html
    python -m harness.compare results/* --format csv --intervals bootstrap

Runs share a table if their base, data, prompts, scorer, sampling, token limit and engine are the same; otherwise each
comparable group has its own table, and the fields in which the groups differ are named. Below it is every run minus
every other, paired: for up to 6 runs, on the page for up to 20 (a matrix), in JSON for any number. A run of several
training seeds is shown with the mean over them: gained and lost are then counts for each seed, and p, marked (seeds),
is that of the interval over them.
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

from harness.config import arguments
from harness.util.cli import Parser, exit_code
from harness.util.errors import HarnessError

# The formats by the endings of --out.
ENDINGS = {".txt": "table", ".md": "md", ".csv": "csv", ".json": "json", ".html": "html"}


def main(argv: list[str] | None = None) -> int:
    parser = Parser("compare", __doc__)
    arguments.add_runs(parser)
    parser.add_argument("--format", choices=ENDINGS.values(), help="default: table, or by the ending of --out")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write there instead of to standard output")
    parser.add_argument("--intervals", choices=("wilson", "bootstrap"), default="wilson", help="for single runs")
    parser.add_argument("--strict", action="store_true", help="refuse runs that are not all comparable")
    args = parser.parse(argv)
    from harness.compare import groups as run_groups
    from harness.compare.formats import show
    from harness.util import files
    from harness.util.console import say
    from harness.util.text import one_line

    parted = run_groups.comparable(run_groups.load(args.runs))
    if not parted:
        raise HarnessError("none of the arguments is a finished run; give run directories, such as results/*")
    if args.strict and len(parted) > 1:
        raise HarnessError(
            f"the runs cannot be compared: they differ in {', '.join(run_groups.parting_fields(parted))}"
        )
    if args.out and args.out.is_dir():
        raise HarnessError(f"--out: {args.out} is a directory; give a file in it")
    if not args.out:
        show(parted, args.format or "table", args.intervals, Path())
        return 0
    form = args.format or ENDINGS.get(args.out.suffix)
    if not form:
        raise HarnessError(
            f"--out: {args.out} does not end in one of {', '.join(ENDINGS)}; change the name, or give --format"
        )
    with contextlib.redirect_stdout(io.StringIO()) as written:
        show(parted, form, args.intervals, args.out.parent)
    files.write_text(args.out, written.getvalue())
    say(f"Written: {one_line(str(args.out))}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
