"""Who wants to know how far a download is.

What needs a file from the network is often far below what shows a person how it goes: a tokenizer, a named
text. So whoever shows it listens for as long as a block runs, and every download inside is told to it.

>>> from homespun.fetch.progress import told
>>> heard = []
>>> with downloads_reported(lambda *facts: heard.append(facts)):
...     blocks = list(told([b"abc", b"de"], "book.txt", 5))
>>> heard
[('book.txt', 3, 5), ('book.txt', 5, 5)]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# What a person calls the file; the bytes that came; those there are, 0 where the sender does not say.
# When all have come, both numbers are the same.
Listener = Callable[[str, int, int], None]

LONGEST_NAME = 40  # characters: with the numbers it has to fit on a line

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def downloads_reported(listener: Listener) -> Iterator[None]:
    """Tells the listener of every block of every download that this thread makes in here."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


def told(blocks: Iterable[bytes], name: str, size: int) -> Iterator[bytes]:
    """The same blocks, each told to whoever listens. size: 0 where it is not known."""
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
    """For where lines cannot change once they are written: one for each file, when its first bytes have come.

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
    """A download while it goes on, on a line that changes.

    >>> how_far("https://example.org/texts/of/all/kinds/collected/book.txt", 640_000, 5_400_000)
    'downloading …g/texts/of/all/kinds/collected/book.txt, 640 KB of 5.4 MB'
    """
    short = name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}"
    return f"downloading {short}, {amount(done)}" + (f" of {amount(size)}" if size else "")


def amount(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} KB"
