"""Limit the size of the dataset cache: what was not used for a month is removed to make room for new datasets."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from homespun.dataset.shards import discard

MOST_BYTES = 20 * 10**9  # of all datasets together; below it nothing is removed
UNUSED_SECONDS = 30 * 86400.0  # newer ones stay, however many there are


class Kept(NamedTuple):
    """A dataset in the cache: when it was last opened, and its size in bytes."""

    used: float
    size: int
    folder: Path


def mark_used(folder: Path) -> None:
    """Record that it was opened now. A read-only cache stays unchanged: nothing is removed from it either."""
    with suppress(OSError):
        os.utime(folder / "meta.json")


def remove_unused(datasets: Path) -> None:
    """Remove datasets not opened for UNUSED_SECONDS, oldest first, while all together take more than MOST_BYTES.

    A run that takes longer than that keeps the files that it has mapped; when it is resumed, its text is prepared
    again.
    """
    found = sorted(kept_in(datasets))
    total = sum(kept.size for kept in found)
    for kept in found:
        if total <= MOST_BYTES or time.time() - kept.used < UNUSED_SECONDS:
            break
        try:
            discard(kept.folder)
        except OSError:
            continue  # another user's, or mapped by a process on a system that then locks the file
        total -= kept.size


def kept_in(datasets: Path) -> Iterator[Kept]:
    for meta in datasets.glob("*/meta.json"):
        if meta.parent.suffix == ".draft":
            continue  # still being written
        try:
            size = sum(path.stat().st_size for path in meta.parent.iterdir())
            yield Kept(meta.stat().st_mtime, size, meta.parent)
        except OSError:
            continue  # another process has removed it meanwhile
