"""Which of our programs must not be disturbed on this computer now: those that train, or measure its speed.

Each of them holds one of a few lock files while it works. The operating system releases a lock when its process
ends, however it ends, so there are no stale locks. Every computer has its own folder, because a cache may be
shared.
"""

from __future__ import annotations

import contextlib
import functools
import platform
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

from filelock import FileLock, Timeout

from homespun.errors import WriteFailed
from homespun.fetch.cache import cache_folder

SLOTS = 16  # more processes than this make no difference
NO_LOCKS = (OSError, NotImplementedError)  # the folder is not writable, or the file system has no locks

P = ParamSpec("P")
T = TypeVar("T")


def folder_of_this_computer() -> Path:
    """The folder of this computer in the cache. Raises WriteFailed if there is no cache."""
    return cache_folder("computers", re.sub(r"[^\w.-]", "_", platform.node()) or "this")


def on_quiet_computer(function: Callable[P, T]) -> Callable[P, T]:
    """The same function; while it runs, no background job of ours works on this computer."""

    @functools.wraps(function)
    def alone(*arguments: P.args, **named: P.kwargs) -> T:
        with slot():
            return function(*arguments, **named)

    return alone


@contextmanager
def slot() -> Iterator[None]:
    """Hold the first free slot. If there is none, or no cache for the lock files, go on without."""
    with contextlib.ExitStack() as held:
        for lock in slots():
            try:
                held.enter_context(lock)
                break
            except Timeout:
                continue
            except NO_LOCKS:
                break
        yield


def needs_quiet() -> bool:
    """Whether one of our programs that must not be disturbed is running now."""
    for lock in slots():
        if Path(lock.lock_file).exists():
            try:
                with lock:
                    continue
            except Timeout:
                return True
            except NO_LOCKS:
                return False
    return False


def slots() -> list[FileLock]:
    try:
        folder = folder_of_this_computer()
    except WriteFailed:
        return []
    return [FileLock(folder / f"quiet-{number}.lock", timeout=0) for number in range(SLOTS)]
