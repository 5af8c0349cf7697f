"""Tables (.csv, .tsv, .parquet): one document a row, from the column that holds the text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from homespun.errors import MissingExtra, TextUnreadable
from homespun.text.blob import Blob, explained_errors
from homespun.text.decode import detect, remarks_on
from homespun.text.document import Document, record_document, text_document
from homespun.text.formats import Request
from homespun.text.formats.lines import lines_of
from homespun.text.notes import Tally

MAX_LINE = 2**24  # characters of one line
MAX_FIELD = 2**26  # characters of one field, which may have many lines: a whole book in one is fine
LONGEST_NAME = 60  # characters of a column's name that are shown: a table without names has texts there
MAX_COLUMNS = 2**14  # as many as a spreadsheet has
_LOOK = 1000  # rows by which the column is chosen
_ROWS = 64  # of a Parquet table that are in memory together
_LOOK_CHARACTERS = 2**22  # and no more of them than this


def comma_separated(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """One document a row; the first row names the columns. Fields are separated by commas, in .tsv by tabs;
    a file whose first line has no comma but semicolons or tabs is read by those. Raises TextUnreadable."""
    encoding = detect(blob)
    tally.heed_all(remarks_on(encoding, blob.origin), blob.origin)
    errors = "replace" if encoding.damaged else "strict"
    csv.field_size_limit(MAX_FIELD)
    with (
        explained_errors(blob.origin),
        io.TextIOWrapper(blob.open(), encoding=encoding.codec, errors=errors, newline="") as file,
    ):
        lines = lines_of(file, blob.origin, MAX_LINE)
        first = next(lines, "")
        rows = csv.reader(chain([first], lines), delimiter=_separator(first, blob.suffix))
        try:
            header = next(rows, [])
            if len(header) > MAX_COLUMNS:
                raise _too_wide(blob.origin, len(header))
            look = _first_of(rows)
            if look and request.record(_row(header, look[0]), f"{blob.origin}, row 1,") is not None:
                yield from _records(header, chain(look, rows), request, blob.origin, encoding.name)
                return
            column = header.index(_column(header, look, request.field, blob.origin, tally))
            if header == [header[column]] and header[column] not in ("text", request.field):
                tally.say(f"{blob.origin}: its first line, {_short(header[column])}, is read as a column's name")
            for number, row in enumerate(chain(look, rows), start=1):
                text = row[column] if column < len(row) else ""
                yield text_document(f"{blob.origin}:{number}", text, encoding.name)
        except csv.Error as error:
            raise TextUnreadable(
                f"{blob.origin}, line {rows.line_num}, is no row of a table: {error}.",
                "Correct it there, or give the file the suffix .txt to read it as it stands.",
            ) from error


def _row(header: list[str], row: list[str]) -> dict[str, str]:
    return {name: row[column] if column < len(row) else "" for column, name in enumerate(header)}


def _records(
    header: list[str], rows: Iterable[list[str]], request: Request, origin: str, encoding: str
) -> Iterator[Document]:
    for number, row in enumerate(rows, start=1):
        if not row:
            continue  # an empty line
        found = request.record(_row(header, row), f"{origin}, row {number:,},")
        if found is None:
            raise TextUnreadable(
                f"{origin}, row {number:,}, is not what the rows before it are.", request.expected.strip()
            )
        yield record_document(f"{origin}:{number}", found, encoding)


def _first_of(rows: Iterator[list[str]]) -> list[list[str]]:
    """The first rows, not more than can be looked at together."""
    found: list[list[str]] = []
    characters = 0
    for row in islice(rows, _LOOK):
        found.append(row)
        characters += sum(map(len, row)) + len(row)
        if characters > _LOOK_CHARACTERS:
            break
    return found


def _too_wide(origin: str, columns: int) -> TextUnreadable:
    return TextUnreadable(
        f"{origin} has {columns:,} columns: no table of texts has more than {MAX_COLUMNS:,}.",
        "Keep the column with the text, or give the file the suffix .txt to read it as it stands.",
    )


def _separator(first: str, suffix: str) -> str:
    if suffix == ".tsv":
        return "\t"
    return max(",;\t", key=first.count)  # the comma where none is there at all


def _column(header: list[str], rows: list[list[str]], wanted: str | None, origin: str, tally: Tally) -> str:
    """The column that holds the text: the one asked for, `text`, else that with the longest values."""
    if wanted is not None or "text" in header:
        return _named_column(header, wanted or "text", origin)
    if not header:
        return _named_column(header, "text", origin)
    lengths = [sum(len(row[i]) for row in rows if i < len(row)) for i in range(len(header))]
    chosen = header[lengths.index(max(lengths))]
    if len(header) > 1:
        tally.say(
            f"{origin}: the text is taken from the column {_short(chosen)}, the longest of {_listed(header)}"
        )
    return chosen


def _short(name: str) -> str:
    return repr(name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…")


def _named_column(names: list[str], wanted: str, origin: str) -> str:
    if wanted not in names:
        there = f"its columns are {_listed(names)}" if names else "it has no columns at all"
        todo = "Name one that holds text with --field." if names else "Give a table with a text in it."
        raise TextUnreadable(f"{origin} has no column {wanted!r}; {there}.", todo)
    return wanted


def _listed(names: list[str]) -> str:
    return ", ".join(map(_short, names[:12])) + (", …" if len(names) > 12 else "")


def parquet(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """One document a row of a Parquet table, read in batches. Raises TextUnreadable, MissingExtra."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra("Reading .parquet files", "formats") from error
    with explained_errors(blob.origin), blob.open() as file:
        try:
            found = _record_rows(pyarrow.parquet.ParquetFile(file), request, blob.origin)
            if (first := next(found, None)) is not None:
                yield from chain([first], found)
                return
            textual = _textual(pyarrow.parquet.read_schema(file), blob.origin)
            # A text that stands there once and counts for a million rows is kept once.
            table = pyarrow.parquet.ParquetFile(file, read_dictionary=textual)
            column = _text_column(table, textual, request.field, blob.origin, tally)
            number = 0
            for batch in table.iter_batches(batch_size=_ROWS, columns=[column]):
                for value in batch.column(0):
                    number += 1
                    yield text_document(f"{blob.origin}:{number}", value.as_py() or "")
        except pyarrow.ArrowException as error:
            raise TextUnreadable(
                f"{blob.origin} is not a whole Parquet file: {error}", "Get it again from where it came from."
            ) from error


def _record_rows(table, request: Request, origin: str) -> Iterator[Document]:
    """The rows as records; none where the first is not one."""
    if request.records is None or request.field is not None:
        return
    number = 0
    for batch in table.iter_batches(batch_size=_ROWS):
        for row in batch.to_pylist():
            number += 1
            found = request.record(row, f"{origin}, row {number:,},")
            if found is None and number == 1:
                return
            if found is None:
                raise TextUnreadable(
                    f"{origin}, row {number:,}, is not what the rows before it are.", request.expected.strip()
                )
            yield record_document(f"{origin}:{number}", found)


def _textual(schema, origin: str) -> list[str]:
    """The names of the columns that hold strings."""
    import pyarrow.types as types

    names = [
        field.name
        for field in schema
        if types.is_string(field.type) or types.is_large_string(field.type) or types.is_string_view(field.type)
    ]
    if not names:
        raise TextUnreadable(
            f"{origin} has no column of text; its columns are {_listed(schema.names)}.",
            "Give a table with a column of strings.",
        )
    return names


def _text_column(table, textual: list[str], wanted: str | None, origin: str, tally: Tally) -> str:
    if wanted is not None or "text" in textual:
        return _named_column(textual, wanted or "text", origin)
    batches = table.iter_batches(batch_size=_ROWS, columns=textual)
    rows = ([column[i].as_py() or "" for column in batch.columns] for batch in batches for i in range(len(batch)))
    return _column(textual, _first_of(rows), wanted, origin, tally)
