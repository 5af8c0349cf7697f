"""Where a talk is held: lines are read and edited, answers appear as they come, Ctrl-C stops them.

Lines are edited by readline, which comes with Python: arrows, history, search, the keys that every
shell has, and pasted lines stay together. A history that outlives the talk would be a record of it
that nobody asked for.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from homespun.cli.errors import complaint_about, fit
from homespun.cli.screens.plain import colours, shows_unicode, visible, write
from homespun.errors import HomespunError, TextUnreadable

if TYPE_CHECKING:
    from homespun.generation.chat import Answer

MORE = "\\"  # at the end of a line: what is said goes on in the next one


class Pressed:
    """Whether Ctrl-C was pressed."""

    yes = False


class Screen:
    """A terminal; or standard input and output without one, where only what the model says is written."""

    def __init__(self) -> None:
        self.terminal = sys.stdin.isatty() and sys.stdout.isatty()
        self.coloured = self.terminal and colours(sys.stdout)
        if self.terminal:
            prepare_editing()

    def read(self) -> str | None:
        """What is said next, in one line or in several that end with a backslash; None where nothing more is."""
        if not self.terminal:
            return read_lines()
        try:
            return self.read_edited()
        except KeyboardInterrupt:  # so quickly after the first that the prompt was not back yet
            write("\n")
            return None

    def read_edited(self) -> str | None:
        """The same at a prompt. The first Ctrl-C only says what a second one does."""
        interrupted = False
        while True:
            try:
                return self.ask_lines()
            except UnicodeDecodeError:
                self.note("That was no text in UTF-8.")
            except EOFError:
                write("\n")
                return None
            except KeyboardInterrupt:
                write("\n")
                if interrupted:
                    return None
                interrupted = True
                self.note("Ctrl-C again leaves. /save FILE keeps what was said.")

    def ask_lines(self) -> str:
        lines = [input(self.prompt("> "))]
        while lines[-1].endswith(MORE):
            lines[-1] = lines[-1].removesuffix(MORE)
            lines.append(input(self.prompt(". ")))
        return "\n".join(lines)

    def prompt(self, text: str) -> str:
        """In colour, where the editor can be given the characters that take no room."""
        if not self.coloured or editor() != "readline":
            return text
        return f"\x01\x1b[1;36m\x02{text}\x01\x1b[0m\x02"

    def show(self, answer: Answer, *, goes_on: bool) -> None:
        """The answer as it comes. goes_on: it continues what was typed, which a sign says in a terminal."""
        if self.terminal and goes_on:
            write(self.dim("… " if shows_unicode(sys.stdout) else "... "))
        with ctrl_c() as pressed:
            for piece in answer:
                write(visible(piece) if self.terminal else piece)
                if pressed.yes:
                    answer.stop()
        if not answer.text.endswith("\n"):
            write("\n")
        if pressed.yes:
            self.note("stopped")
        elif not answer.text and self.terminal:
            self.note("It says nothing: to this model, the text ends here.")

    def title(self, name: str) -> None:
        write(click.style(visible(name), bold=True) + "\n" if self.coloured else visible(name) + "\n")

    def note(self, text: str) -> None:
        """Something that the model does not say: in a terminal between the lines, else on standard error."""
        if self.terminal:
            write("".join(self.dim(visible(line)) + "\n" for line in text.split("\n")))
        else:
            click.echo(visible(text), err=True)

    def complain(self, error: HomespunError) -> None:
        complaint = complaint_about(error)
        text = fit(complaint.what, complaint.todo)
        write((click.style(text, fg="red") if self.coloured else text) + "\n")

    def dim(self, text: str) -> str:
        return click.style(text, dim=True) if self.coloured else text


def read_lines() -> str | None:
    """From a pipe or a file. Raises TextUnreadable."""
    try:
        line = sys.stdin.readline()
        if not line:
            return None
        lines = [line.removesuffix("\n").removesuffix("\r")]
        while lines[-1].endswith(MORE):
            lines[-1] = lines[-1].removesuffix(MORE)
            lines.append(sys.stdin.readline().removesuffix("\n").removesuffix("\r"))
    except UnicodeDecodeError:
        raise TextUnreadable("Standard input is not a text in UTF-8.", "What is said is plain text.") from None
    return "\n".join(lines)


@contextmanager
def ctrl_c() -> Iterator[Pressed]:
    """While the block runs, Ctrl-C is only noted: a step of the model shall not be torn apart. A second one,
    where the first brings nothing, interrupts as usual."""
    pressed = Pressed()

    def note(*lines: Any) -> None:
        if pressed.yes:
            raise KeyboardInterrupt
        pressed.yes = True

    if threading.current_thread() is not threading.main_thread():  # where Python lets nobody listen
        yield pressed
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def prepare_editing() -> None:
    """`input` edits lines from the moment that readline is imported. Tab completes the commands."""
    try:
        import readline
    except ImportError:  # some builds of Python have none: lines are then read as they are typed
        return
    from homespun.cli.chat_commands import COMMANDS

    def complete(text: str, number: int) -> str | None:
        found = [f"/{name}" for name in COMMANDS if f"/{name}".startswith(text)] if text.startswith("/") else []
        return found[number] if number < len(found) else None

    readline.set_completer_delims(" \n")
    readline.set_completer(complete)
    readline.parse_and_bind("bind ^I rl_complete" if editor() == "editline" else "tab: complete")


def editor() -> str:
    """Which library it is: "readline", "editline" (macOS), or "" where there is none."""
    readline = sys.modules.get("readline")
    if readline is None:
        return ""
    return "editline" if "libedit" in (readline.__doc__ or "") else "readline"
