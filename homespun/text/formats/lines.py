"""The lines of a file of records, none of them so long that it fills the memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from homespun.errors import TextUnreadable


def lines_of(file: TextIO, origin: str, most: int) -> Iterator[str]:
    """The lines with their ends, without NUL characters. Raises TextUnreadable for one of more than `most`
    characters."""
    number = 0
    while line := file.readline(most + 1):
        number += 1
        if len(line) > most:
            raise TextUnreadable(
                f"{origin}, line {number:,}, is longer than {most:,} characters, too long for one record.",
                "Divide it, or give the file the suffix .txt to read it as it stands.",
            )
        yield line.replace("\0", "") if "\0" in line else line
