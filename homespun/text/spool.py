"""What can be read only once, put into a file for as long as it is needed: a pipe, a member of a packed tar."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from homespun.errors import TextUnreadable
from homespun.fetch.cache import cache_folder, remove_abandoned, unfinished_name, written_whole
from homespun.text.blob import BLOCK, explained_errors

MAX_SPOOLED = 2**34  # bytes: 16 GiB; what gives more most likely never ends


def spooled(stream: BinaryIO, shown: str) -> Path:
    """A file in the cache with what the stream gives; whoever asks for it takes it away again.

    What killed processes left there goes the day after. Raises TextUnreadable, WriteFailed.
    """
    folder = cache_folder("pipes")
    remove_abandoned(folder)
    path = folder / unfinished_name()
    size = 0
    with written_whole(path) as file:
        while block := _next_block(stream, shown):
            size += len(block)
            if size > MAX_SPOOLED:
                raise TextUnreadable(
                    f"{shown} gave more than {MAX_SPOOLED:,} bytes and did not end.",
                    "If it is a text that ends, write it into a file and give that.",
                )
            file.write(block)
    return path


def _next_block(stream: BinaryIO, shown: str) -> bytes:
    with explained_errors(shown):
        return stream.read(BLOCK)
