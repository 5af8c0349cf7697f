"""A corpus: the documents of one run, and the sources that they come from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from homespun.errors import NotEnoughText
from homespun.text.blob import Blob, explained_errors, file_blob
from homespun.text.document import Document, whole_characters
from homespun.text.folder import Found, has, listed, open_found
from homespun.text.formats import Request, documents_of
from homespun.text.layout import layout_of
from homespun.text.members import is_mostly_code, read_members
from homespun.text.notes import KINDS, Tally

if TYPE_CHECKING:
    from homespun.text.survey import Survey


class Source(Protocol):
    """Something that gives documents, the same ones each time."""

    def documents(self, request: Request, tally: Tally) -> Iterator[Document]: ...

    def signature(self) -> Any:
        """Plain data that changes when the content does, had without reading it; None where there is none."""


@dataclass(frozen=True)
class FileSource:
    """One file. `shown` is what a person calls it, `name` has the suffix that tells its kind."""

    path: Path
    shown: str
    name: str
    lasting: bool = True  # False for what was spooled from a pipe
    said: str = ""  # a line for the notes

    def documents(self, request: Request, tally: Tally) -> Iterator[Document]:
        blob = file_blob(self.path, self.shown)
        if self.said:
            tally.say(self.said)
        yield from documents_of(Blob(self.shown, self.name, blob.size, blob.open), request, tally)

    def signature(self) -> Any:
        if not self.lasting:
            return None
        with explained_errors(self.shown):
            facts = self.path.stat()
        return [self.shown, self.name, str(self.path.resolve()), facts.st_size, facts.st_mtime_ns, self.said]


@dataclass
class FolderSource:
    """A folder or code repository. `suffixes` keeps to files of these kinds, `without` leaves folders out.

    `only` is for one of several processes that share the reading: the others read the other files.
    """

    root: Path
    shown: str
    suffixes: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    only: frozenset[int] | None = None  # numbers of the files to read; None for all
    reading: int = 0  # the number of the file that the last document came from

    @cached_property
    def _listing(self) -> tuple[list[Found], Tally]:
        """Listed once, so that every reading in a run is of the same files."""
        tally = Tally()
        found = [
            file
            for file in listed(self.root, tally, self.without)
            if not self.suffixes or Path(file.path).suffix in self.suffixes
        ]
        return found, tally

    @cached_property
    def is_repository(self) -> bool:
        """Whether it is read as source code: most of its files are code; under git, half of them or of the
        bytes."""
        files = self._listing[0]
        if has(self.root, ".git"):  # scripts beside a novel are not what the folder is about
            return is_mostly_code({file.path: file.size for file in files})
        return is_mostly_code([file.path for file in files])

    def documents(self, request: Request, tally: Tally) -> Iterator[Document]:
        files, walked = self._listing
        tally.merge(walked)
        if self.is_repository:
            tally.say(f"{self.shown} is read as source code: each file begins with a line # path/of/the/file")
        names = [file.path for file in files]
        yield from read_members(self._members(), names, self.is_repository, request, tally)

    def _members(self) -> Iterator[Blob]:
        for number, file in enumerate(self._listing[0]):
            if self.only is None or number in self.only:
                self.reading = number
                yield self._blob(file)

    def files_and_sizes(self) -> list[tuple[str, int]]:
        """The files that are read, by their paths in the folder, and their sizes in bytes."""
        return [(file.path, file.size) for file in self._listing[0]]

    def separate_files(self) -> int:
        """How many files it has; 1 where they are read together, as the days of a chat."""
        files = self._listing[0]
        return 1 if layout_of(file.path for file in files).slack else len(files)

    def restricted_to(self, only: frozenset[int]) -> FolderSource:
        """The same folder, of which only those files are read. It is not listed again."""
        other = replace(self, only=only)
        other.__dict__["_listing"] = self._listing
        other.__dict__["is_repository"] = self.is_repository
        return other

    def _blob(self, file: Found) -> Blob:
        path = Path(file.real) if file.real else self.root / file.path
        name = whole_characters(file.path)  # it may be no text at all, and stands at the head of source code
        return Blob(f"{self.shown.rstrip('/')}/{name}", name, file.size, lambda: open_found(path))

    def signature(self) -> Any:
        files = [(file.path, file.size, file.changed) for file in self._listing[0]]
        return [self.shown, str(self.root.resolve()), self.is_repository, self._listing[1].lines(), files]


@dataclass
class Corpus:
    """The documents of one run, read when they are asked for, as often as they are asked for.

    `name` is short and fit for a folder: "shakespeare", "my-notes"; `title` is for people.
    `notes` are one-liners for people about how it was read, complete after `survey()`; `said` are those that
    were known before.
    """

    name: str
    title: str
    sources: Sequence[Source]
    request: Request = field(default_factory=Request)
    notes: list[str] = field(default_factory=list)
    said: Sequence[str] = ()
    _survey: Survey | None = field(default=None, repr=False)

    def documents(self, tally: Tally | None = None) -> Iterator[Document]:
        """The documents that have text in them, in an order that is the same on every machine.

        What is passed over is counted in `tally`. Raises TextUnreadable, MissingExtra, and NotEnoughText
        where nothing but white space was found.
        """
        tally = tally if tally is not None else Tally()
        nothing = True
        for source in self.sources:
            for document in source.documents(self.request, tally):
                if document.record is None and _is_blank(document):
                    tally.add("empty", document.origin)
                else:
                    nothing = False
                    yield document
        if nothing:
            raise _nothing_to_read(self, tally)

    def number_of_files(self) -> int:
        """How many files there are to divide among processes. A folder that is read as a whole is one."""
        return sum(map(files_in, self.sources))

    def documents_of(self, files: Collection[int], tally: Tally) -> Iterator[tuple[int, Document]]:
        """The documents of those files alone, each with the number of its file; other files are not opened.

        They are those that `documents` gives, and in its order.
        """
        first = 0
        for source in self.sources:
            there = files_in(source)
            own = frozenset(number - first for number in files if first <= number < first + there)
            part = source.restricted_to(own) if isinstance(source, FolderSource) and there > 1 else None
            for document in (part or source).documents(self.request, tally) if own else ():
                if document.record is None and _is_blank(document):
                    tally.add("empty", document.origin)
                else:
                    yield first + (part.reading if part else 0), document
            first += there

    def take_survey(self, survey: Survey) -> None:
        """Take the survey that several processes have made together."""
        self._survey = survey

    def survey(self, on_progress: Callable[[int], None] | None = None) -> Survey:
        """One pass over everything; kept in memory and, for files, in the cache until one of them changes.

        `on_progress` is called with the characters read so far. Raises what `documents` raises.
        """
        if self._survey is None:
            from homespun.text.survey import survey

            self._survey, found = survey(self, on_progress)
            self.notes = [*self.said, *found]
        return self._survey


def files_in(source: Source) -> int:
    """How many files of a source can be read each by itself."""
    return source.separate_files() if isinstance(source, FolderSource) else 1


def _is_blank(document: Document) -> bool:
    return not any(not chunk.isspace() for chunk in document.chunks() if chunk)


def _nothing_to_read(corpus: Corpus, tally: Tally) -> NotEnoughText:
    lines = tally.lines()
    if len(corpus.sources) == 1 and isinstance(corpus.sources[0], FileSource):
        file = corpus.sources[0]
        size = file_blob(file.path, file.shown).size
        what = "is empty" if size == 0 else f"has no text in it ({size:,} bytes)"
        said = [line for line in lines if line != f"1 {KINDS['empty'][0]}: {file.shown}"]
        return NotEnoughText("\n".join([f"{file.shown} {what}.", *said]), "Give a text with some words in it.")
    found = "\n".join(f"  {line}" for line in lines) or "  it is empty"
    todo = "\n".join(list(tally.ways_on)[:2]) or "Give a file or folder with text in it."
    return NotEnoughText(f"There is no text in {corpus.title}:\n{found}", todo)
