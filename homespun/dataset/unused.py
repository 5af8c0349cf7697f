"""The cache of datasets does not grow for ever: what nobody has used for a month makes room for what is new."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from homespun.dataset.shards import discard

MOST_BYTES = 20 * 10**9  # of all datasets together, before any is taken away
UNUSED_SECONDS = 30 * 86400.0  # younger ones stay, however many there are


class Kept(NamedTuple):
    """A dataset in the cache: when it was last opened, and how much it takes."""

    used: float
    size: int
    folder: Path


def mark_used(folder: Path) -> None:
    """It was opened now. A cache that may only be read stays as it is: nothing is taken out of it either."""
    with suppress(OSError):
        os.utime(folder / "meta.json")


def remove_unused(datasets: Path) -> None:
    """Takes away what was not opened for UNUSED_SECONDS, the oldest first, while all take more than MOST_BYTES.

    A run that goes on for longer keeps what it has mapped; to be resumed it has its text prepared anew.
    """
    found = sorted(kept_in(datasets))
    total = sum(kept.size for kept in found)
    for kept in found:
        if total <= MOST_BYTES or time.time() - kept.used < UNUSED_SECONDS:
            break
        try:
            discard(kept.folder)
        except OSError:
            continue  # another user's, or mapped by a process on a system that then keeps it
        total -= kept.size


def kept_in(datasets: Path) -> Iterator[Kept]:
    for meta in datasets.glob("*/meta.json"):
        if meta.parent.suffix == ".draft":
            continue  # is being written
        try:
            size = sum(path.stat().st_size for path in meta.parent.iterdir())
            yield Kept(meta.stat().st_mtime, size, meta.parent)
        except OSError:
            continue  # another process took it away meanwhile
