"""What a person sees while a stage works: lines, and a progress bar that is quiet when nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

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

_console = Console(highlight=False, soft_wrap=True)


def say(message: str) -> None:
    """Print one plain line (no markup: model text and file names may hold brackets)."""
    _console.print(message, markup=False)


def markdown(text: str) -> None:
    """Show Markdown in the terminal; as it stands when the output is a file or a pipe."""
    if _console.is_terminal:
        from rich.markdown import Markdown

        _console.print(Markdown(text))
    else:
        sys.stdout.write(text + "\n")


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; where the terminal is too narrow, cells wrap."""
    grid = Table(title=caption or None, title_justify="left")
    for column in columns:
        grid.add_column(column)
    for row in rows:
        grid.add_row(*map(escape, row))
    _console.print(grid)


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
