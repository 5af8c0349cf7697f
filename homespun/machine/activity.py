"""Which programs of ours need a quiet computer at present: those that train, or measure how fast it is.

Each holds one of a few lock files while it works. The system drops a lock with the process that held it, however
that ended, so there are no stale ones. Every computer has a folder of its own: a cache may be shared by several.
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

SLOTS = 16  # more than so many at once are as busy as so many
NO_LOCKS = (OSError, NotImplementedError)  # a folder that is not writable, a file system that knows no locks

P = ParamSpec("P")
T = TypeVar("T")


def folder_of_this_computer() -> Path:
    """Raises WriteFailed where there is no cache."""
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
    """Holds the first free slot; where there is none, or no cache to have them in, goes on without."""
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
    """Whether a program of ours runs now that is not to be disturbed."""
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
