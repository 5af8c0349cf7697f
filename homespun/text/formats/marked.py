"""Texts with marks written out in them, divided at these, and conversations as lines "User: …"."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from homespun.text.document import Document, record_document, text_document
from homespun.text.formats import Request
from homespun.text.marks import LOOK, Separators, as_lines, conversations_in, messages_in, rules_in, separators_in
from homespun.text.notes import Tally

_FIELD_HINTS = ("<", "[", "###", "Human:", "USER:")  # few and short: there may be millions of texts
_HEADINGS = (".md", ".markdown", ".rst", ".adoc", ".org")  # where a row of = underlines a heading
_HINTS = ("<|", "<s>", "</s>", "[INST]", "### ", "<start_of_turn>", "<eos>", "<EOS>", "[EOS]", "<bos>")


def documents_in(document: Document, request: Request, tally: Tally) -> Iterator[Document]:
    """The document, or where marks divide it the texts between them."""
    if document.chat is not None:
        yield document
        return
    head = document.beginning(LOOK)
    rules = not document.origin.lower().endswith(_HEADINGS)
    if not any(hint in head for hint in _HINTS) and not (rules and "\n=====" in head):
        yield document
        return
    marks = separators_in(head) or (rules_in(head) if rules else None)
    if marks is not None and not _divides_turns(head, marks):
        tally.say_of("texts", document.origin, f" is divided at its marks {marks.name}, which are left out")
        tally.heed_all(document.remarks, document.origin)
        for number, text in enumerate(marks.split(document.chunks()), start=1):
            part = conversation_or_text(f"{document.origin}:{number}", text, document.encoding, request, tally)
            part.read_as = part.read_as or f"texts between marks {marks.name}"
            yield part
        return
    talks = conversations_in(document.read()) if len(head) < LOOK else None
    if talks is None:
        yield document
        return
    for number, talk in enumerate(talks, start=1):
        yield conversation_or_text(f"{document.origin}:{number}", talk, document.encoding, request, tally)


def _divides_turns(head: str, marks: Separators) -> bool:
    """Whether the mark stands after each message of a conversation, and not between texts."""
    parts = list(islice(marks.split([head]), 50))
    return messages_in(head) is not None and sum(messages_in(part) is not None for part in parts) < len(parts) / 2


def conversation_or_text(origin: str, text: str, encoding: str, request: Request, tally: Tally) -> Document:
    """The document of a text that may be a conversation written out with marks."""
    messages = messages_in(text)
    if messages is None:
        return text_document(origin, text, encoding)
    found = request.record({"messages": messages, "written_out": True}, f"{origin},")
    if found is not None:
        return record_document(origin, found, encoding)
    tally.add("markup", origin)
    document = text_document(origin, as_lines(messages), encoding)
    document.read_as = "a conversation written out with marks"
    return document


def documents_of_field(
    origin: str, text: str, file: str, encoding: str, request: Request, tally: Tally
) -> Iterator[Document]:
    """The document of a text in a record or a row, or the texts between the marks in it. file: for the notes."""
    if not any(hint in text for hint in _FIELD_HINTS):
        yield _field_document(origin, text, encoding)
    elif messages_in(text) is not None:
        yield conversation_or_text(origin, text, encoding, request, tally)
    elif (marks := separators_in(text)) is not None:
        tally.say_of("texts", file, f": marks {marks.name} are written out in its texts, and left out")
        parts = list(marks.split([text])) or [""]
        for number, part in enumerate(parts, start=1):
            yield _field_document(origin if len(parts) == 1 else f"{origin}.{number}", part, encoding)
    else:
        yield _field_document(origin, text, encoding)


def _field_document(origin: str, text: str, encoding: str) -> Document:
    meant = as_meant(text)
    document = text_document(origin, meant, encoding)
    if meant is not text:
        document.remarks.add("mojibake")
    return document


def as_meant(text: str) -> str:
    """Text whose UTF-8 bytes stand there as Latin-1 characters, read as it was meant; any other text as it is.

    >>> as_meant("caf\\u00c3\\u00a9"), as_meant("café")
    ('café', 'café')
    """
    if text.isascii():
        return text
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text
