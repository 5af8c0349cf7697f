"""Fingerprints of passages: two texts that share a passage share its fingerprint, wherever it stands in them.

A passage begins where the eight bytes at that place, scrambled, are a small number. So it is the text itself that
says which of its passages are looked at, and both copies of a paragraph give the same ones, however far
apart they are: "0 mod p" in Schleimer, Wilkerson and Aiken 2003, "Winnowing". Case, tabs and line ends make no
difference. Passages with long runs of one character, such as padding, have none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from homespun.dataset.shuffle import mixed

SHORT, LONG = 32, 64  # characters: five words of English, and ten
SHORT_EVERY, LONG_EVERY = 8, 32  # one passage begins in so many bytes
WIDEST = 2.0  # bytes a character; where it takes three, one of them says as much as two letters
AT_ONCE = 2**18  # bytes
SCRAMBLE = np.uint64(0x9E3779B97F4A7C15)  # odd, and its bits are as good as random: 2**64 by the golden ratio
FOLDED = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ\n\t", b"abcdefghijklmnopqrstuvwxyz  ")


class Passages(NamedTuple):
    """starts: the bytes where they begin, (n,). prints: uint64, (n,)."""

    starts: np.ndarray
    prints: np.ndarray


class Waiting:
    """Parts of a text that wait for each other: many small ones are quicker done together."""

    def __init__(self, length: int, every: int) -> None:
        self.length, self.every = length, every
        self.texts: list[bytes] = []
        self.marks: list[int] = []
        self.bytes = 0

    def add(self, text: bytes, mark: int) -> bool:
        """One more part, with a number of the caller's; whether there are enough now."""
        self.texts.append(text)
        self.marks.append(mark)
        self.bytes += len(text)
        return self.bytes >= AT_ONCE

    def take(self) -> tuple[Passages, np.ndarray]:
        """The passages of all of them, none of which goes beyond its part, and the mark of each; they are gone."""
        ends = np.cumsum([len(text) for text in self.texts])
        starts, prints = passages(b"".join(self.texts), self.length, self.every)
        part = np.searchsorted(ends, starts, side="right")
        whole = starts + self.length <= np.append(ends, 0)[part]
        marks = np.append(np.array(self.marks, np.int64), 0)[part]
        self.texts, self.marks, self.bytes = [], [], 0
        return Passages(starts[whole], prints[whole]), marks[whole]


def in_bytes(characters: int, bytes_per_character: float) -> int:
    """A length in characters as a length in bytes that is a multiple of 8.

    >>> in_bytes(64, 1.0), in_bytes(64, 1.8), in_bytes(64, 3.0)
    (64, 112, 128)
    """
    return 8 * int(characters * min(bytes_per_character, WIDEST) / 8)


def passages(text: bytes, length: int, every: int) -> Passages:
    """The passages of `length` bytes, a multiple of 8, that begin at about one of `every` bytes of a text.

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
    """Which of them (n,) are one byte, eight times: padding, or a line that is drawn."""
    return eights == (eights >> np.uint64(8) | eights << np.uint64(56))
