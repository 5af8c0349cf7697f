"""What begins with a slash in `homespun chat`."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from homespun.cli.chat import NO_SYSTEM, one_line, read_file
from homespun.errors import TextUnreadable, UsageError

if TYPE_CHECKING:
    from homespun.cli.chat import Session

NONE = "-"


def obey(session: Session, line: str) -> bool:
    """Does what a command says; False where it is the one to leave. Raises UsageError for one that is none."""
    name, _, argument = line.removeprefix("/").partition(" ")
    argument = argument.strip()
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"Did you mean /{near[0]}?" if near else "/help lists them."
        raise UsageError(f"There is no command /{name}.", f"{hint} A line that begins with // is said with one /.")
    does = COMMANDS[name][2]
    if does is None:
        return False
    does(session, argument)
    return True


def help(session: Session, argument: str) -> None:
    width = max(len(f"/{name} {argument}") for name, (argument, _, _) in COMMANDS.items())
    lines = [f"{f'/{name} {argument}':{width}}   {about}" for name, (argument, about, _) in COMMANDS.items()]
    lines += [
        f"{'Ctrl-C':{width}}   stop what the model is saying",
        f"{chr(92) + ' at the end':{width}}   go on in the next line",
    ]
    session.screen.note("\n".join(lines))


def undo(session: Session, argument: str) -> None:
    from homespun.generation.chat import Conversation

    if not session.talk.undo():
        session.screen.note("There is nothing to take back.")
        return
    if isinstance(session.talk, Conversation):
        rest = session.talk.turns[-1].content if session.talk.turns else ""
    else:
        rest = session.talk.text
    end = f"; it ends now with: {one_line(rest)}" if rest else "; nothing has been said"
    session.screen.note(f"Taken back{end}")


def system(session: Session, argument: str) -> None:
    from homespun.generation.chat import Conversation

    if not isinstance(session.talk, Conversation):
        raise UsageError(NO_SYSTEM, "Write the beginning of the text as you want it to go on.")
    if argument:
        session.talk.system = "" if argument == NONE else argument
    text = session.talk.system
    session.screen.note(f"System text: {text}\n/system - takes it away." if text else "There is no system text.")


def temperature(session: Session, argument: str) -> None:
    if argument:
        try:
            value = float(argument)
        except ValueError:
            raise UsageError(f"{argument[:40]!r} is no number.", "It is written:  /temperature 0.8") from None
        session.sampling = replace(session.sampling, temperature=value)
    session.screen.note(f"The temperature is {session.sampling.temperature:g}.")


def save(session: Session, argument: str) -> None:
    from homespun.generation.chat import Conversation
    from homespun.machine.atomic import json_text, write_atomically

    path = path_of(argument, "save")
    if path.exists() and path.resolve() not in session.own_files:
        raise UsageError(f"There is a {path} already.", "Give another name, or delete that file first.")
    talk = session.talk
    write_atomically(path, json_text(talk.to_json()) if isinstance(talk, Conversation) else talk.text)
    session.own_files.add(path.resolve())
    session.screen.note(f"Saved as {path}.")


def load(session: Session, argument: str) -> None:
    from homespun.generation.chat import Conversation

    path = path_of(argument, "load")
    content = read_file(path)
    if isinstance(session.talk, Conversation):
        try:
            session.talk.from_json(json.loads(content))
        except (ValueError, RecursionError):
            raise TextUnreadable(f"{path} is not JSON.", "Give the path of a file that /save wrote.") from None
        text = f"{len(session.talk.turns) // 2} questions with their answers"
    else:
        session.talk.begin(content)
        text = f"a text that ends with: {one_line(content)}" if content else "an empty text"
    session.own_files.add(path.resolve())
    session.describe_of_the_window = False
    session.screen.note(f"Going on with {text}")


def path_of(argument: str, name: str) -> Path:
    if not argument:
        raise UsageError(f"/{name} wants to know the file.", f"It is written:  /{name} talk.json")
    if len(argument) > 1 and argument[0] == argument[-1] and argument[0] in "'\"":
        argument = argument[1:-1]
    return Path(argument).expanduser()


# name: (what is written behind it, what it does, the function; none for the one that leaves)
COMMANDS: dict[str, tuple[str, str, Callable[[Session, str], None] | None]] = {
    "undo": ("", "take back what you wrote last, and what the model made of it", undo),
    "save": ("FILE", "keep the talk in a file", save),
    "load": ("FILE", "go on with a talk, or a text, from a file", load),
    "system": ("TEXT", "the system message; - takes it away", system),
    "temperature": ("T", "how daring it is: 0 always takes the likeliest, 1 is as the model feels", temperature),
    "help": ("", "this", help),
    "quit": ("", "leave; Ctrl-D does too", None),
}
