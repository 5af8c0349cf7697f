"""Tables of columns (.parquet, .arrow, .feather): one document a row, from the column that holds the text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, BinaryIO

from homespun.errors import MissingExtra, TextUnreadable
from homespun.text.blob import Blob, explained_errors
from homespun.text.chats import objects
from homespun.text.document import Document, record_document
from homespun.text.fields import choose, fields_said, flat_text, joined, listed, note, same_name
from homespun.text.formats import Request
from homespun.text.formats.chat import chat_documents
from homespun.text.formats.marked import documents_of_field
from homespun.text.notes import Tally

_ROWS = 64  # of a table that are in memory together
_LOOK = 200  # rows by which the column is chosen
_LOOK_CHARACTERS = 2**22


def parquet(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """One document a row of a Parquet table, read in batches. Raises TextUnreadable, MissingExtra."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra("Reading .parquet files", "formats") from error
    with explained_errors(blob.origin), blob.open() as file:
        try:
            schema = pyarrow.parquet.read_schema(file)

            def batches(columns: list[str] | None) -> Iterator[Any]:
                # A text that stands there once and counts for a million rows is kept once.
                textual = [name for name in columns or [] if _is_string(schema.field(name).type)]
                table = pyarrow.parquet.ParquetFile(file, read_dictionary=textual or None)
                return table.iter_batches(batch_size=_ROWS, columns=columns)

            yield from _documents(blob.origin, schema, batches, request, tally)
        except (pyarrow.ArrowException, UnicodeDecodeError) as error:
            raise TextUnreadable(
                f"{blob.origin} is not a whole Parquet file: {_in_short(error)}",
                "Get it again from where it came from.",
            ) from error


def arrow(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """One document a row of an Arrow stream or file, as Dataset.save_to_disk writes. Raises as `parquet` does."""
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtra("Reading .arrow files", "formats") from error
    with explained_errors(blob.origin):
        try:
            with blob.open() as file, _opened(file) as table:
                schema = table.schema

            def batches(columns: list[str] | None) -> Iterator[Any]:
                with blob.open() as file, _opened(file) as table:
                    for batch in _batches_of(table):
                        for start in range(0, batch.num_rows, _ROWS):
                            rows = batch.slice(start, _ROWS)
                            yield rows if columns is None else rows.select(columns)

            yield from _documents(blob.origin, schema, batches, request, tally)
        except (pyarrow.ArrowException, UnicodeDecodeError) as error:
            raise TextUnreadable(
                f"{blob.origin} is not a whole Arrow table: {_in_short(error)}",
                "Get it again from where it came from.",
            ) from error


def _opened(file: BinaryIO) -> Any:
    import pyarrow

    head = file.read(6)
    file.seek(0)
    return pyarrow.ipc.open_file(file) if head == b"ARROW1" else pyarrow.ipc.open_stream(file)


def _batches_of(table: Any) -> Iterator[Any]:
    if hasattr(table, "num_record_batches"):
        return (table.get_batch(number) for number in range(table.num_record_batches))
    return iter(table)


def _in_short(error: Exception) -> str:
    said = " ".join(str(error).split())
    return said if len(said) <= 200 else f"{said[:199]}…"


def _documents(origin: str, schema: Any, batches: Any, request: Request, tally: Tally) -> Iterator[Document]:
    """batches: from names of columns (None: all) to batches of rows."""
    found = _records(origin, batches, request)
    if (first := next(found, None)) is not None:
        yield from chain([first], found)
        return
    names = [field.name for field in schema if _may_hold_text(field.type)]
    if (
        request.field is not None
        and (near := same_name(request.field, schema.names)) is not None
        and near not in names
    ):
        raise TextUnreadable(_no_column(origin, request.field, names), "Name one that holds text with --field.")
    if not names:
        raise TextUnreadable(
            f"{origin} has no column of text; its columns are {listed(schema.names)}.", _way_out(schema.names)
        )
    look = _first_rows(batches(names))
    if request.field is None and look and (chats := _chats(batches)) is not None:
        yield from chat_documents(chats, origin, "utf-8", tally)
        return
    columns = {name: [row[name] for row in look] for name in names}
    choice = choose(columns, request.field)
    if choice is None and request.field is not None:
        raise TextUnreadable(_no_column(origin, request.field, names), "Name one that holds text with --field.")
    if choice is None:
        raise TextUnreadable(
            f"{origin} has no column of text; its columns are {listed(schema.names)}.",
            _way_out(schema.names),
        )
    if line := note(choice, names, "column"):
        tally.say_of("files", origin, line)
    chosen, read_as = list(choice.names), fields_said(choice, "rows of a table", "column")
    number = 0
    for batch in batches(chosen):
        for cells in zip(*(batch.column(batch.schema.get_field_index(name)) for name in chosen), strict=True):
            number += 1
            parts = [flat_text(_plain(cell.as_py())) or "" for cell in cells]
            text = parts[0] if len(parts) == 1 else joined(parts)
            for document in documents_of_field(f"{origin}:{number}", text, origin, "utf-8", request, tally):
                document.read_as = document.read_as or read_as
                yield document


def _no_column(origin: str, wanted: str, names: list[str]) -> str:
    return f"{origin} has no column {wanted!r}; its columns are {listed(names)}."


def _way_out(names: list[str]) -> str:
    if any(name in names for name in ("messages", "conversations", "conversation")):
        return "Those are conversations, and homespun finetune MODEL FILE learns from those."
    return "Give a table with a column of strings."


def _is_string(kind: Any) -> bool:
    import pyarrow.types as types

    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def _may_hold_text(kind: Any) -> bool:
    """Strings, their dictionaries (pandas' categories), lists of strings, objects with a string in them, bytes."""
    import pyarrow.types as types

    if types.is_dictionary(kind):
        return _may_hold_text(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind):
        return _is_string(kind.value_type)
    if types.is_struct(kind):
        return any(_is_string(kind.field(place).type) for place in range(kind.num_fields))
    return _is_string(kind) or types.is_binary(kind) or types.is_large_binary(kind)


def _plain(value: object) -> object:
    """Bytes as the text that Spark writes so; anything else as it is."""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return None
    return value


def _first_rows(batches: Iterable[Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    characters = 0
    rows = (batch.slice(number, 1) for batch in batches for number in range(batch.num_rows))
    for row in islice(rows, _LOOK):
        cells = row.to_pylist()[0]
        found.append({name: _plain(cell) for name, cell in cells.items()})
        characters += sum(len(str(cell)) for cell in cells.values())
        if characters > _LOOK_CHARACTERS:
            break
    return found


def _chats(batches: Any) -> list[Any] | None:
    if objects.chats_in(next(iter(batches(None))).to_pylist()) is None:
        return None
    return objects.chats_in([row for batch in batches(None) for row in batch.to_pylist()])


def _records(origin: str, batches: Any, request: Request) -> Iterator[Document]:
    """The rows as records; none where the first is not one."""
    if request.records is None or request.field is not None:
        return
    number = 0
    for batch in batches(None):
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
