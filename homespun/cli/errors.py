"""How an error is printed: what is wrong, what to do next, in one screen, and without a traceback."""

from __future__ import annotations

import errno
import os
import sys
import textwrap
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from shutil import get_terminal_size
from typing import Any

import click

from homespun.cli.screens.plain import colours, visible
from homespun.errors import HomespunError, HomespunWarning
from homespun.machine.device import is_out_of_memory

LABEL = "error:"
MOST_LINES = 20  # a terminal has 24, and the command that was typed should stay in sight
MOST_CHARACTERS = 1600
INTERRUPTED = 130

# Where the machine says no, and not a mistake of ours.
REFUSALS = {
    errno.ENOSPC: "The disk is full",
    errno.EDQUOT: "Your share of the disk is used up",
    errno.EROFS: "The disk can only be read from",
    errno.EACCES: "There is no permission",
    errno.EPERM: "There is no permission",
    errno.EMFILE: "Too many files are open",
    errno.ENFILE: "Too many files are open",
    errno.EIO: "The disk does not answer as it should",
}
ADVICE = {
    errno.ENOSPC: "Make room on it, or choose a folder on another disk.",
    errno.EDQUOT: "Delete what you no longer need, or choose a folder on another disk.",
}


@dataclass(frozen=True)
class Complaint:
    """What is printed for an error, and the exit code."""

    what: str
    todo: str
    code: int


def tell(error: BaseException) -> int:
    """Prints what is wrong on standard error; returns the exit code. HOMESPUN_DEBUG=1 adds the traceback."""
    if is_interruption(error):
        behind_it = "\n" if sys.stderr.isatty() else ""  # the terminal has just shown ^C
        click.echo(f"{behind_it}interrupted", err=True)
        return INTERRUPTED
    if os.environ.get("HOMESPUN_DEBUG"):
        click.echo("".join(traceback.format_exception(type(error), error, error.__traceback__)), err=True)
    complaint = complaint_about(error)
    text = fit(f"{LABEL} {complaint.what}", complaint.todo)
    if colours(sys.stderr):
        text = text.replace(LABEL, click.style(LABEL, fg="red", bold=True), 1)
    click.echo(text, err=True)
    return complaint.code


@contextmanager
def notes_of_warnings() -> Iterator[None]:
    """Prints each HomespunWarning once, as a note on standard error."""
    printed: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *where: Any) -> None:
        if not issubclass(category, HomespunWarning):
            usual(message, category, *where)
        elif str(message) not in printed:
            printed.add(str(message))
            click.echo(visible(f"note: {message}"), err=True)

    with warnings.catch_warnings():
        usual = warnings.showwarning
        warnings.showwarning = show  # type: ignore[assignment]
        warnings.simplefilter("always", HomespunWarning)
        yield


def is_interruption(error: BaseException) -> bool:
    return isinstance(error, (KeyboardInterrupt, click.Abort))


def complaint_about(error: BaseException) -> Complaint:
    """What to say of this error."""
    if isinstance(error, HomespunError):
        return Complaint(error.what, error.todo, error.exit_code)
    if isinstance(error, click.ClickException):
        return complaint_of_click(error)
    if isinstance(error, MemoryError) or is_out_of_memory(error):
        return Complaint(
            "There is not enough memory for this.",
            "Close other programs, or choose less: a smaller --size, a shorter --context, a smaller batch_size.",
            1,
        )
    if isinstance(error, OSError) and error.errno in REFUSALS:
        where = f" ({error.filename})" if error.filename else ""
        return Complaint(
            f"{REFUSALS[error.errno]}{where}.", ADVICE.get(error.errno, f"The system says: {error.strerror}."), 1
        )
    return Complaint(
        f"homespun made a mistake: {type(error).__name__}: {error}",
        "This is a bug of ours, not of yours. The same command with HOMESPUN_DEBUG=1 before it\n"
        "shows where it happened; please report it with what that prints.",
        1,
    )


def complaint_of_click(error: click.ClickException) -> Complaint:
    """Of an option or argument that click did not understand."""
    context = getattr(error, "ctx", None)
    todo = []
    what = error.message if isinstance(error, click.NoSuchOption) else error.format_message()
    if isinstance(error, click.NoSuchOption):
        if error.possibilities:
            todo.append(f"Did you mean {' or '.join(sorted(error.possibilities))}?")
        else:
            todo.append('A text that begins with a dash is given behind --, as in: -- "- a list"')
    if context is not None:
        if isinstance(error, click.MissingParameter):
            todo.append(context.command.get_usage(context).replace("Usage: ", "It is written:  "))
        todo.append(f"{context.command_path} --help says more.")
    return Complaint(what, "\n".join(todo), error.exit_code)


def fit(what: str, todo: str) -> str:
    """Both as lines of a terminal's width, together no more than a screen.

    >>> print(fit("error: No such thing.", "Do this."))
    error: No such thing.
      Do this.
    """
    width = min(get_terminal_size((100, 24)).columns, 100)
    todo_lines = folded(todo, width, "  ")[: MOST_LINES // 2]
    what_lines = folded(what, width, "")
    room = MOST_LINES - len(todo_lines)
    if len(what_lines) > room:
        what_lines = [*what_lines[: room - 1], "…"]
    return "\n".join(what_lines + todo_lines)


def folded(text: str, width: int, indent: str) -> list[str]:
    """The lines of a text, folded between words. A command stays on one line, so that it can be copied."""
    lines = []
    for line in visible(text[:MOST_CHARACTERS]).splitlines():
        if line.lstrip().startswith(("homespun ", "pip ", "HOMESPUN_")):
            lines.append(indent + line)
        else:
            lines += textwrap.wrap(
                line,
                max(width, 20),
                initial_indent=indent,
                subsequent_indent=indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
    return lines
