"""Reading what is appended to a file, again and again, without missing that it was written anew.

A reader keeps two numbers: the offset behind the last whole line, and a checksum of what stands right before it.
If that is not there any more, the file is another one, and is read from its beginning.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MOST = 2**20  # bytes that are read at a time
MARKED = 256  # bytes before the offset that the checksum is of


@dataclass(frozen=True)
class Position:
    offset: int = 0
    mark: int = 0


START = Position()


@dataclass(frozen=True)
class Tail:
    """Whole lines behind a position, and the next one. reset: they are from the beginning of another file."""

    lines: list[bytes]
    position: Position
    reset: bool = False


def read_tail(path: Path, position: Position = START, most: int = MOST) -> Tail:
    """What has been appended since. A file that is not there is empty. A line that has no end yet waits for it."""
    try:
        with path.open("rb") as file:
            reset = not is_same(file.seek(0, 2), mark_at(file, position.offset), position)
            begin = 0 if reset else position.offset
            file.seek(begin)
            block = file.read(most)
            if len(block) == most and b"\n" not in block:
                block += file.readline()  # a line longer than a block: taken whole
            whole = block[: block.rfind(b"\n") + 1]
            end = begin + len(whole)
            return Tail(whole.splitlines(), Position(end, mark_at(file, end)), reset)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
        return Tail([], START, reset=position != START)


def is_same(size: int, mark: int, position: Position) -> bool:
    return position.offset <= size and mark == position.mark


def mark_at(file: BinaryIO, offset: int) -> int:
    if offset <= 0:
        return 0
    begin = max(0, offset - MARKED)
    file.seek(begin)
    return zlib.crc32(file.read(offset - begin))


def last_lines(path: Path, most: int = 2**14) -> list[bytes]:
    """The whole lines at the end of a file, in so many bytes; none where there is no file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - most))
            block = file.read(most)
    except OSError:
        return []
    if size > most:
        block = block[block.find(b"\n") + 1 :]
    return block[: block.rfind(b"\n") + 1].splitlines()
