"""Bytes with a name that can be opened again and again: a file, a member of an archive, an unpacked .gz."""

from __future__ import annotations

import gzip
import io
import lzma
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from homespun.errors import TextUnreadable

SMALL = 4 * 2**20  # bytes; what is no larger is read in one go
BLOCK = 2**20  # bytes read at a time of what is larger


@dataclass(frozen=True)
class Blob:
    """`origin` is for people, `name` for its suffix, `size` its bytes (-1 where only reading would tell)."""

    origin: str
    name: str
    size: int
    open: Callable[[], BinaryIO]

    @cached_property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix.lower()

    def head(self, count: int) -> bytes:
        """Its first bytes. Raises TextUnreadable."""
        with explained_errors(self.origin), self.open() as file:
            return file.read(count)

    def blocks(self) -> Iterator[bytes]:
        """Its bytes, a mebibyte at a time. Raises TextUnreadable."""
        with explained_errors(self.origin), self.open() as file:
            while block := file.read(BLOCK):
                yield block

    def kept(self) -> Blob:
        """Itself, in memory where it is small: read once, however often it is opened. Raises TextUnreadable."""
        if not 0 <= self.size <= SMALL or len(content := self.content(SMALL)) > SMALL:
            return self
        return memory_blob(self.origin, self.name, content)

    def content(self, enough: float = math.inf) -> bytes:
        """All of its bytes; of more than `enough` not all, but more than that. Raises TextUnreadable."""
        blocks, size = [], 0
        for block in self.blocks():
            blocks.append(block)
            size += len(block)
            if size > enough:
                break
        return b"".join(blocks)

    def whole(self, most: int, what: str, todo: str) -> bytes:
        """All of its bytes, at most so many. Raises TextUnreadable: that it is `what` of more, and what to do."""
        content = self.content(most)
        if len(content) > most:
            raise TextUnreadable(f"{self.origin} is {what} of more than {most:,} bytes.", todo)
        return content


def file_blob(path: Path, origin: str | None = None) -> Blob:
    """The file at `path`. Raises TextUnreadable."""
    origin = origin or str(path)
    with explained_errors(origin):
        size = path.stat().st_size
    return Blob(origin, path.name, size, lambda: path.open("rb"))


def memory_blob(origin: str, name: str, content: bytes) -> Blob:
    return Blob(origin, name, len(content), lambda: io.BytesIO(content))


def _in_short(error: Exception) -> str:
    """Some libraries put what they met into the message, and that can be a page of bytes."""
    said = " ".join(str(error).split()).rstrip(".")
    return said if len(said) <= 120 else f"{said[:119]}…"


@contextmanager
def explained_errors(origin: str) -> Iterator[None]:
    """What can go wrong with bytes, in words."""
    try:
        yield
    except PermissionError as error:
        raise TextUnreadable(
            f"{origin} may not be read: you have no permission.",
            f"Change its permissions (chmod u+r {origin}), or work on a copy of your own.",
        ) from error
    except FileNotFoundError as error:
        raise TextUnreadable(
            f"{origin} disappeared while it was read.", "Put it back, and start again."
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise TextUnreadable(
            f"{origin} is damaged or incomplete: {_in_short(error)}.",
            "Get it again from where it came from.",
        ) from error
    except UnicodeDecodeError as error:  # when its encoding was looked for, all of it could be decoded
        raise TextUnreadable(
            f"{origin} changed while it was read.", "Start again once nothing writes to it, or give a copy of it."
        ) from error
    except (ValueError, OverflowError, struct.error) as error:  # what an archive says of itself is not so
        raise TextUnreadable(
            f"{origin} is damaged: {_in_short(error)}.", "Get it again from where it came from."
        ) from error
    except NotImplementedError as error:  # a way of packing that Python does not know
        raise TextUnreadable(
            f"{origin}: {_in_short(error)}.", "Unpack it, or pack it again as an ordinary .zip."
        ) from error
    except OSError as error:
        raise TextUnreadable(
            f"{origin} could not be read: {error.strerror or error}.", "Try again, or work on a copy."
        ) from error
