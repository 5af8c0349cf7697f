"""One file a kind of text. Each reads a blob and gives its documents; what it needs is imported when it is used.

A reader is a function `(blob, request, tally) -> Iterator[Document]`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

from homespun.errors import TextUnreadable
from homespun.text.blob import Blob
from homespun.text.decode import decoded
from homespun.text.document import Document
from homespun.text.notes import Tally

# suffix: module and function
READERS = {
    ".jsonl": "records.json_texts",
    ".ndjson": "records.json_texts",
    ".json": "records.json_texts",
    ".csv": "table.comma_separated",
    ".tsv": "table.comma_separated",
    ".tab": "table.comma_separated",
    ".psv": "table.comma_separated",
    ".parquet": "columnar.parquet",
    ".pq": "columnar.parquet",
    ".arrow": "columnar.arrow",
    ".feather": "columnar.arrow",
    ".html": "page.html",
    ".htm": "page.html",
    ".xhtml": "page.html",
    ".epub": "book.epub",
    ".pdf": "portable.pdf",
    ".docx": "markup.docx",
    ".docm": "markup.docx",
    ".dotx": "markup.docx",
    ".odt": "markup.odt",
    ".ott": "markup.odt",
    ".fodt": "markup.odt",
    ".fb2": "markup.fb2",
    ".xml": "markup.xml",
    ".rtf": "rich.rtf",
    ".eml": "mail.eml",
    ".emlx": "mail.eml",
    ".mbox": "mail.mbox",
    ".mbx": "mail.mbox",
    ".mht": "mail.saved_page",
    ".mhtml": "mail.saved_page",
    ".srt": "subtitles.subtitles",
    ".vtt": "subtitles.subtitles",
    ".ass": "subtitles.subtitles",
    ".ssa": "subtitles.subtitles",
    ".sbv": "subtitles.subtitles",
    ".lrc": "subtitles.subtitles",
    ".sub": "subtitles.subtitles",
    ".ipynb": "notebook.notebook",
    ".gz": "packed.unpacked",
    ".bz2": "packed.unpacked",
    ".xz": "packed.unpacked",
    ".zst": "packed.unpacked",
    ".zip": "archive.zipped",
    ".tar": "archive.tarred",
    ".tgz": "archive.tarred",
}
# What documents are read as, for people, by the module of the reader and by the suffix.
_READ_AS = {
    "records": "JSON",
    "table": "rows of a table",
    "columnar": "rows of a table",
    "page": "a web page",
    "book": "an EPUB book",
    "portable": "a PDF document",
    "rich": "rich text",
    "mail": "mail",
    "subtitles": "subtitles",
    "notebook": "a notebook",
    ".docx": "a Word document",
    ".odt": "an OpenDocument text",
    ".fodt": "an OpenDocument text",
    ".fb2": "an FB2 book",
}
SAYS_NOTHING = ("", ".bin", ".data", ".download")  # suffixes
_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
_MAX_POINTER = 1024  # bytes
_HEAD = 2**16  # bytes
ARCHIVES = {".zip", ".tar", ".tgz"}
_MAGIC = {b"\x1f\x8b": ".gz", b"BZh9": ".bz2", b"\xfd7zXZ": ".xz", b"%PDF": ".pdf", b"PAR1": ".parquet",
          b"ARROW1": ".arrow",
          b"\x28\xb5\x2f\xfd": ".zst", b"PK\x03\x04": ".zip"}  # fmt: skip


class Pointer(TextUnreadable):
    """What Git leaves instead of a large file. In a folder it is passed over."""


def refuse_pointer(blob: Blob) -> None:
    """Raises Pointer for what Git LFS leaves where a large file should be."""
    if 0 <= blob.size <= _MAX_POINTER and blob.head(len(_POINTER)) == _POINTER:
        raise Pointer(
            f"{blob.origin} is a Git LFS pointer: a note of where the file is, not the file itself.",
            "Fetch the file:  git lfs pull",
        )


class Records(Protocol):
    """Somebody who makes more of a record than its text: a conversation, say."""

    expected: str  # what such a record looks like, a sentence for errors

    def read(self, record: object, where: str) -> object | None:
        """What the record is; None where it is none of these. Raises TextUnreadable for one that is damaged."""

    def instead_of(self, error: TextUnreadable) -> object | None:
        """What stands for a record that is damaged; None where the error is to be raised."""


@dataclass(frozen=True)
class Request:
    """What the user said about the sources: `field` names the field or column that holds the text, `encoding` the
    codec of files that are no UTF-8.

    `inside` is true for what stands in an archive: there no further archive is opened. `header` is the line with
    the path that a file of a code repository begins with.
    `records` knows what a record may be besides a text; it is not asked where the user named a field.
    """

    field: str | None = None
    encoding: str | None = None
    inside: bool = False
    header: str = ""
    records: Records | None = None

    def record(self, value: object, where: str) -> object | None:
        """What a record is that is more than a text; None where it is a text, or nothing known."""
        return None if self.records is None or self.field is not None else self.records.read(value, where)

    def instead_of(self, error: TextUnreadable) -> object:
        """What stands for a record that is damaged. Raises the error where nothing does."""
        found = None if self.records is None or self.field is not None else self.records.instead_of(error)
        if found is None:
            raise error
        return found

    @property
    def expected(self) -> str:
        """What else could stand in a record, as a sentence with a space before it, or ""."""
        return "" if self.records is None else f" {self.records.expected}"


def documents_of(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """The documents in a file, by its suffix, and where that says nothing by how it begins.

    Raises TextUnreadable, MissingExtra.
    """
    blob = blob.kept()
    refuse_pointer(blob)
    suffix = _compressed_tar(blob.name) or blob.suffix
    suffix = suffix if suffix in READERS else _by_content(blob, request)
    reader = READERS.get(suffix)
    if reader is None:
        from homespun.text.formats.chat import chat_in
        from homespun.text.formats.marked import documents_in

        yield from documents_in(chat_in(decoded(blob, named=request.encoding), tally), request, tally)
        return
    module, function = reader.split(".")
    for document in getattr(import_module(f"{__name__}.{module}"), function)(blob, request, tally):
        document.read_as = document.read_as or _READ_AS.get(module) or _READ_AS.get(suffix, "")
        yield document


def _compressed_tar(name: str) -> str:
    return ".tgz" if name.lower().endswith((".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")) else ""


def _by_content(blob: Blob, request: Request) -> str:
    """The suffix of the kind that a file of unknown suffix begins like, or ""."""
    head = blob.head(_HEAD)
    if blob.suffix in SAYS_NOTHING:
        found = next((suffix for magic, suffix in _MAGIC.items() if head.startswith(magic)), "")
        if found or (found := _json_kind(head, request)):
            return found
    return _kind_of_text(blob, head, request)


def _kind_of_text(blob: Blob, head: bytes, request: Request) -> str:
    """Text that says at its beginning what it is, whatever its suffix: RTF in a .doc, a mailbox without a
    suffix."""
    if head.startswith(b"{\\rtf1"):
        return ".rtf"
    if head[:1].isalpha() and b":" in head[:80]:
        from homespun.text.formats.mail import is_mail

        if is_mail(head, named=blob.suffix not in SAYS_NOTHING):
            return ".eml"
    if head.startswith(b"From "):
        from homespun.text.formats.mail import is_mbox

        return ".mbox" if is_mbox(head) else ""
    if head.lstrip(b"\xef\xbb\xbf \r\n").startswith(b"{"):
        from homespun.text.formats.records import all_lines_are_records

        return ".jsonl" if all_lines_are_records(blob, request) else ""
    return ""


def _json_kind(head: bytes, request: Request) -> str:
    """Whether it begins with a record, or a list of them: what comes through a pipe has no suffix."""
    text = head.decode("utf-8", "ignore").lstrip("\ufeff \t\r\n")
    if not text.startswith(("{", "[")):
        return ""
    inner = text[1:].lstrip() if text.startswith("[") else text
    if not inner.startswith(("{", '"', "[")):
        return ""
    try:
        value, _ = json.JSONDecoder().raw_decode(inner)
    except (ValueError, RecursionError):
        return ""
    return ".json" if isinstance(value, (dict, list, str)) else ""
