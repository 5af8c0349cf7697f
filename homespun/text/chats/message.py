"""A message, and a chat: the messages of one export in order of time, and what was left out of it.

>>> chat = Chat("Telegram")
>>> chat.add("Anna", "Are you there?")
>>> chat.add("Ben", "https://example.org")
>>> chat.leave_out("service")
>>> chat.text(), dict(chat.left_out)
('Anna: Are you there?\\n', {'link': 1, 'service': 1})
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone

# What is no message of a person: (for one, for several).
LEFT_OUT = {
    "service": ("service message", "service messages"),
    "no text": ("message without text (pictures, recordings)", "messages without text (pictures, recordings)"),
    "link": ("message that is only a link", "messages that are only a link"),
}
SHOWN = 4  # names of people in a description
LONGEST_NAME = 80  # characters

_LINKS_ONLY = re.compile(r"(?:https?://\S+|www\.\S+)(?:\s+(?:https?://\S+|www\.\S+))*")
# Marks of direction and of width zero that phones put around names and times.
_DIRECTION = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_SPACES = re.compile("[\u00a0\u2007\u202f ]+")
_BROKEN_UTF8 = re.compile("[\u00c2-\u00f4][\u0080-\u00bf]{1,3}")


@dataclass(frozen=True, slots=True)
class Message:
    """who: the name of the sender. what: the text. when: the local time, without a zone; None if unknown."""

    who: str
    what: str
    when: datetime | None = None


@dataclass
class Chat:
    """kind: what wrote it, for people ("WhatsApp"), or "". name: of the chat, where the export says it.

    messages: in order of time. left_out: how many messages of which kind (see LEFT_OUT) are not in it.
    remarks: lines for the user about what was guessed.
    """

    kind: str
    name: str = ""
    messages: list[Message] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)

    def add(self, who: str, what: str, when: datetime | None = None) -> None:
        """Append a message; one without a text, or of nothing but links, is counted as left out."""
        text = what.strip()
        if not text:
            self.leave_out("no text")
        elif _LINKS_ONLY.fullmatch(text):
            self.leave_out("link")
        else:
            self.messages.append(Message(clean_name(who), text, when))

    def leave_out(self, kind: str) -> None:
        assert kind in LEFT_OUT, kind
        self.left_out[kind] += 1

    def sort(self) -> None:
        """Put the messages in order of time; messages of the same moment keep their order."""
        if self.messages and all(message.when is not None for message in self.messages):
            self.messages.sort(key=lambda message: message.when or datetime.min)

    @property
    def people(self) -> Counter[str]:
        """How many messages each person sent, those who sent most first."""
        counts = Counter(message.who for message in self.messages)
        return Counter(dict(counts.most_common()))

    def lines(self) -> Iterator[str]:
        """The chat as text, a message at a time: "Name: what was said\\n"."""
        for message in self.messages:
            yield f"{message.who}: {message.what}\n"

    def text(self) -> str:
        return "".join(self.lines())

    @property
    def called(self) -> str:
        """What it is: "a Slack chat", "an IRC chat", "a chat"."""
        article = "an" if self.kind.startswith(("A", "E", "I", "i", "SMS")) else "a"
        return " ".join(f"{article} {self.kind} chat".split())

    def description(self) -> str:
        """
        >>> chat = Chat("Signal", messages=[Message("Anna", "Hello"), Message("Ben", "Hi")])
        >>> chat.leave_out("service")
        >>> chat.description()
        'a Signal chat: 2 messages of Anna and Ben; left out: 1 service message'
        """
        people = list(self.people)
        names = ", ".join(people[:SHOWN]) if len(people) != 2 else " and ".join(people)
        more = f" and {len(people) - SHOWN:,} more" if len(people) > SHOWN else ""
        count = f"{len(self.messages):,} message{'' if len(self.messages) == 1 else 's'}"
        of = f" of {names}{more}" if people else ""
        line = f"{self.called}: {count}{of}"
        left_out = [
            f"{self.left_out[kind]:,} {one if self.left_out[kind] == 1 else several}"
            for kind, (one, several) in LEFT_OUT.items()
            if self.left_out[kind]
        ]
        return f"{line}; left out: {', '.join(left_out)}" if left_out else line


def without_direction(text: str) -> str:
    """The text without marks of direction."""
    return _DIRECTION.sub("", text)


def clean_name(name: str) -> str:
    """A name on one line, without marks of direction; WhatsApp's ~ before names that are in no address book goes.

    >>> clean_name("~\\u202fCem"), clean_name("\\u202a+49\\u00a0170 123\\u202c"), clean_name("  ")
    ('Cem', '+49 170 123', 'Unknown')
    """
    name = _SPACES.sub(" ", without_direction(" ".join(name.split()))).strip()
    name = name[1:].strip() if name.startswith("~") else name
    return name[:LONGEST_NAME] or "Unknown"


def repaired(text: str) -> str:
    """Text whose UTF-8 bytes were taken for Latin-1 characters, as Meta's archives have it, read as it was meant.

    Only what is UTF-8 is changed, so that characters which are whole stay.

    >>> repaired("\\u00c3\\u00a9t\\u00c3\\u00a9 \\u00f0\\u009f\\u0098\\u0080 é")
    'été 😀 é'
    """
    if text.isascii():
        return text
    return _BROKEN_UTF8.sub(_as_utf8, text)


def _as_utf8(found: re.Match[str]) -> str:
    raw = found[0].encode("latin-1")
    for end in range(len(raw), 1, -1):  # what follows the character may look like its continuation
        try:
            return raw[:end].decode("utf-8") + raw[end:].decode("latin-1")
        except UnicodeDecodeError:
            continue
    return found[0]


def from_timestamp(value: object, per_second: float = 1) -> datetime | None:
    """A number of seconds since 1970 (or of parts of a second), as a time in UTC; None where it is none.

    >>> from_timestamp("1700000000.5"), from_timestamp(1700000000000, 1000), from_timestamp(None)
    (datetime.datetime(2023, 11, 14, 22, 13, 20, 500000), datetime.datetime(2023, 11, 14, 22, 13, 20), None)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        seconds = float(value) / per_second
        return datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None)
    except (ValueError, OverflowError, OSError):
        return None
