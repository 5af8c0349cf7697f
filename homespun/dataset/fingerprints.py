"""Fingerprints of passages: two texts that share a passage share its fingerprint, wherever it is in them.

A passage begins where the hash of the next eight bytes is a small number. So the content alone selects the
passages, and both copies of a paragraph give the same ones, wherever they are: "0 mod p" in Schleimer, Wilkerson
and Aiken 2003, "Winnowing". Case, tabs and line ends make no difference. Passages with long runs of one
character, such as padding, have no fingerprint.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from homespun.dataset.shuffle import mixed

SHORT, LONG = 32, 64  # characters: five words of English, and ten
SHORT_EVERY, LONG_EVERY = 8, 32  # on average one passage begins in so many bytes
# bytes per character; in scripts with three bytes per character, one character says as much as two letters
WIDEST = 2.0
AT_ONCE = 2**18  # bytes
SCRAMBLE = np.uint64(0x9E3779B97F4A7C15)  # odd, with random-looking bits: 2**64 divided by the golden ratio
FOLDED = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ\n\t", b"abcdefghijklmnopqrstuvwxyz  ")


class Passages(NamedTuple):
    """starts: the byte offsets where they begin, (n,). prints: fingerprints, uint64 (n,)."""

    starts: np.ndarray
    prints: np.ndarray


class Waiting:
    """A buffer of text parts: many small ones are processed faster together."""

    def __init__(self, length: int, every: int) -> None:
        self.length, self.every = length, every
        self.texts: list[bytes] = []
        self.marks: list[int] = []
        self.bytes = 0

    def add(self, text: bytes, mark: int) -> bool:
        """Add a part with a mark, a number that the caller chooses; return whether the buffer is full."""
        self.texts.append(text)
        self.marks.append(mark)
        self.bytes += len(text)
        return self.bytes >= AT_ONCE

    def take(self) -> tuple[Passages, np.ndarray]:
        """Return the passages of all parts and the mark of each, and empty the buffer.

        No passage extends beyond its part.
        """
        ends = np.cumsum([len(text) for text in self.texts])
        starts, prints = passages(b"".join(self.texts), self.length, self.every)
        part = np.searchsorted(ends, starts, side="right")
        whole = starts + self.length <= np.append(ends, 0)[part]
        marks = np.append(np.array(self.marks, np.int64), 0)[part]
        self.texts, self.marks, self.bytes = [], [], 0
        return Passages(starts[whole], prints[whole]), marks[whole]


def in_bytes(characters: int, bytes_per_character: float) -> int:
    """Convert a length in characters to a length in bytes that is a multiple of 8.

    >>> in_bytes(64, 1.0), in_bytes(64, 1.8), in_bytes(64, 3.0)
    (64, 112, 128)
    """
    return 8 * int(characters * min(bytes_per_character, WIDEST) / 8)


def passages(text: bytes, length: int, every: int) -> Passages:
    """Return the passages of `length` bytes, a multiple of 8, that begin at about one in `every` bytes of a text.

    >>> one, other = (passages(start + b" the very same words", 16, 1).prints for start in (b"So", b"But"))
    >>> len(one), len(other), len(set(one.tolist()) & set(other.tolist()))
    (7, 8, 5)
    """
    folded = text.translate(FOLDED)
    places = len(folded) - length + 1
    if places <= 0:
        return Passages(np.zeros(0, np.int64), np.zeros(0, np.uint64))
    eights = np.ndarray((len(folded) - 7,), "<u8", folded, strides=(1,))  # the eight bytes at each place
    chosen = eights[:places] * SCRAMBLE <= np.uint64(2**64 // every - 1)
    starts = np.flatnonzero(chosen)
    starts = starts[~monotonous(eights[starts])]
    prints = mixed(eights[starts])
    runs = np.zeros(len(starts), np.int64)
    for ahead in range(8, length, 8):
        following = eights[starts + ahead]
        prints = mixed(prints ^ following)
        runs += monotonous(following)
    varied = 4 * runs < length // 8
    return Passages(starts[varied], prints[varied])


def monotonous(eights: np.ndarray) -> np.ndarray:
    """Return which of them (n,) are one byte repeated eight times, such as padding or a drawn line."""
    return eights == (eights >> np.uint64(8) | eights << np.uint64(56))
