"""What a person sees while a stage works: lines, and a progress bar that becomes a few lines without a terminal."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

from harness.util.interrupts import heed_interruption, importing, interruption
from harness.util.logs import LOG
from harness.util.startup import hidden

WIDE = 240  # characters a line where no terminal limits it
EVERY = 30.0  # seconds between two progress lines, in the log and where no bar is drawn
PUBLISH = 1.0  # seconds between two that another command shows


SHOWN = "HARNESS_PROGRESS"  # the file by which a process tells another, which shows several, how far it is


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise  # rich would end the process silently; cli.exit_code writes a line to the log


_console = _Console(highlight=False, soft_wrap=True, width=None if sys.stdout and sys.stdout.isatty() else WIDE)


def say(message: str, *, wrap: bool = False) -> None:
    """Print one plain line and log it; no markup, because model text and file names may hold brackets.

    With wrap=True a terminal breaks it between words: for sentences, not for what is copied, such as a path.
    """
    LOG.info(message.strip())
    _console.print(message, markup=False, soft_wrap=not (wrap and _console.is_terminal))


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Name the libraries that are imported, which takes seconds, and let Ctrl-C end the process at once."""
    say(f"Loading {what}.")
    # transformers loads scikit-learn if it is there, for a kind of generation that is not used here.
    with importing(), hidden("sklearn"):
        yield


@dataclass(frozen=True, slots=True)
class Shown:
    what: str  # as its own progress bar would say
    done: int = 0
    total: int = 0  # 0: work of unknown length
    left: float | None = None  # seconds; None: not known yet
    note: str = ""


def publish(shown: Shown) -> None:
    """Say how far this process is. It is for a person to see: after a kill or on a full disk, the old one may stay."""
    if not (name := os.environ.get(SHOWN)):
        return
    file = Path(name)
    part = file.with_name(f".{file.name}.part")
    try:
        part.write_text(json.dumps(asdict(shown)), encoding="utf-8")
        part.replace(file)
    except OSError:
        return


def published(file: Path) -> Shown | None:
    """The progress in a file; None if nothing was published."""
    try:
        return Shown(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


@contextmanager
def hushed(really: bool = True) -> Iterator[None]:
    """Drop what libraries print, from C too, in this process and in those that it starts meanwhile.

    For libraries that print while they load: their errors are exceptions, not lines. With really=False nothing is
    dropped.
    """
    if not really:
        yield
        return
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with open(os.devnull, "w") as nothing, _drawn_on(kept[0]):
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


@contextmanager
def _drawn_on(descriptor: int) -> Iterator[None]:
    """Draw on the terminal behind a descriptor, so that a spinner turns while libraries are hushed."""
    if not _console.is_terminal:
        yield
        return
    shown = _console.file
    with open(os.dup(descriptor), "w") as terminal:
        _console.file = terminal
        try:
            yield
        finally:
            _console.file = shown


def markdown(text: str) -> None:
    """Show Markdown rendered in a terminal, and as plain text when the output is a file or a pipe."""
    if _console.is_terminal:
        from rich.markdown import Markdown

        _console.print(Markdown(text), soft_wrap=False)  # soft wrapping crops what rich has not wrapped itself
    else:
        sys.stdout.write(text + "\n")


def table(caption: str, rows: Sequence[dict[str, str]], expendable: Sequence[str | tuple[str, ...]]) -> list[str]:
    """Print rows as a table that fits the terminal: with intervals on a second line, then without some columns.

    expendable: the columns that may be left out, the first one first, those of a tuple together. Returns those that
    were.
    """
    width = _console.width if _console.is_terminal else WIDE
    left_out: list[str] = []
    grid = _grid(caption, rows)
    if not _fits(grid, width):
        rows = [{name: text.replace(" [", "\n[") for name, text in row.items()} for row in rows]
        grid = _grid(caption, rows)
    for names in expendable:
        if _fits(grid, width):
            break
        left_out += [names] if isinstance(names, str) else names
        grid = _grid(caption, [{key: text for key, text in row.items() if key not in left_out} for row in rows])
    _console.print(grid, width=width)
    return left_out


def _fits(grid: Table, width: int) -> bool:
    return _console.measure(grid, options=_console.options.update(max_width=WIDE)).maximum <= width


def _grid(caption: str, rows: Sequence[dict[str, str]]) -> Table:
    grid = Table(title=escape(caption) or None, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for number, name in enumerate(rows[0]):
        grid.add_column(name, no_wrap=number == 0)
    for row in rows:
        grid.add_row(*map(escape, row.values()))
    return grid


@contextmanager
def side_by_side(titles: Sequence[str]) -> Iterator[Callable[[Sequence[str]], None]]:
    """Show growing texts in columns; yields update(texts). At the end they are shown in full.

    While they grow, their last lines are shown, as many as fit in the terminal. If the output is not a terminal, they
    are printed at the end, one after the other.
    """
    texts = [""] * len(titles)
    if not _console.is_terminal:
        yield lambda now: texts.__setitem__(slice(None), now)
        for title, text in zip(titles, texts, strict=True):
            say(f"--- {title}\n{text}")
        return
    with Live(console=_console, transient=True, refresh_per_second=8) as live:

        def update(now: Sequence[str]) -> None:
            texts[:] = now
            live.update(_columns(titles, texts, _console.height - 4))

        yield update
    _console.print(_columns(titles, texts, None))


@contextmanager
def board(caption: str) -> Iterator[Callable[[Sequence[dict[str, str]]], None]]:
    """A table that changes while work goes on elsewhere; yields update(rows), each with the same columns.

    If the output is not a terminal, the rows are printed every EVERY seconds, one a line.
    """
    if not _console.is_terminal:
        last_lines = time.monotonic()

        def lines(rows: Sequence[dict[str, str]]) -> None:
            nonlocal last_lines
            if time.monotonic() - last_lines >= EVERY:
                last_lines = time.monotonic()
                for row in rows:
                    say(", ".join(filter(None, row.values())))

        yield lines
        return
    with Live(console=_console, transient=True, auto_refresh=False) as live:
        yield lambda rows: live.update(_grid(caption, rows) if rows else "", refresh=True)


def _columns(titles: Sequence[str], texts: Sequence[str], lines: int | None) -> Table:
    """Texts side by side, or the last `lines` of each."""
    width = (_console.width - 1) // len(titles) - 1
    grid = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for title in titles:
        grid.add_column(title, width=width)
    wrapped = [Text(text).wrap(_console, width) for text in texts]
    grid.add_row(*(Text("\n").join(each[-lines:] if lines else each) for each in wrapped))
    return grid


@contextmanager
def progress(
    what: str, total: int, done: int = 0, *, unit: str = "completions"
) -> Iterator[Callable[[int, str], None]]:
    """A progress bar with an estimate of the time left; yields update(completed, note).

    If the output is not a terminal, a line is printed at the start, and then at most one every EVERY seconds with the
    count, the rate, the time left and the note. The run's log has these lines in either case, and a command that shows
    several stages is told as well. After Ctrl-C, the message says how far the work was.
    """
    tell = LOG.info if _console.is_terminal else say
    tell(f"{what}: {total} {unit}" + (f" ({done} done already)" if done else ""))
    publish(Shown(what, done, total))
    began = last_line = last_published = time.monotonic()
    at = done
    with _bar(what, total, done) as draw:

        def update(completed: int, note: str = "") -> None:
            nonlocal last_line, last_published, at
            at = completed
            heed_interruption()
            draw(completed, note)
            now = time.monotonic()
            rate = (completed - done) / (now - began)
            left = (total - completed) / rate if rate else None
            if now - last_published >= PUBLISH or completed == total:
                last_published = now
                publish(Shown(what, completed, total, left, note))
            if now - last_line >= EVERY and left is not None and completed < total:
                last_line = now
                line = f"{what}: {completed} of {total}, {rate:.3g} {unit}/s, {duration(left)} left"
                tell(line + f"; {note}" * bool(note))

        try:
            yield update
        except BaseException:
            if stopped := interruption():
                stopped.where = f"{what}, at {at} of {total} {unit}"
            raise


class _Note(TextColumn):
    """The column that a narrow terminal cuts first, together with the bar, so that counts and times stay whole."""

    def render(self, task: Task) -> Text:
        text = super().render(task)
        text.no_wrap, text.overflow = True, "ellipsis"
        return text


@contextmanager
def _bar(what: str, total: int, done: int) -> Iterator[Callable[[int, str], None]]:
    if not _console.is_terminal:
        yield lambda completed, note: None
        return
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        _Note("{task.fields[note]}", markup=False, table_column=Column()),
    ]
    with Progress(*columns, console=_console) as bar:
        task = bar.add_task(escape(what), total=total, completed=done, note="")
        yield lambda completed, note: bar.update(task, completed=completed, note=note)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Work of unknown length, named by a noun: a spinner with the time so far, or a line without a terminal.

    The duration goes to the run's log. After Ctrl-C, the message says what was interrupted.
    """
    began = time.monotonic()
    publish(Shown(what))
    try:
        heed_interruption()
        if _console.is_terminal:
            columns = [SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()]
            # No redirection: it would let through what a library prints in `hushed`.
            spinner = Progress(*columns, console=_console, transient=True, redirect_stdout=False, redirect_stderr=False)
            with spinner:
                spinner.add_task(escape(what), total=None)
                yield
        else:
            say(f"{what[0].upper()}{what[1:]}.")
            yield
    except BaseException:
        if stopped := interruption():
            stopped.where = stopped.where or what
        raise
    LOG.info(f"{what}: {time.monotonic() - began:.1f} s")


def show_cursor() -> None:
    """Show the terminal's cursor again: a progress bar hides it, and a killed stage leaves it hidden."""
    _console.show_cursor()


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
