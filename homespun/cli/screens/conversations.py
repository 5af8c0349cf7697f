"""The conversations in a TEXT, as `homespun finetune` would read them: how many, and the first two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from homespun.text.corpus import Corpus

SHOWN = 2  # conversations
MESSAGES = 6
LONGEST = 300  # characters of a message that are shown


@dataclass(frozen=True)
class Talks:
    """count: of the conversations. said: what they are, on one line. notes: what was noticed in reading them.

    examples: the first ones, each with where it stands and its messages as (role, text).
    """

    count: int
    said: str
    notes: list[str]
    examples: list[tuple[str, list[tuple[str, str]]]]


def talks_in(corpus: Corpus, answers: str = "") -> Talks | None:
    """None where the text is no conversations. answers: who answers in an export of a chat.

    Raises the errors of reading them.
    """
    from homespun.conversations.conversation import Conversation
    from homespun.conversations.recognise import ConversationReader, recognise

    found = recognise(corpus, reader=ConversationReader(answers))
    if found is None:
        return None
    records = ((entry.origin, entry.record) for entry in found.entries() if isinstance(entry.record, Conversation))
    examples = [
        (origin, [(str(message["role"]), _shown(message)) for message in record.messages])
        for origin, record in islice(records, SHOWN)
    ]
    return Talks(found.conversations, found.said, [note for note in found.notes if note != found.said], examples)


def _shown(message: Mapping[str, object]) -> str:
    text = str(message.get("content") or message.get("tool_calls") or "")
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def show_talks(title: str, talks: Talks, *, alone: bool) -> None:
    """alone: nothing else was shown of the text."""
    from rich.text import Text

    from homespun.cli.screens.plain import visible
    from homespun.cli.screens.terminal import console, indented, show_notes

    out = console()
    if alone:
        out.print(Text(visible(title), "bold"))
    else:
        out.print("\nAs conversations, for homespun finetune MODEL", style="bold")
    out.print(indented(talks.said))
    if alone:
        show_notes(out, talks.notes, "Notes")
    for origin, messages in talks.examples:
        out.print(indented(f"\n{origin}", style="dim"))
        out.print(indented("\n".join(f"{role}: {text}" for role, text in messages[:MESSAGES])))
