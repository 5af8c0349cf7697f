"""What a person should know about how a text was read: counted by kind, reported in one line each.

`Tally` counts what readers pass over; `Reading` adds what shows of the documents themselves. Every command that
reads a text reports the same lines.

>>> tally = Tally()
>>> for name in ("logo.png", "photo.jpg"):
...     tally.add("binary", name)
>>> tally.lines()
['2 binary files skipped, such as logo.png']
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from homespun.text.document import Document, whole_characters
from homespun.text.older import NAMES

# kind: (for one, for several)
KINDS = {
    "windows newlines": ("text with Windows line ends, read as \\n", "texts with Windows line ends, read as \\n"),
    "old mac newlines": ("text with old Mac line ends (\\r)", "texts with old Mac line ends (\\r)"),
    "mojibake": (
        "text whose UTF-8 was written as Latin-1 characters (Ã©), read as it was meant",
        "texts whose UTF-8 was written as Latin-1 characters (Ã©), read as they were meant",
    ),
    "markup": (
        "conversation written out with marks, read as lines User: and Assistant: (finetune learns from it)",
        "conversations written out with marks, read as lines User: and Assistant: (finetune learns from them)",
    ),
    "talk": (
        "conversation with an assistant, read as lines User: and Assistant: (finetune learns from it)",
        "conversations with an assistant, read as lines User: and Assistant: (finetune learns from them)",
    ),
    "wide": (
        "row with more fields than columns, of which the rest is put to its text",
        "rows with more fields than columns, of which the rest is put to their texts",
    ),
    "empty": ("empty document left out", "empty documents left out"),
    "card": ("card of a data set left out", "cards of data sets left out"),
    "about": ("file about the data left out", "files about the data left out"),
    "pointer": (
        "Git LFS pointer skipped (the file itself is not here: git lfs pull)",
        "Git LFS pointers skipped (the files themselves are not here: git lfs pull)",
    ),
    "binary": ("binary file skipped", "binary files skipped"),
    "generated": ("generated file skipped", "generated files skipped"),
    "ignored": ("file or folder skipped that .gitignore names", "files and folders skipped that .gitignore names"),
    "hidden": ("hidden file or folder skipped", "hidden files and folders skipped"),
    "vendored": ("folder of other people's code skipped", "folders of other people's code skipped"),
    "link": ("symbolic link not followed", "symbolic links not followed"),
    "special": ("file skipped that is no regular file", "files skipped that are no regular files"),
    "unreadable": ("file skipped that could not be read", "files skipped that could not be read"),
    "locked": ("file skipped that is locked with a password", "files skipped that are locked with a password"),
    "nested": ("archive inside an archive skipped", "archives inside archives skipped"),
    "twice": ("text given twice, read once", "texts given twice, read once"),
}

SHOWN = 12  # lines of a group
GUESSED = "guessed "  # a remark: the name of an encoding follows


@dataclass
class Tally:
    """Counts per kind, each with its first example; `said` are lines of their own, `groups` what is said of files,
    by what they are: text behind the name -> names."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    groups: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    ways_on: dict[str, None] = field(default_factory=dict)  # what to do about files that could not be read
    guessed: set[str] = field(default_factory=set)  # names of encodings

    def add(self, kind: str, example: str) -> None:
        assert kind in KINDS, kind
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.examples.setdefault(kind, whole_characters(example))

    def say(self, *lines: str) -> None:
        self.said.extend(line for line in dict.fromkeys(lines) if line not in self.said)

    def say_of(self, group: str, origin: str, what: str) -> None:
        """What is to be said of a file behind its name. group: what such things are called ("chats").

        Files of which the same is said are counted, and of many lines the first are shown.
        """
        noted = self.groups.setdefault(group, {}).setdefault(what, [])
        if origin not in noted:
            noted.append(origin)

    def lines(self) -> list[str]:
        counted = []
        for group, noted in self.groups.items():
            shown = list(noted.items())[: SHOWN if len(noted) > SHOWN + 1 else None]
            for what, origins in shown:
                alike = f" (and {len(origins) - 1:,} more like it)" if len(origins) > 1 else ""
                counted.append(f"{whole_characters(origins[0])}{what}{alike}")
            if len(noted) > len(shown):
                counted.append(f"and {len(noted) - len(shown):,} more {group}")
        for kind, (one, several) in KINDS.items():
            count = self.counts.get(kind, 0)
            if count == 1:
                counted.append(f"1 {one}: {self.examples[kind]}")
            elif count:
                counted.append(f"{count:,} {several}, such as {self.examples[kind]}")
        return [*self.said, *counted]

    def heed(self, remark: str, example: str) -> None:
        """Counts a remark that is a kind, or keeps one that is a line of its own, or the name of a guessed
        encoding."""
        if remark in KINDS:
            self.add(remark, example)
        elif remark.startswith(GUESSED):
            self.guessed.add(remark.removeprefix(GUESSED))
        else:
            self.say(remark)

    def heed_all(self, remarks: Iterable[str], example: str) -> None:
        for remark in sorted(remarks):
            self.heed(remark, example)

    def as_object(self) -> dict[str, Any]:
        """As plain data, for another process."""
        return {**vars(self), "guessed": sorted(self.guessed), "ways_on": list(self.ways_on)}

    @classmethod
    def of_object(cls, found: dict[str, Any]) -> Tally:
        return cls(**{**found, "guessed": set(found["guessed"]), "ways_on": dict.fromkeys(found["ways_on"])})

    def merge(self, other: Tally) -> None:
        """Add what another pass found."""
        for kind, count in other.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
            self.examples.setdefault(kind, other.examples[kind])
        for line in other.said:
            self.say(line)
        self.guessed |= other.guessed
        self.ways_on |= other.ways_on
        for group, noted in other.groups.items():
            for what, origins in noted.items():
                for origin in origins:
                    self.say_of(group, origin, what)


class Reading:
    """What is noticed while documents are read. tally: hand it to whoever gives the documents.

    >>> from homespun.text.document import text_document
    >>> reading = Reading()
    >>> reading.took(text_document("a.txt", "one", "latin-1"))
    >>> reading.lines()
    ['a.txt is Latin-1 (ISO 8859-1)']
    >>> reading.tally.heed(GUESSED + "latin-1", "a.txt")
    >>> reading.lines()
    ['a.txt is read as Latin-1 (ISO 8859-1), which is a guess; --encoding NAME takes another']
    """

    def __init__(self) -> None:
        self.tally = Tally()
        self.encodings: dict[str, int] = {}  # name -> number of documents
        self.read_as: dict[str, int] = {}  # what documents were read as -> number of documents
        self.first: dict[str, str] = {}

    def took(self, document: Document) -> None:
        """A document that was read to its end: its remarks are complete only then."""
        self.encodings[document.encoding] = self.encodings.get(document.encoding, 0) + 1
        kind = document.read_as or "plain text"
        self.read_as[kind] = self.read_as.get(kind, 0) + 1
        self.first.setdefault(document.encoding, document.origin)
        self.tally.heed_all(document.remarks, document.origin)

    def lines(self) -> list[str]:
        said = []
        for name in sorted(self.encodings.keys() - {"utf-8"}):
            count, first, shown = self.encodings[name], self.first[name], NAMES.get(name, name)
            guess = name in self.tally.guessed
            what = f"{'read as ' if guess else ''}{shown}{', which is a guess' if guess else ''}"
            way = "; --encoding NAME takes another" if guess else ""
            many = f"{count:,} documents are {what}, such as {first}{way}"
            said.append(f"{first} is {what}{way}" if count == 1 else many)
        return [*said, *self.tally.lines()]
