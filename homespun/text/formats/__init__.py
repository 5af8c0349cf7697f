"""One file a kind of text. Each reads a blob and gives its documents; what it needs is imported when it is used.

A reader is a function `(blob, request, tally) -> Iterator[Document]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module

from homespun.text.blob import Blob
from homespun.text.decode import decoded
from homespun.text.document import Document
from homespun.text.notes import Tally

# suffix: module and function
READERS = {
    ".jsonl": "records.json_lines",
    ".ndjson": "records.json_lines",
    ".json": "records.json_list",
    ".csv": "table.comma_separated",
    ".tsv": "table.comma_separated",
    ".parquet": "table.parquet",
    ".html": "page.html",
    ".htm": "page.html",
    ".xhtml": "page.html",
    ".epub": "book.epub",
    ".pdf": "portable.pdf",
    ".gz": "packed.unpacked",
    ".bz2": "packed.unpacked",
    ".xz": "packed.unpacked",
    ".zip": "archive.zipped",
    ".tar": "archive.tarred",
    ".tgz": "archive.tarred",
}
ARCHIVES = {".zip", ".tar", ".tgz"}
_MAGIC = {b"\x1f\x8b": ".gz", b"BZh9": ".bz2", b"\xfd7zXZ": ".xz", b"%PDF": ".pdf", b"PAR1": ".parquet"}


@dataclass(frozen=True)
class Request:
    """What the user said about the sources: `field` names the field or column that holds the text.

    `inside` is true for what stands in an archive: there no further archive is opened.
    """

    field: str | None = None
    inside: bool = False


def documents_of(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """The documents in a file, by its suffix, and where that says nothing by how it begins.

    Raises TextUnreadable, MissingExtra.
    """
    reader = READERS.get(_compressed_tar(blob.name) or blob.suffix) or READERS.get(_by_content(blob))
    if reader is None:
        yield decoded(blob)
        return
    module, function = reader.split(".")
    yield from getattr(import_module(f"{__name__}.{module}"), function)(blob, request, tally)


def _compressed_tar(name: str) -> str:
    return ".tgz" if name.lower().endswith((".tar.gz", ".tar.bz2", ".tar.xz")) else ""


def _by_content(blob: Blob) -> str:
    """The suffix of the kind that a file of unknown suffix begins like, or ""."""
    if blob.suffix not in ("", ".bin", ".data", ".download"):
        return ""
    head = blob.head(8)
    return next((suffix for magic, suffix in _MAGIC.items() if head.startswith(magic)), "")
