"""Archives (.zip, .tar, .tar.gz): each file as in a folder. Names are only names: nothing is unpacked to disk."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO, cast

from homespun.errors import TextUnreadable
from homespun.text.blob import SMALL, Blob, memory_blob, told
from homespun.text.document import Document
from homespun.text.formats import Request
from homespun.text.formats.packed import FREE, MAX_RATIO, MAX_UNPACKED, Limited
from homespun.text.members import is_hidden, is_mostly_code, read_members
from homespun.text.notes import Tally

MAX_MEMBERS = 1_000_000


def zipped(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """The texts in a .zip, in order of their names. Raises TextUnreadable."""
    with told(blob.origin), blob.open() as file, zipfile.ZipFile(file) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        _check_sizes(blob, len(infos), sum(info.file_size for info in infos))
        names = {info.filename: info for info in infos}
        members = (_zip_member(blob, archive, names[name], tally) for name in _readable_names(names, tally))
        yield from _read(blob, list(names), members, request, tally)


def _zip_member(blob: Blob, archive: zipfile.ZipFile, info: zipfile.ZipInfo, tally: Tally) -> Blob | None:
    origin = f"{blob.origin}!{info.filename}"
    if info.flag_bits & 1:
        tally.add("locked", origin)
        return None

    def open_again() -> BinaryIO:
        reopened = zipfile.ZipFile(blob.open())
        return _limited(reopened.open(info), info.compress_size, origin)

    if info.file_size > SMALL:
        return Blob(origin, info.filename, info.file_size, open_again)
    with told(origin):
        try:
            with archive.open(info) as file:
                return memory_blob(origin, info.filename, file.read(SMALL))
        except NotImplementedError as error:
            raise TextUnreadable(f"{origin}: {error}.", "Pack it again as an ordinary .zip.") from error


def tarred(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """The texts in a .tar (.gz, .bz2, .xz), in the order in which they were put there. Raises TextUnreadable."""
    with told(blob.origin), blob.open() as file:
        try:
            with tarfile.open(fileobj=file) as archive:
                infos = {info.name: info for info in _limited_members(archive, blob)}
                members = (
                    _tar_member(blob, archive, infos[name]) for name in infos if not _passed_over(name, tally)
                )
                yield from _read(blob, list(infos), members, request, tally)
        except tarfile.TarError as error:
            raise TextUnreadable(f"{blob.origin} is no whole tar archive: {error}.", "Get it again.") from error


def _limited_members(archive: tarfile.TarFile, blob: Blob) -> Iterator[tarfile.TarInfo]:
    """Its regular files; found one by one, so that a bomb is noticed before it has gone off."""
    count = size = 0
    for info in archive:
        if info.isfile():
            count, size = count + 1, size + info.size
            _check_sizes(blob, count, size)
            yield info


def _tar_member(blob: Blob, archive: tarfile.TarFile, info: tarfile.TarInfo) -> Blob:
    origin = f"{blob.origin}!{info.name}"

    def open_again() -> BinaryIO:
        content = tarfile.open(fileobj=blob.open()).extractfile(info)  # noqa: SIM115
        assert content is not None, "only regular files come here"
        return cast(BinaryIO, content)

    if info.size > SMALL:
        return Blob(origin, info.name, info.size, open_again)
    content = archive.extractfile(info)
    assert content is not None, "only regular files come here"
    return memory_blob(origin, info.name, content.read())


def _readable_names(names: dict, tally: Tally) -> Iterator[str]:
    return (name for name in sorted(names) if not _passed_over(name, tally))


def _passed_over(name: str, tally: Tally) -> bool:
    if is_hidden(name):
        tally.add("hidden", name)
        return True
    return False


def _read(
    blob: Blob, names: list[str], members: Iterator[Blob | None], request: Request, tally: Tally
) -> Iterator[Document]:
    readable = (member for member in members if member is not None)
    yield from read_members(readable, is_mostly_code(names), replace(request, inside=True), tally)


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
