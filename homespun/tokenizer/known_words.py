"""Words as integers, and hash tables that look up all words of a text at once.

Eight bytes are a 64-bit integer. So a word of up to 32 bytes is one, two or four integers, and words are compared
by comparing these. The comparison is exact: equal integers are equal words. The few longer words are looked up
one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    # an array with the first integer of each word, one with the second of each, and so on
    Numbers = list[NDArray[np.uint64]]

WIDTHS = (1, 2, 4)  # integers per word; each width has its own table
LONGEST = 8 * WIDTHS[-1]  # bytes
FIRST_BITS = 12  # of a table index: the initial size of a table

SCRAMBLE = np.uint64(0x9E3779B97F4A7C15)  # odd; the upper bits of a product depend on all bits of the integer
MASKS = np.array([2 ** (8 * size) - 1 for size in range(9)], np.uint64)  # keep the first `size` bytes


@dataclass(frozen=True)
class Words:
    """Words of a text.

    content: the text in UTF-8. starts, ends: the byte offsets of the words in it, int64 (n,).
    """

    content: bytes
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, chosen: NDArray[np.int64]) -> Words:
        return Words(self.content, self.starts[chosen], self.ends[chosen])

    def as_bytes(self) -> list[bytes]:
        return [self.content[a:b] for a, b in zip(self.starts.tolist(), self.ends.tolist(), strict=True)]


class KnownWords:
    """Assigns each distinct word a row: 0, 1, 2, …"""

    def __init__(self) -> None:
        self._tables = [NumberTable(width) for width in WIDTHS]
        self._long: dict[bytes, int] = {}
        self._size = 0
        self.long_bytes = 0

    def __len__(self) -> int:
        return self._size

    def rows_of(self, words: Words) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the row of each word, int32 (n,), and the indices of new words, each once, in the order of rows.

        >>> known, words = KnownWords(), Words(b"to to be", np.array([0, 2, 5]), np.array([2, 5, 8]))
        >>> [found.tolist() for found in known.rows_of(words)], [found.tolist() for found in known.rows_of(words)]
        ([[0, 1, 2], [0, 1, 2]], [[0, 1, 2], []])
        """
        eights = np.ndarray(
            (len(words.content) + LONGEST - 7,), "<u8", words.content + bytes(LONGEST), strides=(1,)
        )
        widths = np.minimum((words.ends - words.starts + 7) >> 3, WIDTHS[-1] + 1)
        if 0 in words.content:  # an integer cannot distinguish a zero byte at the end of a word from padding
            zeros = np.flatnonzero(np.frombuffer(words.content, np.uint8) == 0)
            has_one = np.searchsorted(zeros, words.starts) < np.searchsorted(zeros, words.ends)
            widths[has_one] = WIDTHS[-1] + 1
        rows = np.empty(len(words), np.int32)
        new: list[NDArray[np.int64]] = []
        narrower = 0
        for table in self._tables:
            chosen = np.flatnonzero((widths > narrower) & (widths <= table.width))
            rows[chosen], added = table.rows_of(numbers_of(words.take(chosen), eights, table.width), self._size)
            new.append(chosen[added])
            self._size += len(added)
            narrower = table.width
        new.append(self._add_long(words, np.flatnonzero(widths > narrower), rows))
        return rows, np.concatenate(new)

    def _add_long(self, words: Words, chosen: NDArray[np.int64], rows: NDArray[np.int32]) -> NDArray[np.int64]:
        """Fill in the rows of these words; return which of them are new."""
        new = []
        for place, word in zip(chosen.tolist(), words.take(chosen).as_bytes(), strict=True):
            if word not in self._long:
                self._long[word] = self._size
                self._size += 1
                self.long_bytes += len(word)
                new.append(place)
            rows[place] = self._long[word]
        return np.array(new, np.int64)


def numbers_of(words: Words, eights: NDArray[np.uint64], width: int) -> Numbers:
    """Return the words as `width` integers each.

    eights: the eight bytes from each byte offset of the text on, as an integer.
    """
    lengths = words.ends - words.starts
    return [
        eights[words.starts + 8 * column] & MASKS[np.clip(lengths - 8 * column, 0, 8)] for column in range(width)
    ]


class NumberTable:
    """The rows of words of `width` integers: a hash table with open addressing (Knuth, volume 3, section 6.4).

    The search for a word starts at the index given by its hash, and continues until it finds the word or a free
    place.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self._size = 0
        self._make(FIRST_BITS)

    def _make(self, bits: int) -> None:
        self._bits = bits
        self._rows = np.full(2**bits, -1, np.int32)  # -1 marks a free place
        # 0 at a free place, since no word has a first integer of 0
        self._columns = [np.zeros(2**bits, np.uint64) for _ in range(self.width)]

    def rows_of(self, numbers: Numbers, first: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the row of each word, and which words were added; their rows are first, first + 1, … in order."""
        places = self._places(numbers)
        self._walk(places, numbers)
        missing = np.flatnonzero(self._rows[places] < 0)
        if not len(missing):
            return self._rows[places], missing
        if 2 * (self._size + len(missing)) > len(self._rows):
            self._grow(self._size + len(missing))
            places = self._places(numbers)
            self._walk(places, numbers)
        claims = first + np.arange(len(missing), dtype=np.int32)
        there = places[missing]
        self._claim(there, [column[missing] for column in numbers], claims)
        places[missing] = there
        added = missing[self._rows[there] == claims]
        self._rows[places[added]] = first + np.arange(len(added), dtype=np.int32)
        self._size += len(added)
        return self._rows[places], added

    def _walk(self, places: NDArray[np.int64], numbers: Numbers) -> None:
        """Advance the place of each word to where the word is stored, or to the free place where it belongs."""
        wrong = np.flatnonzero(~self._equal(places, numbers))
        while len(wrong := wrong[self._rows[places[wrong]] >= 0]):
            places[wrong] = (places[wrong] + 1) & (len(self._rows) - 1)
            wrong = wrong[~self._equal(places[wrong], [column[wrong] for column in numbers])]

    def _claim(self, places: NDArray[np.int64], numbers: Numbers, rows: NDArray[np.int32]) -> None:
        """Store words that are not in the table yet. Of equal words only the last one is stored."""
        waiting = np.arange(len(rows))
        while len(waiting):
            free = waiting[self._rows[places[waiting]] < 0]
            self._rows[places[free]] = rows[free]  # of several words at one place the last one is stored
            for column, values in zip(self._columns, numbers, strict=True):
                column[places[free]] = values[free]
            waiting = waiting[~self._equal(places[waiting], [column[waiting] for column in numbers])]
            places[waiting] = (places[waiting] + 1) & (len(self._rows) - 1)

    def _grow(self, least: int) -> None:
        """Enlarge the table so that `least` words leave half of it free; its content is kept."""
        used = np.flatnonzero(self._rows >= 0)
        numbers, rows = [column[used] for column in self._columns], self._rows[used]
        self._make((2 * least - 1).bit_length())
        self._claim(self._places(numbers), numbers, rows)

    def _places(self, numbers: Numbers) -> NDArray[np.int64]:
        mixed = numbers[0] * SCRAMBLE
        for column in numbers[1:]:
            mixed = (mixed ^ column) * SCRAMBLE
        return (mixed >> np.uint64(64 - self._bits)).view(np.int64)

    def _equal(self, places: NDArray[np.int64], numbers: Numbers) -> NDArray[np.bool_]:
        """Return whether each word is the one stored at its place; always false at a free place."""
        equal: NDArray[np.bool_] = self._columns[0][places] == numbers[0]
        for column, values in zip(self._columns[1:], numbers[1:], strict=True):
            equal &= column[places] == values
        return equal
