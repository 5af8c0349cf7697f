"""Records to documents: which field holds the text is chosen once for a file, by its first records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from homespun.errors import TextUnreadable
from homespun.text.chats import assistants, objects
from homespun.text.document import Document, record_document, text_document
from homespun.text.fields import Choice, choose, fields_said, flat_text, joined, note, same_name
from homespun.text.formats import Request
from homespun.text.formats.chat import chat_documents
from homespun.text.formats.marked import documents_of_field
from homespun.text.marks import as_lines
from homespun.text.notes import Tally
from homespun.text.shapes import columns_of

_LOOK = 1000  # records by which the field is chosen
_LOOK_CHARACTERS = 2**22  # and no more of them than this
_BY_NAME = ("named", "text", "name")
_TALKS = ("messages", "conversations", "conversation")


@dataclass(frozen=True)
class Value:
    """A record, `where` it stands for errors ("a.jsonl, line 3,"), and the `origin` of its document."""

    where: str
    origin: str
    content: object


class Texts:
    """The documents of the records of one file."""

    def __init__(self, request: Request, origin: str, encoding: str, tally: Tally) -> None:
        self.request, self.origin, self.encoding, self.tally = request, origin, encoding, tally

    def documents(self, values: Iterable[Value]) -> Iterator[Document]:
        """A document a record. Raises TextUnreadable for one that has no text where the others have it."""
        rest = iter(values)
        look, problem = _first_of(rest)
        if problem is None and self._is_a_chat(look):
            every = [value.content for value in chain(look, rest)]
            if chats := objects.chats_in(every):
                yield from chat_documents(chats, self.origin, self.encoding, self.tally)
                return
            rest = iter(())
            look = [Value(self.origin, self.origin, content) for content in every]
        records = [value.content for value in look if isinstance(value.content, Mapping)]
        columns = columns_of(records)
        choice = choose(columns, self.request.field)
        if self.request.records is not None and choice is not None and choice.how not in _BY_NAME:
            choice = None  # a question and its answer that nobody knows as such are no text beside conversations
        said = False
        for value in chain(look, rest):
            found = self.request.record(value.content, value.where)
            if found is not None:
                yield record_document(value.origin, found, self.encoding)
                continue
            if (messages := assistants.messages_of(value.content)) is not None:
                yield from self._conversation(value, messages)
                continue
            try:
                text = self._text_of(value, choice)
            except TextUnreadable as error:
                yield record_document(value.origin, self.request.instead_of(error), self.encoding)
                continue
            if choice is not None and not said and isinstance(value.content, Mapping):
                said = True
                if line := note(choice, list(columns), "field"):
                    self.tally.say_of("files", self.origin, line)
            for document in documents_of_field(
                value.origin, text, self.origin, self.encoding, self.request, self.tally
            ):
                document.read_as = document.read_as or (
                    fields_said(choice, "JSON records", "field") if choice else "JSON"
                )
                yield document
        if problem is not None:
            yield record_document(self.origin, self.request.instead_of(problem), self.encoding)

    def _conversation(self, value: Value, messages: list[dict[str, str]]) -> Iterator[Document]:
        """One that ChatGPT or Claude exported."""
        found = self.request.record({"messages": messages}, value.where) if messages else None
        if found is not None:
            yield record_document(value.origin, found, self.encoding)
            return
        self.tally.add("talk", value.origin)
        document = text_document(value.origin, as_lines(messages), self.encoding)
        document.read_as = "a conversation with an assistant"
        yield document

    def rows(self, first: Sequence[list], values: Iterable[Value]) -> Iterator[Document] | None:
        """The documents of records that are lists, as tables are; None where no column has texts."""
        width = max(map(len, first))
        columns = {
            str(place): [row[place] if place < len(row) else None for row in first] for place in range(width)
        }
        choice = choose(columns)
        if choice is None:
            return None
        self.tally.say_of(
            "files", self.origin, f" is read as rows; the text is in place {int(choice.names[0]) + 1} of each"
        )
        return self._cells(values, int(choice.names[0]))

    def _cells(self, values: Iterable[Value], place: int) -> Iterator[Document]:
        for value in values:
            cells = value.content if isinstance(value.content, list) else []
            text = flat_text(cells[place] if place < len(cells) else None) or ""
            yield from documents_of_field(value.origin, text, self.origin, self.encoding, self.request, self.tally)

    def _is_a_chat(self, look: Sequence[Value]) -> bool:
        if self.request.field is not None or len(look) < 2:
            return False
        chats = objects.chats_in([value.content for value in look])
        return bool(chats) and any(chat.messages for chat in chats or ())

    def _text_of(self, value: Value, choice: Choice | None) -> str:
        """The text in a record; "" where the field is empty."""
        record, where = value.content, value.where
        if isinstance(record, str) and self.request.field is None:
            return record
        if not isinstance(record, Mapping):
            raise TextUnreadable(
                f"{where} is a {type(record).__name__}, not an object.",
                f'Write {{"text": "…"}} there.{self.request.expected}',
            )
        names = choice.names if choice else (self.request.field or "text",)
        there = [name for name in names if name in record]
        if not there:
            raise TextUnreadable(
                f"{where} has no field {names[0]!r}; {_fields(record)}",
                f"{_way_out(record, self.request)}{self.request.expected}",
            )
        parts = [flat_text(record[name]) for name in there]
        if None in parts:
            name = there[parts.index(None)]
            inner = record[name]
            shown = "" if isinstance(inner, (list, dict)) else f": {inner}"[:60]
            raise TextUnreadable(
                f"{where} has no text in the field {name!r} but a {type(inner).__name__}{shown}.",
                _way_out(record, self.request),
            )
        return (parts[0] or "") if len(names) == 1 else joined([part or "" for part in parts])


def _first_of(values: Iterator[Value]) -> tuple[list[Value], TextUnreadable | None]:
    """The first records, not more than can be looked at together, and what stopped the reading if anything did."""
    found: list[Value] = []
    characters = 0
    try:
        for value in values:
            found.append(value)
            characters += len(str(value.content)) if len(found) < 50 else 0
            mean = characters / min(len(found), 50)
            if len(found) >= _LOOK or mean * len(found) > _LOOK_CHARACTERS:
                break
    except TextUnreadable as problem:
        return found, problem
    return found, None


def _fields(record: Mapping) -> str:
    names = [repr(name) for name in list(record)[:12]]
    return f"it has {', '.join(names)}." if names else "it has none at all."


def _way_out(record: Mapping, request: Request) -> str:
    if any(isinstance(record.get(name), list) for name in _TALKS):
        without = " without --field" if request.field is not None else ""
        return f"That is a conversation, and homespun finetune MODEL FILE{without} learns from those."
    if request.field is not None and (near := same_name(request.field, list(record))):
        return f"Name it as it is written there: --field {near}"
    choice = choose({str(name): [inner] for name, inner in record.items()})
    if choice is None:
        return "No field holds text."
    return f"Name the field that holds the text, such as --field {choice.names[0]}."
