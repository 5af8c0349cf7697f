"""JSON lines (.jsonl, .ndjson) and JSON lists (.json): one document an object, from its text field."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

from homespun.errors import TextUnreadable
from homespun.text.blob import Blob, told
from homespun.text.decode import decoded, detect
from homespun.text.document import Document, text_document
from homespun.text.formats import Request
from homespun.text.notes import Tally

MAX_JSON = 2**29  # bytes of a .json file, which has to be in memory as a whole


def json_lines(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """One document a line: an object with the field `text` (or the one asked for), or a string.

    Raises TextUnreadable, which names the line, and the fields that are there.
    """
    encoding = detect(blob)
    errors = "replace" if encoding.damaged else "strict"
    with told(blob.origin), io.TextIOWrapper(blob.open(), encoding=encoding.codec, errors=errors) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                record = _parsed(line, f"{blob.origin}, line {number},")
                text = _text_of(record, request.field, f"{blob.origin}, line {number},")
                yield text_document(f"{blob.origin}:{number}", text, encoding.name)


def json_list(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """A list of objects or strings gives one document each; any other JSON is read as the text it is."""
    if blob.size > MAX_JSON:
        raise TextUnreadable(
            f"{blob.origin} is {blob.size:,} bytes of JSON, too large to be read in one go.",
            "Write it as JSON lines (.jsonl), one object a line:  jq -c '.[]' FILE > FILE.jsonl",
        )
    document = decoded(blob)
    content = document.read()
    if not content.lstrip().startswith("["):
        if request.field is not None:
            raise TextUnreadable(
                f"{blob.origin} is not a list of objects.", "Leave the field out to read it as text."
            )
        yield document
        return
    records = _parsed(content, blob.origin)
    if request.field is None and not any(isinstance(record, (str, dict)) for record in records):
        yield document
        return
    for number, record in enumerate(records, start=1):
        text = _text_of(record, request.field, f"{blob.origin}, item {number},")
        yield text_document(f"{blob.origin}:{number}", text, document.encoding)


def _parsed(text: str, where: str):
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise TextUnreadable(
            f"{where} is not JSON: {error.msg} at column {error.colno}, near {_near(text, error.pos)!r}.",
            "Correct it there, or give the file the suffix .txt to read it as it stands.",
        ) from error
    except (RecursionError, ValueError) as error:  # nested too deep; a number of thousands of digits
        raise TextUnreadable(
            f"{where} cannot be read as JSON: {error}.", "Correct or leave out that line."
        ) from error


def _near(text: str, position: int) -> str:
    return text[max(0, position - 10) : position + 20].strip()


def _text_of(record: object, field: str | None, where: str) -> str:
    """The text in a record; "" where the field is empty."""
    if isinstance(record, str) and field is None:
        return record
    if not isinstance(record, dict):
        raise TextUnreadable(f"{where} is a {type(record).__name__}, not an object.", 'Write {"text": "…"} there.')
    name = field or "text"
    if name not in record:
        raise TextUnreadable(f"{where} has no field {name!r}; {_fields(record)}", _way_out(record))
    text = record[name]
    if not isinstance(text, str) and text is not None:
        raise TextUnreadable(
            f"{where} has no text in the field {name!r} but a {type(text).__name__}: {json.dumps(text)[:60]}",
            _way_out(record),
        )
    return text or ""


def _fields(record: dict) -> str:
    names = [repr(name) for name in list(record)[:12]]
    return f"it has {', '.join(names)}." if names else "it has none at all."


def _way_out(record: dict) -> str:
    textual = [name for name, value in record.items() if isinstance(value, str)]
    return (
        f"Name the field that holds the text, such as --field {textual[0]}." if textual else "No field holds text."
    )
