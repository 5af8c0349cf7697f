"""Report the progress of downloads.

Code that needs a file from the network (a tokenizer, a named text) is often far below the code that shows
progress. So the code that shows it sets a listener for a block, and every download inside reports to it.

>>> from homespun.fetch.progress import with_progress
>>> heard = []
>>> with downloads_reported(lambda *facts: heard.append(facts)):
...     blocks = list(with_progress([b"abc", b"de"], "book.txt", 5))
>>> heard
[('book.txt', 3, 5), ('book.txt', 5, 5)]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# The file's name in messages; the bytes received; the total, 0 if the server does not announce it. When the
# download is complete, both numbers are equal.
Listener = Callable[[str, int, int], None]

LONGEST_NAME = 40  # characters; together with the numbers it must fit on a line

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def downloads_reported(listener: Listener) -> Iterator[None]:
    """While the block runs, report every chunk of every download of this thread to the listener."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


def with_progress(blocks: Iterable[bytes], name: str, size: int) -> Iterator[bytes]:
    """Yield the chunks of a download unchanged, and report each to the listener. size: 0 if it is not known."""
    listener = _listener.get()
    done = 0
    for block in blocks:
        done += len(block)
        if listener is not None:
            listener(name, done, size)
        yield block
    if listener is not None and done != size:
        listener(name, done, done)


def each_once(say: Callable[[str], None]) -> Listener:
    """Return a listener for output that cannot be updated: it prints one line per file, at its first bytes.

    >>> listener = each_once(print)
    >>> listener("book.txt", 1_000_000, 5_400_000), listener("book.txt", 2_000_000, 5_400_000)
    downloading book.txt, 5.4 MB
    (None, None)
    """
    said = set()

    def listen(name: str, done: int, size: int) -> None:
        if name not in said:
            said.add(name)
            say(f"downloading {name}" + (f", {amount(size)}" if size else ""))

    return listen


def how_far(name: str, done: int, size: int) -> str:
    """Describe a download in progress, for a line that is updated.

    >>> how_far("https://example.org/texts/of/all/kinds/collected/book.txt", 640_000, 5_400_000)
    'downloading …g/texts/of/all/kinds/collected/book.txt, 640 KB of 5.4 MB'
    """
    short = name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}"
    return f"downloading {short}, {amount(done)}" + (f" of {amount(size)}" if size else "")


def amount(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} KB"
