"""Detect whether a TEXT is conversations, and count them: one pass over it, without a tokenizer.

found = recognise(["chat.jsonl"])
print(found.said)    # 412 conversations as OpenAI writes them, in chat.jsonl; 3 left out: no answer
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from homespun.conversations.conversation import EXPECTED, Conversation, ConversationRecords, LeftOut
from homespun.errors import NotEnoughText
from homespun.text.corpus import Corpus, FileSource, FolderSource
from homespun.text.formats import READERS, SAYS_NOTHING, Request
from homespun.text.notes import Reading
from homespun.text.sources import read

if TYPE_CHECKING:
    from homespun.text.corpus import Source
    from homespun.text.document import Document

FORMAT = 1  # of the key: raise it when the way conversations are read changes
ENOUGH = 10_000  # if the text begins with this many plain texts and no conversation, it is taken for plain text
PROSE = {".html", ".htm", ".xhtml", ".epub", ".pdf"}  # these hold no records


@dataclass
class Found:
    """What one pass over the sources found. Entries are conversations, and texts if both are mixed.

    keys, characters: for each entry, a hash of its content (32 hexadecimal digits), and its length.
    shapes, texts: the number of conversations of each format, and the number of texts.
    left_out: why a conversation was skipped -> how many were, and the first one.
    key: a hash of all entries. notes: lines for the user about what was found, and how the files were
    read.
    """

    corpus: Corpus
    keys: list[str] = field(default_factory=list)
    characters: list[int] = field(default_factory=list)
    shapes: Counter[str] = field(default_factory=Counter)
    texts: int = 0
    left_out: dict[str, tuple[int, str]] = field(default_factory=dict)
    key: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """A short name, suitable for a folder."""
        return self.corpus.name

    @property
    def title(self) -> str:
        return self.corpus.title

    @property
    def conversations(self) -> int:
        return self.shapes.total()

    @property
    def said(self) -> str:
        """What was found, on one line for the user."""
        parts = [f"{count:,} {shape}" for shape, count in self.shapes.most_common()]
        counted = parts[0].replace(" ", f" conversation{'' if self.conversations == 1 else 's'} ", 1)
        line = f"{', '.join([counted, *parts[1:]])}, in {self.title}"
        if self.texts:
            line += f", and {self.texts:,} text{'' if self.texts == 1 else 's'}"
        return "; ".join([line, *describe_left_out(self.left_out)])

    def entries(self) -> Iterator[Document]:
        """Yield the documents found, in the same order. Those of conversations have a `record`."""
        for document in self.corpus.documents():
            if not isinstance(document.record, LeftOut):
                yield document


def describe_left_out(left_out: dict[str, tuple[int, str]]) -> list[str]:
    """
    >>> describe_left_out({"no answer": (3, "chat.jsonl:7")})
    ['3 left out: no answer (the first is chat.jsonl:7)']
    """
    return [
        f"{count:,} left out: {reason} ({'it is' if count == 1 else 'the first is'} {first})"
        for reason, (count, first) in left_out.items()
    ]


def recognise(text: Sequence[str | Path] | Corpus, *, field: str | None = None) -> Found | None:
    """Return the conversations in these TEXT arguments; None if there are none, so that they are plain text.

    field: the text field that the user named; then the files hold text, and no conversations are searched for.
    Raises the errors of reading a text, and NotEnoughText if there are conversations, but none with an answer.
    """
    corpus = text if isinstance(text, Corpus) else read(*text, field=field)
    if corpus.request.field is not None or not any(may_have_records(source) for source in corpus.sources):
        return None
    found = Found(
        replace(
            corpus,
            request=Request(encoding=corpus.request.encoding, records=ConversationRecords()),
            notes=[],
            _survey=None,
        )
    )
    reading = Reading()
    for document in found.corpus.documents(reading.tally):
        _count(found, document)
        reading.took(document)
        if found.texts > ENOUGH and not found.shapes and not found.left_out:
            return None
    if not found.shapes and not found.left_out:
        return None
    if not found.shapes:
        raise NotEnoughText(
            f"There is no conversation to learn from in {found.title}: "
            f"{'; '.join(describe_left_out(found.left_out))}.",
            f"What the model is to say has to be there. {EXPECTED}.",
        )
    found.key = hashlib.sha256(f"{FORMAT} {' '.join(found.keys)}".encode()).hexdigest()[:32]
    found.notes = [*corpus.said, found.said, *reading.lines()]
    return found


def may_have_records(source: Source) -> bool:
    """Return whether a source may have conversations, as far as can be decided without reading it."""
    if isinstance(source, FolderSource):
        return not source.is_repository
    if isinstance(source, FileSource):
        suffix = PurePosixPath(source.name).suffix.lower()
        return suffix in SAYS_NOTHING or (suffix in READERS and suffix not in PROSE)
    return True


def measured(document: Document) -> tuple[str, int]:
    """Return a hash of a document's content, 32 hexadecimal digits, and its number of characters."""
    digest, characters = hashlib.sha256(), 0
    for piece in document.pieces():
        digest.update(piece.encode("utf-8", "replace"))
        characters += len(piece)
    return digest.hexdigest()[:32], characters


def _count(found: Found, document: Document) -> None:
    record = document.record
    if isinstance(record, LeftOut):
        count, first = found.left_out.get(record.reason, (0, document.origin))
        found.left_out[record.reason] = count + 1, first
        return
    key, characters = measured(document)
    found.keys.append(key)
    found.characters.append(characters)
    if isinstance(record, Conversation):
        found.shapes[record.shape] += 1
    else:
        found.texts += 1
