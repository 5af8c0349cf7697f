"""A document: one piece of source text with its origin, read in pieces of bounded size.

>>> document = text_document("note.txt", "one\\r\\ntwo\\n")
>>> document.read(), sorted(document.remarks)
('one\\ntwo\\n', ['windows newlines'])
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from homespun.text.chats.message import Chat

PIECE = 2**20  # characters; a piece is at most 4 MiB of memory whatever its alphabet
_REACH = 2**16  # characters at the end of a piece in which a good place to cut is looked for
_UP_TO_LAST_WORD = re.compile(r".*\S(?=[ \n])", re.DOTALL)
_LONE_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass
class Document:
    """One text. `chunks` opens it anew each time, so it can be read as often as one likes.

    `origin` is what a person calls it: `book.txt`, `src/a.py`, `letters.zip!1.txt`, `chat.jsonl:12`.
    `remarks` says what was met on the way (kinds of notes.KINDS), complete once it was read through.
    `record` is what was read that is more than a text (see formats.Records); the text is then `str` of it.
    `read_as` says for people what it was read as, such as "plain text". `chat` is set where the text is an
    export of a chat: its messages; the text is then "Name: what was said".
    """

    origin: str
    encoding: str
    chunks: Callable[[], Iterable[str]] = field(repr=False)
    remarks: set[str] = field(default_factory=set)
    record: object | None = field(default=None, repr=False)
    read_as: str = ""
    chat: Chat | None = field(default=None, repr=False)

    def pieces(self) -> Iterator[str]:
        """The text in pieces of at most 1 Mi characters; joined they are the whole of it.

        A piece ends before a space or newline that follows a word, where sub-word tokenizers split
        anyway, so that encoding piece by piece gives the ids of the whole. Only where there is no such
        place in the last 65,536 characters the cut is hard. Raises TextUnreadable.
        """
        return cut(self.chunks())

    def beginning(self, characters: int) -> str:
        """Its first chunks, at least so many characters where it has them. Raises TextUnreadable."""
        parts, length = [], 0
        for chunk in self.chunks():
            parts.append(chunk)
            length += len(chunk)
            if length >= characters:
                break
        return "".join(parts)

    def read(self) -> str:
        """The whole text, in memory. Raises TextUnreadable."""
        return "".join(self.chunks())


def text_document(origin: str, text: str, encoding: str = "utf-8") -> Document:
    """A document of a text that is in memory, made clean: newlines are "\\n", no half characters."""
    remarks: set[str] = set()
    if "\r" in text:
        if "\r\n" in text:
            remarks.add("windows newlines")
            text = text.replace("\r\n", "\n")
        if "\r" in text:
            remarks.add("old mac newlines")
            text = text.replace("\r", "\n")
    text = whole_characters(text)
    return Document(origin, encoding, lambda: (text,), remarks)


def record_document(origin: str, record: object, encoding: str = "utf-8") -> Document:
    """A document of a record that somebody knows how to read."""
    return Document(origin, encoding, lambda: (str(record),), record=record)


def chat_document(origin: str, chat: Chat, encoding: str = "utf-8") -> Document:
    """A document of a chat: a line "Name: what was said" a message."""
    return Document(origin, encoding, lambda: map(whole_characters, chat.lines()), chat=chat)


def whole_characters(text: str) -> str:
    """The text with surrogates, which only JSON escapes can bring in, joined to characters or replaced.

    >>> whole_characters("\\ud83d\\ude00 \\ud83d")
    '😀 �'
    """
    if not _LONE_SURROGATES.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def cut(chunks: Iterable[str]) -> Iterator[str]:
    """The chunks cut anew. Where the cuts fall depends on the text alone, not on how it arrived."""
    waiting: list[str] = []
    length = 0
    for chunk in chunks:
        waiting.append(chunk)
        length += len(chunk)
        if length > PIECE:
            text, start = "".join(waiting), 0
            while len(text) - start > PIECE:
                end = _cutting_place(text, start, start + PIECE)
                yield text[start:end]
                start = end
            waiting, length = [text[start:]], len(text) - start
    if length:
        yield "".join(waiting)


def _cutting_place(text: str, start: int, end: int) -> int:
    found = _UP_TO_LAST_WORD.match(text, max(start, end - _REACH), end)
    return found.end() if found else end
