"""JSON lines (.jsonl, .ndjson) and JSON lists (.json): one document an object, from its text field."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from itertools import islice

from homespun.errors import TextUnreadable
from homespun.text.blob import Blob, explained_errors
from homespun.text.decode import decoded, detect, remarks_on
from homespun.text.document import Document, record_document, text_document
from homespun.text.formats import Request
from homespun.text.formats.lines import lines_of
from homespun.text.notes import KINDS, Tally

MAX_JSON = 2**27  # bytes of a .json file, which has to be in memory as a whole
MAX_LINE = 2**27  # characters of one line of JSON
MAX_RECORD = 2**24  # characters of a .json file that may be a single record
_LOOK = 1000  # items by which a list of texts is explained_errors from one of numbers
_DECODER = json.JSONDecoder()
_BETWEEN = re.compile(r"[ \t\r\n]*")


def json_lines(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """One document a line: an object with the field `text` (or the one asked for), or a string.

    Raises TextUnreadable, which names the line, and the fields that are there.
    """
    encoding = detect(blob)
    tally.say(*remarks_on(encoding, blob.origin))
    errors = "replace" if encoding.damaged else "strict"
    with (
        explained_errors(blob.origin),
        io.TextIOWrapper(blob.open(), encoding=encoding.codec, errors=errors) as lines,
    ):
        for number, line in enumerate(lines_of(lines, blob.origin, MAX_LINE), start=1):
            if line.strip():
                where = f"{blob.origin}, line {number},"
                value = _only_value(line, where)
                yield _document(value, request, where, f"{blob.origin}:{number}", encoding.name)


def json_list(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """A list of objects or strings gives one document each; any other JSON is read as the text it is."""
    if blob.size > MAX_JSON:
        raise _too_large(blob.origin)
    document = decoded(blob)
    tally.say(*sorted(document.remarks - KINDS.keys()))  # of the file, however many documents are in it
    content = _whole(document)
    if not content.startswith("[", _after_space(content, 0)):
        if (found := request.record(_object(content), f"{blob.origin},")) is not None:
            yield record_document(blob.origin, found, document.encoding)
            return
        if request.field is not None:
            raise TextUnreadable(
                f"{blob.origin} is not a list of objects.", "Leave the field out to read it as text."
            )
        del content  # a large one is read anew, piece by piece
        yield document
        return
    first = islice(_items(content, blob.origin), _LOOK)
    if request.field is None and not any(isinstance(record, (str, dict)) for record in first):
        del content, first
        yield document
        return
    for number, record in enumerate(_items(content, blob.origin), start=1):
        where = f"{blob.origin}, item {number},"
        yield _document(record, request, where, f"{blob.origin}:{number}", document.encoding)


def _document(value: object, request: Request, where: str, origin: str, encoding: str) -> Document:
    found = request.record(value, where)
    if found is not None:
        return record_document(origin, found, encoding)
    return text_document(origin, _text_of(value, request, where), encoding)


def _object(content: str) -> object:
    """What a .json file that is no list holds; None where that is no JSON, or more than one record may be."""
    if len(content) > MAX_RECORD:
        return None
    try:
        value, end = _DECODER.raw_decode(content, _after_space(content, 0))
    except (ValueError, RecursionError):
        return None
    return value if _after_space(content, end) == len(content) else None


def _whole(document: Document) -> str:
    """The text of a document, if it is not too large. How large a packed one is shows only here."""
    pieces, length = [], 0
    for piece in document.pieces():
        pieces.append(piece)
        length += len(piece)
        if length > MAX_JSON:
            raise _too_large(document.origin)
    return "".join(pieces)


def _too_large(origin: str) -> TextUnreadable:
    return TextUnreadable(
        f"{origin} is more than {MAX_JSON:,} bytes of JSON, too large to be read in one go.",
        "Write it as JSON lines (.jsonl), one object a line:  jq -c '.[]' FILE > FILE.jsonl",
    )


def _only_value(line: str, where: str) -> object:
    value, end = _parsed(line, where, _after_space(line, 0))
    if line[end:].strip():
        raise _no_json(where, "more than one value", line, end)
    return value


def _items(content: str, origin: str) -> Iterator[object]:
    """The items of a JSON list, one at a time: all of them together can be ten times the text."""
    at = _after_space(content, _after_space(content, 0) + 1)
    more = not content.startswith("]", at)
    while more:
        item, at = _parsed(content, origin, at)
        yield item
        at = _after_space(content, at)
        more = content.startswith(",", at)
        if more:
            at = _after_space(content, at + 1)
    if not content.startswith("]", at):
        raise _no_json(origin, "a comma or the end of the list is missing", content, at)
    if (rest := _after_space(content, at + 1)) < len(content):
        raise _no_json(origin, "there is more after the end of the list", content, rest)


def _after_space(text: str, at: int) -> int:
    found = _BETWEEN.match(text, at)
    assert found is not None, "it matches nothing, too"
    return found.end()


def _parsed(text: str, where: str, at: int = 0) -> tuple[object, int]:
    """The JSON value that stands at a place of the text, and the place after it."""
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        raise _no_json(where, error.msg, text, error.pos) from error
    except RecursionError as error:
        raise TextUnreadable(
            f"{where} cannot be read as JSON: it is nested too deep.",
            "Leave that record out, or give the file the suffix .txt to read it as it stands.",
        ) from error
    except ValueError as error:
        raise TextUnreadable(
            f"{where} cannot be read as JSON: it has a number of thousands of digits.",
            "Leave that record out, or give the file the suffix .txt to read it as it stands.",
        ) from error


def _no_json(where: str, why: str, text: str, position: int) -> TextUnreadable:
    line_start = text.rfind("\n", 0, position) + 1
    line = text.count("\n", 0, position)
    place = f"column {position - line_start + 1:,}" + (f" of line {line + 1:,}" if line else "")
    return TextUnreadable(
        f"{where} is not JSON: {why} at {place}, near {_near(text, position)!r}.",
        "Correct it there, or give the file the suffix .txt to read it as it stands.",
    )


def _near(text: str, position: int) -> str:
    return text[max(0, position - 10) : position + 20].strip()


def _text_of(record: object, request: Request, where: str) -> str:
    """The text in a record; "" where the field is empty."""
    if isinstance(record, str) and request.field is None:
        return record
    if not isinstance(record, dict):
        raise TextUnreadable(
            f"{where} is a {type(record).__name__}, not an object.",
            f'Write {{"text": "…"}} there.{request.expected}',
        )
    name = request.field or "text"
    if name not in record:
        raise TextUnreadable(
            f"{where} has no field {name!r}; {_fields(record)}", f"{_way_out(record, request)}{request.expected}"
        )
    text = record[name]
    if not isinstance(text, str) and text is not None:
        shown = "" if isinstance(text, (list, dict)) else f": {text}"[:60]
        raise TextUnreadable(
            f"{where} has no text in the field {name!r} but a {type(text).__name__}{shown}.",
            _way_out(record, request),
        )
    return text or ""


def _fields(record: dict) -> str:
    names = [repr(name) for name in list(record)[:12]]
    return f"it has {', '.join(names)}." if names else "it has none at all."


def _way_out(record: dict, request: Request) -> str:
    if any(isinstance(record.get(name), list) for name in ("messages", "conversations")):
        without = " without --field" if request.field is not None else ""
        return f"That is a conversation, and homespun finetune MODEL FILE{without} learns from those."
    textual = [name for name, value in record.items() if isinstance(value, str)]
    return (
        f"Name the field that holds the text, such as --field {textual[0]}." if textual else "No field holds text."
    )
