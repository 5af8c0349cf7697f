"""Detect whether a TEXT is conversations, and count them: one pass over it, without a tokenizer.

found = recognise(["chat.jsonl"])
print(found.said)    # 412 conversations as OpenAI writes them, in chat.jsonl; 3 left out: no answer
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from homespun.conversations.conversation import (
    EXPECTED,
    Conversation,
    ConversationRecords,
    Fragment,
    LeftOut,
    count,
)
from homespun.conversations.messages import from_list
from homespun.conversations.names import Fields, role_of
from homespun.conversations.parts import divided
from homespun.conversations.talk import PAUSE, conversations_of
from homespun.errors import NotEnoughText, TextError
from homespun.text.chats import find
from homespun.text.corpus import Corpus, FileSource, FolderSource
from homespun.text.document import record_document
from homespun.text.formats import READERS, SAYS_NOTHING
from homespun.text.marks import messages_in
from homespun.text.notes import Reading
from homespun.text.sources import read

if TYPE_CHECKING:
    from homespun.text.corpus import Source
    from homespun.text.document import Document

FORMAT = 2  # of the key: raise it when the way conversations are read changes
ENOUGH = 10_000  # if the text begins with this many plain texts and no conversation, it is taken for plain text
BEGINNING = 2**16  # bytes of a text in which the first turns of a conversation have to stand
PROSE = {".html", ".htm", ".xhtml", ".epub", ".pdf"}  # these hold no records


def describe_changed(changed: dict[str, tuple[int, str]]) -> list[str]:
    """
    >>> describe_changed({"joined": (1, "chat.jsonl:7")})
    ['1 conversation joined (it is chat.jsonl:7)']
    """
    return [
        f"{count:,} conversation{'' if count == 1 else 's'} {what} "
        f"({'it is' if count == 1 else 'the first is'} {first})"
        for what, (count, first) in changed.items()
    ]


@dataclass(frozen=True)
class ConversationReader:
    """How conversations are read.

    answers: whose messages are the answers, in an export of a chat; "" for records. pause: hours without a
    message, after which another conversation begins. skip_bad: malformed records are left out.
    """

    answers: str = ""
    pause: float = PAUSE
    skip_bad: bool = False

    def entries(self, document: Document) -> Iterator[Document]:
        """Yield what a document holds: conversations, a LeftOut, or the document itself where it is a text."""
        if self.answers:
            yield from self.talks(document)
            return
        several = divided(document.record) if isinstance(document.record, Conversation) else []
        if len(several) < 2:
            yield document
            return
        for number, part in enumerate(several, start=1):
            yield record_document(f"{document.origin}, part {number:,}", part, document.encoding)

    def talks(self, document: Document) -> Iterator[Document]:
        """Yield the conversations in an export of a chat, or in a log of lines "Name: text"."""
        chat = document.chat
        if chat is None and document.record is None:
            chat = find.chat_in_text(document.read(), without_stamps=True)
        if chat is None or not chat.messages:
            yield record_document(document.origin, LeftOut(NO_CHAT, ""), document.encoding)
            return
        found, left_out = conversations_of(chat, self.answers, pause=self.pause)
        for number, talk in enumerate(found, start=1):
            yield record_document(f"{document.origin}, conversation {number:,}", talk, document.encoding)
        for reason, number in left_out.items():
            yield record_document(document.origin, LeftOut(reason, "", number), document.encoding)


def assembled(documents: Iterable[Document]) -> Iterator[Document]:
    """Yield the documents, with neighbouring records that are messages of one conversation as one document.

    Where they do not say of which they are, a system text begins another one.
    """
    waiting: list[tuple[Document, Fragment]] = []

    def together() -> Iterator[Document]:
        if waiting:
            first = waiting[0][0]
            items = [dict(fragment.message) for _, fragment in waiting]
            talk = from_list(items, Fields({}), f"{first.origin},")
            yield record_document(first.origin, talk, first.encoding)
            waiting.clear()

    for document in documents:
        fragment = document.record
        if not isinstance(fragment, Fragment):
            yield from together()
            yield document
            continue
        last = waiting[-1] if waiting else None
        if last is not None and (place_of(last[0], last[1]) != place_of(document, fragment) or begins(fragment)):
            yield from together()
        waiting.append((document, fragment))
    yield from together()


def place_of(document: Document, fragment: Fragment) -> tuple[str, str]:
    """The file and the conversation that a message is of."""
    return document.origin.rpartition(":")[0], fragment.group


def begins(fragment: Fragment) -> bool:
    """Whether a message of an unknown conversation is the first of another one."""
    return not fragment.group and "system" in (role_of(value) for value in fragment.message.values())


NO_CHAT = "file without a chat in it"


@dataclass
class Found:
    """What one pass over the sources found. Entries are conversations, and texts if both are mixed.

    keys, characters: for each entry, a hash of its content (32 hexadecimal digits), and its length.
    shapes, texts: the number of conversations of each format, and the number of texts.
    left_out: why a conversation was skipped -> how many were, and the first one.
    divided: how many parts conversations of many messages were divided into, and how many these were.
    key: a hash of all entries. notes: lines for the user about what was found, and how the files were
    read.
    """

    corpus: Corpus
    reader: ConversationReader = field(default_factory=ConversationReader)
    keys: list[str] = field(default_factory=list)
    characters: list[int] = field(default_factory=list)
    shapes: Counter[str] = field(default_factory=Counter)
    texts: int = 0
    left_out: dict[str, tuple[int, str]] = field(default_factory=dict)
    divided: tuple[int, int] = (0, 0)
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
        for document in assembled(self.corpus.documents()):
            for entry in self.reader.entries(document):
                if not isinstance(entry.record, LeftOut):
                    yield entry


def describe_left_out(left_out: dict[str, tuple[int, str]]) -> list[str]:
    """
    >>> describe_left_out({"no answer": (3, "chat.jsonl:7")})
    ['3 left out: no answer (the first is chat.jsonl:7)']
    """
    return [
        f"{count:,} left out: {reason} ({'it is' if count == 1 else 'the first is'} {first})"
        for reason, (count, first) in left_out.items()
    ]


def recognise(
    text: Sequence[str | Path] | Corpus, *, field: str | None = None, reader: ConversationReader | None = None
) -> Found | None:
    """Return the conversations in these TEXT arguments; None if there are none, so that they are plain text.

    field: the text field that the user named; then the files hold text, and no conversations are searched for.
    Raises the errors of reading a text, NotEnoughText if there are conversations, but none with an answer, and
    TextError where a person is to answer who is in none of the chats.
    """
    corpus = text if isinstance(text, Corpus) else read(*text, field=field)
    reader = reader or ConversationReader()
    searched = reader.answers or any(may_have_records(source) for source in corpus.sources)
    if corpus.request.field is not None or not searched:
        return None
    request = replace(corpus.request, records=ConversationRecords(skip_bad=reader.skip_bad))
    found = Found(replace(corpus, request=request, notes=[], _survey=None), reader)
    reading = Reading()
    chats: list[str] = []
    for document in assembled(found.corpus.documents(reading.tally)):
        entries = 0
        for entries, entry in enumerate(reader.entries(document), start=1):  # noqa: B007
            _count(found, entry)
        if entries > 1 and not reader.answers:
            found.divided = found.divided[0] + entries, found.divided[1] + 1
        if document.chat is not None and not reader.answers:
            chats += document.chat.people
        reading.took(document)
        if found.texts > ENOUGH and not found.shapes and not found.left_out:
            return None
    if reader.answers and not found.shapes and found.left_out.keys() <= {NO_CHAT}:
        raise TextError(
            f"There is no chat in {found.title} in which {reader.answers!r} could answer.",
            "--as is for exports of chats (WhatsApp, Telegram, Discord, Messenger, Slack, and lines of "
            '"Name: text"). Records of conversations need no --as.',
        )
    if not found.shapes and not found.left_out:
        if chats:
            corpus.said = [*corpus.said, how_to_answer(chats)]
        return None
    if not found.shapes:
        raise NotEnoughText(
            f"There is no conversation to learn from in {found.title}: "
            f"{'; '.join(describe_left_out(found.left_out))}.",
            f"What the model is to say has to be there. {EXPECTED}.",
        )
    found.key = hashlib.sha256(f"{FORMAT} {' '.join(found.keys)}".encode()).hexdigest()[:32]
    found.notes = [*corpus.said, found.said, *reading.lines()]
    if found.divided[1]:
        several, one = found.divided
        what = "conversation is" if one == 1 else "conversations are"
        found.notes.append(f"{one:,} long {what} divided into {several:,} parts, so that each fits")
    if reader.answers:
        found.notes.append(f"{reader.pause:g} hours without a message begin another conversation (--pause HOURS)")
    return found


def how_to_answer(people: Sequence[str]) -> str:
    """What is said where a chat is read as text."""
    names = list(dict.fromkeys(people))
    shown = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
    return f"a chat is learned as text here; to learn to answer as one of {shown}: --as NAME"


def may_have_records(source: Source) -> bool:
    """Return whether a source may have conversations, as far as can be decided without reading it."""
    if isinstance(source, FolderSource):
        return not source.is_repository
    if isinstance(source, FileSource):
        suffix = PurePosixPath(source.name).suffix.lower()
        return suffix in SAYS_NOTHING or (suffix in READERS and suffix not in PROSE) or begins_as_talk(source.path)
    return True


def begins_as_talk(path: Path) -> bool:
    """Return whether a file begins like a conversation that is written out, or like an export of a chat."""
    try:
        with path.open("rb") as file:
            head = file.read(BEGINNING).decode("utf-8", "replace")
    except OSError:
        return False  # whoever reads it says what is wrong
    return messages_in(head) is not None or find.is_chat(head)


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
        count(found.left_out, record.reason, record.about or document.origin, record.count)
        return
    key, characters = measured(document)
    found.keys.append(key)
    found.characters.append(characters)
    if isinstance(record, Conversation):
        found.shapes[record.shape] += 1
    else:
        found.texts += 1
