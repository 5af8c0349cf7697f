"""Exports of chats in text files, each as one document of lines "Name: what was said"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from homespun.text.chats import find
from homespun.text.chats.message import Chat
from homespun.text.document import Document, chat_document
from homespun.text.notes import Tally

MAX_CHAT = 2**28  # characters of a text file that is read as a chat: years of talk have some millions


def chat_in(document: Document, tally: Tally) -> Document:
    """The document, or where its text is the export of a chat, that one as "Name: what was said"."""
    if not find.is_chat(document.beginning(find.HEAD)[: find.HEAD]):
        return document
    text = document.beginning(MAX_CHAT + 1)
    if len(text) > MAX_CHAT:
        tally.say(f"{document.origin} is a chat of more than {MAX_CHAT:,} characters, read as it stands")
        return document
    chat = find.chat_in_text(text)
    if chat is None or not chat.messages:
        return document
    [found] = chat_documents([chat], document.origin, document.encoding, tally)
    found.remarks.update(document.remarks)
    return found


def chat_documents(chats: Iterable[Chat], origin: str, encoding: str, tally: Tally) -> Iterator[Document]:
    """A document a chat, and a line about each in the notes."""
    found = list(chats)
    for number, chat in enumerate(found, start=1):
        where = origin if len(found) == 1 else f"{origin}:{number}"
        tally.say_of("chats", where, f" is read as {chat.description()}")
        tally.say(*chat.remarks)
        document = chat_document(where, chat, encoding)
        document.read_as = chat.called
        yield document
