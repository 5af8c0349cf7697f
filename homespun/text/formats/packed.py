"""A single packed file (.gz, .bz2, .xz, .zst): what is inside is read by the suffix before that one."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from homespun.errors import MissingExtra, TextUnreadable
from homespun.text.blob import Blob
from homespun.text.document import Document
from homespun.text.formats import Request, documents_of
from homespun.text.notes import Tally

MAX_UNPACKED = 2**36  # bytes: 64 GiB
MAX_RATIO = 100  # text rarely packs 20 to 1
FREE = 2**26  # bytes that any ratio may give


def _zstd(file: BinaryIO) -> BinaryIO:
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtra("Reading .zst files", "formats") from error

    class _Forward(io.RawIOBase):
        """The unpacked bytes, forwards only; pyarrow's own stream knows no `tell`."""

        def __init__(self) -> None:
            self._at = 0
            try:
                self._stream = pyarrow.CompressedInputStream(pyarrow.PythonFile(file, mode="r"), "zstd")
            except pyarrow.ArrowException as error:
                raise EOFError(str(error)) from error

        def readable(self) -> bool:
            return True

        def tell(self) -> int:
            return self._at

        def read(self, size: int = -1, /) -> bytes:
            try:
                block = self._stream.read(size if size >= 0 else None)
            except (pyarrow.ArrowException, OSError) as error:
                raise EOFError("its zstd data end too early or are wrong") from error
            self._at += len(block)
            return block

    return cast(BinaryIO, _Forward())


_OPENERS: dict[str, Callable[[Any], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zst": _zstd}
_UNPACK_FIRST = {".parquet", ".pq", ".arrow", ".feather", ".epub", ".docx", ".odt", ".zip", ".pdf", ".gz", ".bz2",
                 ".xz", ".zst", ".tgz"}  # fmt: skip
_MAGIC = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zX": ".xz", b"\x28\xb5\x2f\xfd": ".zst"}


def unpacked(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """The documents of the file inside. Raises TextUnreadable for a damaged file, or one that blows up."""
    opener = _OPENERS.get(blob.suffix) or opener_for(blob.head(4))
    assert opener is not None, "only packed files come here"

    def open_limited() -> BinaryIO:
        limited = Limited(opener(blob.open()), blob.size, blob.origin)
        return cast(BinaryIO, io.BufferedReader(limited, 2**20))

    name = str(PurePosixPath(blob.name).with_suffix("")) if blob.suffix in _OPENERS else blob.name + ".txt"
    inner = Blob(blob.origin, name, -1, open_limited)
    if inner.suffix in _UNPACK_FIRST:
        raise TextUnreadable(f"{blob.origin} holds a {inner.suffix} file.", "Unpack it first.")
    yield from documents_of(inner, request, tally)


def opener_for(head: bytes) -> Callable[[Any], Any] | None:
    """What unpacks a file that begins like this; None where it is not packed."""
    return next((_OPENERS[suffix] for magic, suffix in _MAGIC.items() if head.startswith(magic)), None)


class Limited(io.RawIOBase):
    """A stream of unpacked bytes that stops where an archive bomb shows itself."""

    def __init__(self, file: BinaryIO, packed_size: int, origin: str) -> None:
        self._file, self._origin = file, origin
        self._limit = min(MAX_UNPACKED, FREE + MAX_RATIO * packed_size) if packed_size >= 0 else MAX_UNPACKED

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._file.seekable()

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        self._check(position if whence == io.SEEK_SET else 0)
        return self._file.seek(position, whence)

    def readinto(self, buffer) -> int:
        block = self._file.read(len(buffer))
        buffer[: len(block)] = block
        self._check(self._file.tell())
        return len(block)

    def _check(self, position: int) -> None:
        if position > self._limit:
            raise TextUnreadable(
                f"{self._origin} unpacks to more than {self._limit:,} bytes, as archive bombs do.",
                "If you trust it, unpack it yourself and give what was in it.",
            )

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
