"""Archives (.zip, .tar, .tar.gz): each file as in a folder. Names are only names: nothing is unpacked to disk."""

from __future__ import annotations

import io
import tarfile
import weakref
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import BinaryIO, cast

from homespun.errors import TextUnreadable
from homespun.text.blob import SMALL, Blob, explained_errors, memory_blob
from homespun.text.document import Document, whole_characters
from homespun.text.formats import Request
from homespun.text.formats.packed import FREE, MAX_RATIO, MAX_UNPACKED, Limited, opener_for
from homespun.text.members import is_hidden, is_mostly_code, read_members
from homespun.text.notes import Tally
from homespun.text.spool import spooled

MAX_MEMBERS = 500_000  # of which a list is kept in memory


def zipped(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """The texts in a .zip, in order of their names. Raises TextUnreadable."""
    with explained_errors(blob.origin), blob.open() as file, zipfile.ZipFile(file) as archive:
        if (kind := _document_kind(archive)) is not None:
            yield from kind(blob, request, tally)
            return
        infos = [info for info in archive.infolist() if info.filename and not info.is_dir()]
        _check_sizes(blob, len(infos), sum(info.file_size for info in infos))
        names = {info.filename: info for info in infos}
        members = (_zip_member(blob, archive, names[name], tally) for name in _readable_names(names, tally))
        yield from _read(list(names), members, request, tally)


def _document_kind(archive: zipfile.ZipFile) -> Callable[[Blob, Request, Tally], Iterator[Document]] | None:
    """What reads a .zip that is a document by what is in it, whatever its name: a .docx, .odt or .epub."""
    from homespun.text.formats import book, markup

    there = set(archive.namelist())
    if "word/document.xml" in there and "[Content_Types].xml" in there:
        return markup.docx
    if "META-INF/container.xml" in there and "mimetype" in there:
        return book.epub
    return markup.odt if {"content.xml", "mimetype"} <= there else None


def _zip_member(blob: Blob, archive: zipfile.ZipFile, info: zipfile.ZipInfo, tally: Tally) -> Blob | None:
    origin = f"{blob.origin}!{info.filename}"
    if info.file_size == 0:
        tally.add("empty", origin)
        return None
    if info.flag_bits & 1:
        tally.add("locked", origin)
        return None

    def open_again() -> BinaryIO:
        reopened = zipfile.ZipFile(blob.open())
        return _limited(reopened.open(info), info.compress_size, origin)

    if info.file_size > SMALL:
        return Blob(origin, info.filename, info.file_size, open_again)
    with explained_errors(origin), archive.open(info) as file:
        return memory_blob(origin, info.filename, file.read(SMALL))


def tarred(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """The texts in a .tar (.gz, .bz2, .xz), in the order in which they were put there. Raises TextUnreadable."""
    with explained_errors(blob.origin), _unpacking(blob) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                infos = {info.name: info for info in _limited_members(archive, blob, tally)}
                members = (
                    _tar_member(blob, archive, infos[name]) for name in infos if not _passed_over(name, tally)
                )
                yield from _read(list(infos), members, request, tally)
        except tarfile.TarError as error:
            raise TextUnreadable(f"{blob.origin} is no whole tar archive: {error}.", "Get it again.") from error


def _unpacking(blob: Blob) -> BinaryIO:
    opener = opener_for(blob.head(4))
    file = opener(blob.open()) if opener else blob.open()
    return cast(BinaryIO, _ShortReads(Limited(file, blob.size, blob.origin), 2**20))


class _ShortReads(io.BufferedReader):
    """A stream of which nobody reads much at once. `tarfile` would take a header of any length into memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= SMALL:
            raise tarfile.HeaderError(f"a header of {size} bytes")
        return super().read(size)


def _limited_members(archive: tarfile.TarFile, blob: Blob, tally: Tally) -> Iterator[tarfile.TarInfo]:
    """Its regular files; found one by one, so that a bomb is noticed before it has gone off."""
    count = size = 0
    for info in archive:
        if info.size < 0:  # the next header would be an earlier one, for ever
            raise tarfile.HeaderError(f"{info.name} has a negative size")
        count, size = count + 1, size + info.size * info.isfile()
        _check_sizes(blob, count, size)
        if info.isfile():
            yield info
        elif info.issym() or info.islnk():
            tally.add("link", f"{blob.origin}!{info.name}")
        elif not info.isdir():
            tally.add("special", f"{blob.origin}!{info.name}")


def _tar_member(blob: Blob, archive: tarfile.TarFile, info: tarfile.TarInfo) -> Blob:
    """A large one goes to a file: in a packed archive, to read it again is to unpack all that is before it."""
    name = whole_characters(info.name)
    origin = f"{blob.origin}!{name}"
    content = archive.extractfile(info)
    assert content is not None, "only regular files come here"
    if info.size <= SMALL:
        return memory_blob(origin, name, content.read())
    path = spooled(cast(BinaryIO, content), origin)

    def open_again() -> BinaryIO:
        return path.open("rb")

    weakref.finalize(open_again, path.unlink, missing_ok=True)
    return Blob(origin, name, info.size, open_again)


def _readable_names(names: dict, tally: Tally) -> Iterator[str]:
    return (name for name in sorted(names) if not _passed_over(name, tally))


def _passed_over(name: str, tally: Tally) -> bool:
    if is_hidden(name):
        tally.add("hidden", name)
        return True
    return False


def _read(names: list[str], members: Iterator[Blob | None], request: Request, tally: Tally) -> Iterator[Document]:
    readable = (member for member in members if member is not None)
    yield from read_members(readable, names, is_mostly_code(names), replace(request, inside=True), tally)


def _check_sizes(blob: Blob, count: int, size: int) -> None:
    limit = min(MAX_UNPACKED, FREE + MAX_RATIO * blob.size)
    if count > MAX_MEMBERS or size > limit:
        what = f"{size:,} bytes" if size > limit else f"{count:,} files"
        raise TextUnreadable(
            f"{blob.origin} unpacks to {what} or more, as archive bombs do.",
            "If you trust it, unpack it yourself and give the folder.",
        )


def _limited(file, packed_size: int, origin: str) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(Limited(file, packed_size, origin), 2**20))
