"""JSON, as lines, as a list, or as an object with records in it: one document a record, from its text field.

The suffix does not decide: a .json of lines is read as lines, a list in a .jsonl as a list. JSON in which homespun
finds no texts is read as it stands, and that is said.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping

from homespun.errors import TextUnreadable
from homespun.text.blob import Blob, explained_errors
from homespun.text.chats import objects
from homespun.text.decode import Encoding, decoded_as, detect, remarks_on
from homespun.text.document import Document, record_document
from homespun.text.fields import choose
from homespun.text.formats import Request
from homespun.text.formats.chat import chat_documents
from homespun.text.formats.json_values import after_space, items, one_value, parsed, values
from homespun.text.formats.lines import lines_of
from homespun.text.formats.texts import Texts, Value
from homespun.text.notes import KINDS, Tally
from homespun.text.shapes import records_in

MAX_JSON = 2**27  # bytes of JSON that has to be in memory as a whole
MAX_LINE = 2**27  # characters of one line of JSON
_LINES = (".jsonl", ".ndjson")


def json_texts(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """One document a record. Raises TextUnreadable, which names the place, and the fields that are there."""
    encoding = detect(blob, request.encoding)
    if _has_lines(blob, encoding):
        tally.heed_all(remarks_on(encoding, blob.origin), blob.origin)
        if blob.suffix not in _LINES:
            tally.say_of("files", blob.origin, " is read as JSON lines, a record a line")
        texts = Texts(request, blob.origin, encoding.name, tally)
        yield from texts.documents(_lines(blob, encoding, request))
    else:
        yield from _whole_json(blob, encoding, request, tally)


def _text_lines(blob: Blob, encoding: Encoding) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers."""
    with (
        explained_errors(blob.origin),
        io.TextIOWrapper(blob.open(), encoding=encoding.codec, errors=encoding.errors) as lines,
    ):
        for number, line in enumerate(lines_of(lines, blob.origin, MAX_LINE), start=1):
            if line.strip():
                yield number, line


def _lines(blob: Blob, encoding: Encoding, request: Request) -> Iterator[Value]:
    for number, line in _text_lines(blob, encoding):
        where = f"{blob.origin}, line {number},"
        try:
            value = one_value(line, where)
        except TextUnreadable as error:
            value = request.instead_of(error)
        yield Value(where, f"{blob.origin}:{number}", value)


def _has_lines(blob: Blob, encoding: Encoding) -> bool:
    """Whether the first line is a value by itself, and there are more."""
    lines = _text_lines(blob, encoding)
    _, first = next(lines, (0, ""))
    if next(lines, None) is None:
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return True


def all_lines_are_records(blob: Blob, request: Request) -> bool:
    """Whether a file that is not called so is JSON lines: each line an object, with a text in the first."""
    head = blob.head(2**16).lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head.startswith(b"{"):
        return False
    try:
        encoding = detect(blob, request.encoding)
        first = True
        for _, line in _text_lines(blob, encoding):
            value = json.loads(line)
            if not isinstance(value, dict) or (first and not _is_a_text(value, request)):
                return False
            first = False
    except (ValueError, RecursionError, TextUnreadable):
        return False
    return not first


def _is_a_text(record: Mapping, request: Request) -> bool:
    choice = choose({str(name): [inner] for name, inner in record.items()}, request.field)
    known = choice is not None and choice.how in ("named", "text", "name", "pair")
    talks = any(isinstance(record.get(name), list) for name in ("messages", "conversations"))
    return known or talks or request.record(record, "line 1") is not None


# --- JSON that is in memory as a whole --------------------------------------------------------------------------


def _whole_json(blob: Blob, encoding: Encoding, request: Request, tally: Tally) -> Iterator[Document]:
    if blob.size > MAX_JSON:
        raise _too_large(blob.origin)
    document = decoded_as(encoding, blob)
    tally.heed_all(document.remarks - KINDS.keys(), blob.origin)  # of the file, however many documents are in it
    content = document.beginning(MAX_JSON + 1)
    if len(content) > MAX_JSON:  # how large a packed one is shows only here
        raise _too_large(blob.origin)
    start = after_space(content, 0)
    texts = Texts(request, blob.origin, document.encoding, tally)
    found: Iterator[Document] | None = None
    if content.startswith("[", start):
        found = _list(content, texts)
    elif content.startswith("{", start):
        found = _object(content, start, texts, strict=blob.suffix in _LINES)
    elif blob.suffix in _LINES:
        place = f"{blob.origin}, line 1,"
        found = texts.documents(Value(place, f"{blob.origin}:1", value) for value in values(content, place))
    if found is not None:
        yield from found
        return
    if request.field is not None:
        raise TextUnreadable(
            f"{blob.origin} is not a list of objects with a field {request.field!r}.",
            "Leave the field out to read it as text.",
        )
    del content  # a large one is read anew, piece by piece
    tally.say_of("JSON files", blob.origin, " is read as it stands, as JSON: no texts were recognised in it")
    yield document


def _list(content: str, texts: Texts) -> Iterator[Document] | None:
    """The documents of a list; None where its items are neither texts nor objects nor rows."""
    origin = texts.origin

    def found() -> Iterator[Value]:
        for number, item in enumerate(items(content, origin), start=1):
            yield Value(f"{origin}, item {number},", f"{origin}:{number}", item)

    first = [value.content for _, value in zip(range(1000), found(), strict=False)]
    if texts.request.records is not None and _is_message(first[:1]):
        talk = list(items(content, origin))
        if (record := texts.request.record(talk, f"{origin},")) is not None:
            return iter([record_document(origin, record, texts.encoding)])
    if texts.request.field is None and objects.chats_in(first) is not None:
        chats = objects.chats_in(list(items(content, origin)))
        if chats and any(chat.messages for chat in chats):
            return chat_documents(chats, origin, texts.encoding, texts.tally)
    if texts.request.field is None and not any(isinstance(item, (str, dict)) for item in first):
        if not all(isinstance(item, list) for item in first):
            return None
        return texts.rows([item for item in first if isinstance(item, list)], found())
    del first
    return texts.documents(found())


def _is_message(items: list) -> bool:
    return bool(items) and isinstance(items[0], dict) and ("role" in items[0] or "from" in items[0])


def _object(content: str, start: int, texts: Texts, *, strict: bool) -> Iterator[Document] | None:
    """The documents of an object, or of several one after the other; None where there are none."""
    origin, request = texts.origin, texts.request
    try:
        one_line = strict and "\n" not in content.strip()
        value, end = parsed(content, f"{origin}, line 1," if one_line else origin, start)
    except TextUnreadable:
        if strict:
            raise
        return None  # something like JSON: with comments, say
    if after_space(content, end) < len(content):
        return _one_after_the_other(content, texts, strict=strict)
    assert isinstance(value, dict)
    if request.field is None:
        if (chats := objects.chats_in(value)) and any(chat.messages for chat in chats):
            return chat_documents(chats, origin, texts.encoding, texts.tally)
        if (record := request.record(value, f"{origin},")) is not None:
            return iter([record_document(origin, record, texts.encoding)])
    if strict and _is_a_text(value, request):
        return texts.documents([Value(f"{origin}, line 1,", f"{origin}:1", value)])
    shape = records_in(value, len(content), request.field)
    if shape is None:
        return texts.documents([Value(f"{origin}, line 1,", f"{origin}:1", value)]) if strict else None
    if shape.said != "one record":
        texts.tally.say_of("files", origin, f" is read as {shape.said}: {len(shape.records):,} records")
    return texts.documents(
        Value(f"{origin}, record {number},", f"{origin}:{number}", record)
        for number, record in enumerate(shape.records, start=1)
    )


def _one_after_the_other(content: str, texts: Texts, *, strict: bool) -> Iterator[Document] | None:
    """Objects one after the other, each over several lines perhaps."""
    try:
        every = list(values(content, texts.origin))
    except TextUnreadable:
        if strict:
            raise
        return None
    texts.tally.say_of("files", texts.origin, f" is read as {len(every):,} records, one after the other")
    return texts.documents(
        Value(f"{texts.origin}, record {number},", f"{texts.origin}:{number}", value)
        for number, value in enumerate(every, start=1)
    )


def _too_large(origin: str) -> TextUnreadable:
    return TextUnreadable(
        f"{origin} is more than {MAX_JSON:,} bytes of JSON, too large to be read in one go.",
        "Write it as JSON lines (.jsonl), one object a line:  jq -c '.[]' FILE > FILE.jsonl",
    )
