"""Tables of text (.csv, .tsv): one document a row, from the column that holds the text."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from homespun.errors import TextUnreadable
from homespun.text.blob import Blob, explained_errors
from homespun.text.chats import columns as chat_columns
from homespun.text.decode import detect, remarks_on
from homespun.text.document import Document, record_document
from homespun.text.fields import Choice, choose, fields_said, joined, listed, note, same_name, short
from homespun.text.formats import Request
from homespun.text.formats.chat import chat_documents
from homespun.text.formats.dialect import TableLines, dialect_of, has_header
from homespun.text.formats.lines import lines_of
from homespun.text.formats.marked import documents_of_field
from homespun.text.notes import Tally

MAX_LINE = 2**24  # characters of one line
MAX_COLUMNS = 2**14  # as many as a spreadsheet has
_LOOK = 1000  # rows by which the column is chosen
_LOOK_CHARACTERS = 2**22  # and no more of them than this


def comma_separated(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """One document a row. The separator is a comma, semicolon, tab or bar, whichever divides the lines alike.

    The first row names the columns, unless it looks like the others. Raises TextUnreadable.
    """
    encoding = detect(blob, request.encoding)
    tally.heed_all(remarks_on(encoding, blob.origin), blob.origin)
    with (
        explained_errors(blob.origin),
        io.TextIOWrapper(blob.open(), encoding=encoding.codec, errors=encoding.errors, newline="") as file,
    ):
        lines = lines_of(file, blob.origin, MAX_LINE)
        first = list(_first_lines(lines))
        if first:
            _refuse_width(1 + max(first[0].count(separator) for separator in ",;\t"), blob.origin)
        dialect = dialect_of(first, blob.suffix)
        rows = TableLines(chain(first[dialect.skip :], lines), dialect, number=dialect.skip)
        rows.learn(first[dialect.skip :])
        yield from _Table(blob.origin, encoding.name, request, tally).documents(rows)
        if rows.stray:
            one = "1 quotation mark that never closes is read as it stands"
            several = f"{rows.stray:,} quotation marks that never close are read as they stand"
            marks = one if rows.stray == 1 else several
            tally.say(f"{blob.origin}: {marks} (the first in line {rows.first_stray:,})")


def _refuse_width(columns: int, origin: str) -> None:
    if columns > MAX_COLUMNS:
        raise TextUnreadable(
            f"{origin} has {columns:,} columns: no table of texts has more than {MAX_COLUMNS:,}.",
            "Keep the column with the text, or give the file the suffix .txt to read it as it stands.",
        )


def _first_lines(lines: Iterator[str]) -> Iterator[str]:
    characters = 0
    for line in islice(lines, _LOOK):
        yield line
        characters += len(line)
        if characters > _LOOK_CHARACTERS:
            break


class _Table:
    """The documents of one table."""

    def __init__(self, origin: str, encoding: str, request: Request, tally: Tally) -> None:
        self.origin, self.encoding, self.request, self.tally = origin, encoding, request, tally

    def documents(self, rows: TableLines) -> Iterator[Document]:
        every = iter(rows)
        first = next((row for row in every if row), [])
        if not first:
            return
        _refuse_width(len(first), self.origin)
        look = first_rows(every)
        header = self._header(first, look)
        if header is None:
            header, look = [str(place) for place in range(1, len(first) + 1)], [first, *look]
            said = "each line is read as one text" if rows.dialect.whole_lines or len(header) == 1 else ""
        else:
            said = None
        body = chain(look, every)
        if (
            look
            and said is None
            and self.request.record(_row(header, look[0]), f"{self.origin}, row 1,") is not None
        ):
            yield from self._records(header, body)
        elif said is None and (columns := self._of_a_chat(header, look)) is not None:
            chat = chat_columns.read(columns, body)
            yield from chat_documents([chat], self.origin, self.encoding, self.tally)
        else:
            choice = self._choice(header, look, said)
            yield from self._texts(header, body, choice, rows.dialect.separator, rows.dialect.whole_lines)

    def _header(self, first: Sequence[str], look: Sequence[Sequence[str]]) -> list[str] | None:
        """The names of the columns; None where the first row is like the others."""
        names = [name.strip().lstrip("\ufeff") for name in first]
        wanted = self.request.field
        if wanted is not None and (same_name(wanted, list(dict.fromkeys(names))) or not wanted.isdigit()):
            return names  # or the error names them
        return names if not look or has_header(names, look) else None

    def _of_a_chat(self, header: list[str], look: list[list[str]]) -> chat_columns.Columns | None:
        """The columns of a chat; None where it is none, or the user named a column."""
        return chat_columns.columns_of(header, look) if self.request.field is None else None

    def _choice(self, header: list[str], look: Sequence[Sequence[str]], said: str | None) -> Choice:
        """The columns with the text, and a line about them in the notes."""
        columns = {
            name: [row[place] if place < len(row) else None for row in look] for place, name in enumerate(header)
        }
        choice = choose(columns, self.request.field)
        if choice is None and self.request.field is not None:
            there = f"its columns are {listed(header)}" if header != [""] else "it has no columns at all"
            raise TextUnreadable(
                f"{self.origin} has no column {self.request.field!r}; {there}.",
                "Name one that holds text with --field.",
            )
        if choice is None and len(header) > 1 and any(any(column) for column in columns.values()):
            raise TextUnreadable(
                f"{self.origin} has no column of text, as far as can be seen; its columns are {listed(header)}.",
                "Name the one that is meant with --field.",
            )
        if choice is None:
            longest = max(header, key=lambda name: sum(len(cell or "") for cell in columns[name]), default="text")
            choice = Choice((longest,), "only" if len(header) == 1 else "longest")
        if said:
            self.tally.say_of("files", self.origin, f": its first line is a text and no name: {said}")
        elif said is not None:
            where = (
                f"column {choice.names[0]}" if len(choice.names) == 1 else f"columns {' and '.join(choice.names)}"
            )
            self.tally.say_of(
                "files", self.origin, f": its first line names no columns; the text is taken from {where}"
            )
        elif len(header) == 1 and choice.how == "only":
            name = short(header[0])
            self.tally.say_of("files", self.origin, f": its first line, {name}, is read as a column's name")
        elif line := note(choice, header, "column"):
            self.tally.say_of("files", self.origin, line)
        return choice

    def _texts(
        self, header: list[str], rows: Iterable[Sequence[str]], choice: Choice, separator: str, whole_lines: bool
    ) -> Iterator[Document]:
        places = [header.index(name) for name in choice.names]
        read_as = "lines" if whole_lines else fields_said(choice, "rows of a table", "column")
        last = places[-1]
        for number, row in enumerate(rows, start=1):
            if len(row) > len(header):
                row = self._narrowed(list(row), len(header), last, separator, number)
            cells = [row[place] if place < len(row) else "" for place in places]
            text = cells[0] if len(cells) == 1 else joined(cells)
            place = f"{self.origin}:{number}"
            for document in documents_of_field(place, text, self.origin, self.encoding, self.request, self.tally):
                document.read_as = document.read_as or read_as
                yield document

    def _narrowed(self, row: list[str], width: int, place: int, separator: str, number: int) -> list[str]:
        """A row with more fields than columns: separators in its text were not quoted."""
        while len(row) > width and not row[-1].strip():
            row.pop()
        more = len(row) - width
        if more > 0:
            row[place : place + more + 1] = [separator.join(row[place : place + more + 1])]
            self.tally.add("wide", f"{self.origin}:{number}")
        return row

    def _records(self, header: list[str], rows: Iterable[Sequence[str]]) -> Iterator[Document]:
        for number, row in enumerate(rows, start=1):
            if not row:
                continue  # an empty line
            found = self.request.record(_row(header, row), f"{self.origin}, row {number:,},")
            if found is None:
                raise TextUnreadable(
                    f"{self.origin}, row {number:,}, is not what the rows before it are.",
                    self.request.expected.strip(),
                )
            yield record_document(f"{self.origin}:{number}", found, self.encoding)


def _row(header: Sequence[str], row: Sequence[str]) -> dict[str, str]:
    return {name: row[place] if place < len(row) else "" for place, name in enumerate(header)}


def first_rows(rows: Iterator[list[str]]) -> list[list[str]]:
    """The first rows, not more than can be looked at together."""
    found: list[list[str]] = []
    characters = 0
    for row in islice(rows, _LOOK):
        found.append(row)
        characters += sum(map(len, row)) + len(row)
        if characters > _LOOK_CHARACTERS:
            break
    return found
