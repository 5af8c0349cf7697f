"""Tables, facts and progress in the terminal. Imported when something is to be shown, because rich is."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from homespun.cli.screens.plain import visible
from homespun.fetch.progress import downloads_reported, each_once, how_far

NOTES_SHOWN = 12
UNITS = ("B", "KB", "MB", "GB", "TB")


class PlainConsole(Console):
    """rich's console, but a reader that went away is left to `main`, which knows that it is no failure."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console(*, errors: bool = False) -> Console:
    """Standard output (or standard error) as it is now. Nothing in a text is taken for markup or an emoji code."""
    stream = sys.stderr if errors else sys.stdout
    return PlainConsole(file=stream, markup=False, emoji=False, highlight=False)


def table(*columns: str, right: Sequence[str] = ()) -> Table:
    """An empty table, light enough for 80 columns; the columns named in `right` hold numbers."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def facts(rows: Sequence[tuple[str, str]], title: str = "") -> Table:
    """Names and what they are, side by side, under a title."""
    made = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    made.title, made.title_justify, made.title_style = (title or None), "left", "bold"
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(name, Text(visible(value)))
    return made


def flow(items: Sequence[str], width: int) -> str:
    """Items side by side, as many as fit on a line, none of them torn.

    >>> flow(["space 12", "e 3", "t 1"], 15)
    'space 12  e 3\\nt 1'
    """
    lines = [""]
    for item in items:
        longer = f"{lines[-1]}  {item}" if lines[-1] else item
        if cell_len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(item)
    return "\n".join(line for line in lines if line)


def indented(text: str, style: str = "") -> Padding:
    """A paragraph of a text's own, as it is but for what would steer the terminal."""
    return Padding(Text(visible(text), style=style), (0, 0, 0, 2))


def size_in_words(count: float) -> str:
    """Bytes as a person says them.

    >>> size_in_words(65), size_in_words(1_115_394), size_in_words(25_000_000_000)
    ('65 B', '1.1 MB', '25 GB')
    """
    for unit in UNITS:
        if count < 999.5 or unit == UNITS[-1]:
            break
        count /= 1000
    return f"{count:.0f} {unit}" if count >= 9.95 or unit == "B" else f"{count:.1f} {unit}"


def show_notes(out: Console, notes: Sequence[str], title: str) -> None:
    """What was noticed in reading a text, under a title; nothing where nothing was."""
    if not notes:
        return
    more = len(notes) - NOTES_SHOWN
    shown = [*notes[:NOTES_SHOWN], *([f"and {more:,} more: --json has all of them"] if more > 0 else [])]
    out.print(Text(f"\n{title}", "bold"))
    out.print(facts([("-", note) for note in shown]))


@contextmanager
def working(label: str) -> Iterator[None]:
    """Says on standard error that something is going on while the block runs, and what is downloaded meanwhile.

    In a terminal on a line that goes away; elsewhere it says of downloads alone, a line each.
    """
    out = console(errors=True)
    if not out.is_terminal:
        with downloads_reported(each_once(partial(print, file=out.file, flush=True))):
            yield
        return
    with out.status(f"{label} …") as status:

        def show(name: str, done: int, size: int) -> None:
            line = f"{label} …" if done == size else visible(how_far(name, done, size))
            status.update(Text(line))

        with downloads_reported(show):
            yield
