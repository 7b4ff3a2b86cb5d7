"""What a person sees while a stage works: lines, and a progress bar that is quiet when nobody watches."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

WIDE = 240  # characters a line where no terminal limits it
_console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)


def say(message: str) -> None:
    """Print one plain line (no markup: model text and file names may hold brackets)."""
    _console.print(message, markup=False)


@contextmanager
def hushed(really: bool = True) -> Iterator[None]:
    """Drop what libraries print, from C too, in this process and in those it starts meanwhile.

    For libraries that talk while they load: what goes wrong is an exception, not a line. With really=False nothing
    is dropped.
    """
    if not really:
        yield
        return
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with open(os.devnull, "w") as nothing:
        try:
            for number in (1, 2):
                os.dup2(nothing.fileno(), number)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, old in enumerate(kept, 1):
                os.dup2(old, number)
                os.close(old)


def markdown(text: str) -> None:
    """Show Markdown in the terminal; as it stands when the output is a file or a pipe."""
    if _console.is_terminal:
        from rich.markdown import Markdown

        _console.print(Markdown(text))
    else:
        sys.stdout.write(text + "\n")


def table(caption: str, rows: Sequence[dict[str, str]], wanted: Sequence[str]) -> None:
    """Print rows as a table: all columns where they fit, else the `wanted` ones with intervals on a second line."""
    full = _grid(caption, rows)
    width = _console.width if _console.is_terminal else WIDE  # of a terminal that the output does not go to, none
    if _console.measure(full, options=_console.options.update(max_width=WIDE)).maximum <= width:
        _console.print(full, width=width)
        return
    _console.print(_grid(caption, [{name: row[name].replace(" [", "\n[") for name in wanted} for row in rows]))
    say("A wider terminal, or --format md, csv or json, shows the other columns.")


def _grid(caption: str, rows: Sequence[dict[str, str]]) -> Table:
    grid = Table(title=escape(caption) or None, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for number, name in enumerate(rows[0]):
        grid.add_column(name, no_wrap=number == 0)
    for row in rows:
        grid.add_row(*map(escape, row.values()))
    return grid


@contextmanager
def progress(what: str, total: int, done: int = 0) -> Iterator[Callable[[int, str], None]]:
    """A progress bar with an estimate of the time left; yields update(completed, note).

    When the output is no terminal only one line at the start is printed.
    """
    if not _console.is_terminal:
        say(f"{what}: {total}" + (f" ({done} done already)" if done else ""))
        yield lambda completed, note="": None
        return
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    ]
    with Progress(*columns, console=_console) as bar:
        task = bar.add_task(what, total=total, completed=done, note="")
        yield lambda completed, note="": bar.update(task, completed=completed, note=note)
