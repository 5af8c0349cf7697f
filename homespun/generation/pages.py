"""Where the keys and values of texts are kept: pages of 16 tokens, shared by texts that begin alike.

A page that is full never changes, so any text that begins with the same tokens can look at it: it is
found by its own 16 tokens and the page before it. A page that no text looks at any more stays findable
until its place is needed, the longest unused first. Pure bookkeeping: numbers of pages, no tensors.
"""

from __future__ import annotations

from collections.abc import Sequence

from homespun.kernels.decoding.rows import PAGE

# What a full page holds: the page that stands before it in the text, as its serial number, and its own tokens.
Key = tuple[int, tuple[int, ...]]
BEGINNING = 0


def pages_for(tokens: int) -> int:
    """How many pages that many tokens need.

    >>> pages_for(16), pages_for(17)
    (1, 2)
    """
    return -(-tokens // PAGE)


class Pages:
    """`number` pages, which are given out and come back.

    >>> pages = Pages(4)
    >>> first = pages.take(range(40), tokens=40)    # three pages for 40 tokens
    >>> first.numbers, first.known
    ([0, 1, 2], 0)
    >>> pages.written(first, range(40), 40)
    >>> second = pages.take(range(36), tokens=36)   # the first two hold what it begins with
    >>> second.numbers, second.known
    ([0, 1, 3], 32)
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.users = [0] * number
        self.serials = [BEGINNING] * number  # of what the page holds; given anew whenever it is filled
        self.found: dict[Key, int] = {}
        self.keys: dict[int, Key] = {}  # the other way round
        # Pages without users, the longest unused first: a dictionary keeps that order.
        self.idle: dict[int, None] = dict.fromkeys(range(number))
        self.filled = BEGINNING

    def take(self, ids: Sequence[int], tokens: int) -> Table | None:
        """Pages for a text of up to `tokens` tokens that begins with ids; None where there are not enough now.

        Of ids at least the last one is left to be computed: somebody wants to know what comes after it.
        """
        shared = self.beginning(ids)
        fresh = pages_for(tokens) - len(shared)
        if fresh > len(self.idle) - sum(page in self.idle for page in shared):
            return None
        for page in shared:
            self.use(page)
        new = [self.oldest() for _ in range(fresh)]
        return Table(shared + new, known=len(shared) * PAGE)

    def beginning(self, ids: Sequence[int]) -> list[int]:
        """The pages that hold what ids begin with, as far as there are some."""
        pages: list[int] = []
        before = BEGINNING
        for end in range(PAGE, len(ids), PAGE):
            page = self.found.get((before, tuple(ids[end - PAGE : end])))
            if page is None:
                break
            pages.append(page)
            before = self.serials[page]
        return pages

    def use(self, page: int) -> None:
        self.users[page] += 1
        self.idle.pop(page, None)

    def oldest(self) -> int:
        """The page that has been idle for longest, empty."""
        page = next(iter(self.idle))
        self.forget(page)
        self.use(page)
        return page

    def forget(self, page: int) -> None:
        """What is in it is not found any more."""
        if (key := self.keys.pop(page, None)) is not None:
            del self.found[key]
        self.serials[page] = BEGINNING

    def written(self, table: Table, ids: Sequence[int], known: int) -> None:
        """The first `known` of ids are in the table's pages now: those that have become full can be found."""
        for number in range(table.findable, known // PAGE):
            page, before = table.numbers[number], table.numbers[number - 1]
            key = (self.serials[before] if number else BEGINNING, tuple(ids[number * PAGE : (number + 1) * PAGE]))
            if self.serials[page] == BEGINNING:
                self.filled += 1
                self.serials[page] = self.filled
                if key not in self.found:  # two texts may have written the same at once; one is enough
                    self.found[key], self.keys[page] = page, key
        table.known = known
        table.findable = known // PAGE

    def give_back(self, table: Table) -> None:
        """The text looks at its pages no more; the last ones are the first to go."""
        for page in reversed(table.numbers):
            self.users[page] -= 1
            assert self.users[page] >= 0, "a page came back more often than it was taken"
            if not self.users[page]:
                self.idle[page] = None
        table.numbers = []

    def free(self) -> int:
        """How many pages no text looks at."""
        return len(self.idle)


class Table:
    """The pages of one text, in order. known: how many of its tokens are in them."""

    def __init__(self, numbers: list[int], known: int) -> None:
        self.numbers = numbers
        self.known = known
        self.findable = known // PAGE
