"""An export of a chat as conversations in which one of its people answers: `finetune MODEL export --as NAME`.

>>> from homespun.text.chats.message import Chat, Message
>>> messages = [Message("Anna", "Hi."), Message("Anna", "Are you there?"), Message("Ben", "Yes.")]
>>> chat = Chat("WhatsApp", messages=messages)
>>> talks, left_out = conversations_of(chat, "ben")
>>> [(message["role"], message["content"]) for message in talks[0].messages]
[('user', 'Hi.\\nAre you there?'), ('assistant', 'Yes.')]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import takewhile
from typing import Any

from homespun.conversations.conversation import Conversation, LeftOut, ended
from homespun.conversations.parts import divided
from homespun.errors import TextError
from homespun.text.chats.message import Chat, Message

PAUSE = 6.0  # hours without a message, after which the next one begins another conversation
SHOWN = 12  # names in an error

UNANSWERED = "message of others that the one who answers did not answer"
UNASKED = "message before anybody else had said something"


def conversations_of(chat: Chat, name: str, *, pause: float = PAUSE) -> tuple[list[Conversation], Counter[str]]:
    """Return the conversations of a chat, and how many messages are in none of them, by the reason.

    name: whose messages are the answers; compared without case, and a part of a name is enough where it is of one
    person only. pause: in hours. Neighbouring messages of one person become one, a line each. Where more than two
    people speak, what the others say begins with their names.
    Raises TextError where nobody, or more than one, is called so.
    """
    who = person(chat, name)
    names = len(chat.people) > 2
    shape = f"as {chat.kind} writes them, in which {who} answers" if chat.kind else f"in which {who} answers"
    found: list[Conversation] = []
    left_out: Counter[str] = Counter()
    for messages in between_pauses(chat.messages, pause):
        turns = list(turns_of(messages, who, names))
        targets = [turn["role"] == "assistant" for turn in turns]
        targets[0] = False  # with nothing to answer it is what the next question follows on
        talk = ended(turns, targets, shape, {})
        if isinstance(talk, LeftOut):
            own = sum(message.who == who for message in messages)
            left_out[UNASKED] += own
            left_out[UNANSWERED] += len(messages) - own
            continue
        left_out[UNASKED] += sum(1 for _ in takewhile(lambda message: message.who == who, messages))
        left_out[UNANSWERED] += sum(1 for _ in takewhile(lambda message: message.who != who, messages[::-1]))
        found += divided(talk)
    return found, +left_out


def person(chat: Chat, name: str) -> str:
    """The person of that name. Raises TextError."""
    people = chat.people
    wanted = name.casefold().strip()
    exact = [who for who in people if who.casefold() == wanted]
    part = [who for who in people if wanted and wanted in who.casefold()]
    word = [who for who in part if wanted in who.casefold().split()]
    for found in (exact, word, part):
        if len(found) == 1:
            return found[0]
    shown = ", ".join(f"{who} ({count:,})" for who, count in list(people.items())[:SHOWN])
    more = f" and {len(people) - SHOWN:,} more" if len(people) > SHOWN else ""
    what = f"{len(part)} people are called {name!r}" if len(part) > 1 else f"Nobody is called {name!r}"
    raise TextError(
        f"{what} in the {chat.kind} chat; who speaks, and how often: {shown}{more}.".replace("  ", " "),
        "Take one of these names, as it is written there:  --as NAME",
    )


def between_pauses(messages: Sequence[Message], pause: float) -> Iterator[list[Message]]:
    """The messages, divided where nobody said anything for so many hours."""
    longest = timedelta(hours=pause)
    stretch: list[Message] = []
    for message in messages:
        last = stretch[-1].when if stretch else None
        if last is not None and message.when is not None and message.when - last > longest:
            yield stretch
            stretch = []
        stretch.append(message)
    if stretch:
        yield stretch


def turns_of(messages: Sequence[Message], who: str, names: bool) -> Iterator[dict[str, Any]]:
    """The messages as turns: those of `who` are the assistant's, all others the user's.

    names: whether the name of who speaks stands before what others say.
    """
    role, speaker = "", ""
    lines: list[str] = []
    for message in messages:
        its_role = "assistant" if message.who == who else "user"
        if its_role != role and lines:
            yield {"role": role, "content": "\n".join(lines)}
            lines = []
        named = names and its_role == "user" and (message.who != speaker or not lines)
        lines.append(f"{message.who}: {message.what}" if named else message.what)
        role, speaker = its_role, message.who
    if lines:
        yield {"role": role, "content": "\n".join(lines)}
