"""What stands in a text again and again: documents, lines, passages; and what is in both of its splits.

Memory is bounded however long the text is. Of the lines, those that came once are forgotten when there are
too many (Manku and Motwani 2002, "Approximate frequency counts over data streams": what is frequent stays).
Of the passages, a share is kept that is chosen by their fingerprints, so that of a passage either every copy
is kept or none, and the shares that are told are estimates without a slant.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

import numpy as np

from homespun.dataset.damage import Matches
from homespun.dataset.finding import Finding, Place, percent, quoted, times
from homespun.dataset.fingerprints import LONG, LONG_EVERY, Waiting, in_bytes

# Lines of code and the names of speakers are shorter: that those come again is in the nature of the text.
SHORTEST_LINE, LONGEST_LINE = 40, 400  # bytes; what is longer is a paragraph, and counted among the passages
MOST_LINES = 200_000
FEWEST_COPIES = 5
IN_DOCUMENTS = 0.1  # of the documents: a line that stands in more of them belongs to none
EVERYWHERE = 0.5  # of the documents: one such line is enough to be told
BOILERPLATE = 0.02  # of the text
DIGITS = bytes.maketrans(b"0123456789", b"#" * 10)  # the heads of pages differ in their numbers

MOST_PASSAGES = 2**19
FEWEST_PASSAGES = 200  # below, shares say little
# Novels and plays have less than 0.001 of their passages more than once. Code has more: Python's standard library
# 0.13, and 0.12 of its validation split is in the other; that is worth knowing when one looks at its loss.
REPEATED_SOME, REPEATED_MUCH = 0.15, 0.3
LEAKED_SOME, LEAKED_MUCH = 0.05, 0.15

GUTENBERG = re.compile(r"\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG")


class Lines:
    """How often each long line comes: of several documents, in how many of them."""

    def __init__(self, documents: int) -> None:
        self.documents = documents
        self.counts: Counter[bytes] = Counter()
        self.in_document: set[bytes] = set()
        self.current = -1

    def look_at(self, text: bytes, document: int) -> None:
        """The next part, as UTF-8, of document number `document`."""
        stripped = map(bytes.strip, text.translate(DIGITS).split(b"\n"))
        lines = [line for line in stripped if SHORTEST_LINE <= len(line) <= LONGEST_LINE]
        if self.documents == 1:
            self.count(lines)
            return
        if document != self.current:
            self.in_document.clear()
            self.current = document
        new = set(lines) - self.in_document
        if len(self.in_document) < MOST_LINES:
            self.in_document |= new
        self.count(new)

    def count(self, lines: list[bytes] | set[bytes]) -> None:
        self.counts.update(lines)
        seldom = 1
        while len(self.counts) > MOST_LINES:
            self.counts = Counter({line: count for line, count in self.counts.items() if count > seldom})
            seldom *= 2

    def finding(self, characters: int) -> Finding | None:
        least = max(FEWEST_COPIES, IN_DOCUMENTS * self.documents) if self.documents > 1 else FEWEST_COPIES
        often = {line: count for line, count in self.counts.items() if count >= least and in_words(line)}
        copies = sum(len(line) * (count - 1) for line, count in often.items())
        everywhere = self.documents > 1 and any(count > EVERYWHERE * self.documents for count in often.values())
        if copies < BOILERPLATE * characters and not everywhere:
            return None
        line, count = max(often.items(), key=lambda item: (item[1] * len(item[0]), item[0]))
        where = f"in {count:,} of {self.documents:,} documents" if self.documents > 1 else times(count)
        digits = " (# is any digit)" if b"#" in line else ""
        several = f"{len(often):,} lines come" if len(often) > 1 else "A line comes"
        return Finding(
            "boilerplate",
            "warn" if copies > 0.1 * characters else "note",
            f"{several} again and again, {percent(copies / characters)} of the text: {quoted(line.decode(), 80)} "
            f"stands there {where}{digits}.",
            "The model will write them, too. Where they are heads of pages, licences or menus, leave them out, "
            "as with:\ngrep -vF 'a part of the line' FILE > clean.txt",
        )


def in_words(line: bytes) -> bool:
    """Whether half of a line is letters; tables and drawings are not boilerplate."""
    text = line.decode()
    return 2 * sum(map(str.isalpha, text)) > len(text)


class Gutenberg(Matches):
    """Project Gutenberg's frame around a book."""

    def __init__(self) -> None:
        super().__init__(GUTENBERG)

    def finding(self) -> Finding | None:
        if not self.count:
            return None
        around = "the text" if self.count == 1 else f"{self.count:,} texts"
        return Finding(
            "boilerplate",
            "note",
            f"Project Gutenberg's licence stands around {around} ({self.place}).",
            "The model will learn it, too. Leave out what is before the line *** START and behind *** END:\n"
            "sed -e '1,/^\\*\\*\\* *START OF/d' -e '/^\\*\\*\\* *END OF/,$d' FILE > book.txt",
        )


class Repeated(NamedTuple):
    """share: of the passages. example: the byte of the corpus where the one to be shown begins, copies: of it."""

    share: float
    example: int
    copies: int


class LongPassages:
    """Which long passages come more than once, and which are in both splits."""

    def __init__(self, bytes_per_character: float) -> None:
        self.waiting = Waiting(in_bytes(LONG, bytes_per_character), LONG_EVERY)
        self.prints = [np.zeros(0, np.uint64)]
        self.places = [np.zeros(0, np.int64)]  # of their first bytes in the corpus
        self.splits = [np.zeros(0, np.int64)]
        self.kept = 0
        self.one_in = 1
        self.bytes = 0

    def look_at(self, text: bytes, split: int) -> None:
        """The next part of the corpus, as UTF-8."""
        if self.waiting.add(text, split):
            self.look_at_waiting()

    def look_at_waiting(self) -> None:
        before, self.bytes = self.bytes, self.bytes + self.waiting.bytes
        (starts, prints), splits = self.waiting.take()
        chosen = prints % np.uint64(self.one_in) == 0
        self.prints.append(prints[chosen])
        self.places.append(starts[chosen] + before)
        self.splits.append(splits[chosen])
        self.kept += len(self.prints[-1])
        while self.kept > MOST_PASSAGES:
            self.one_in *= 2
            self.thin_out()

    def thin_out(self) -> None:
        prints, places, splits = self.all()
        chosen = prints % np.uint64(self.one_in) == 0
        self.prints, self.places, self.splits = [prints[chosen]], [places[chosen]], [splits[chosen]]
        self.kept = len(self.prints[0])

    def all(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Prints, places, splits, each (n,)."""
        return np.concatenate(self.prints), np.concatenate(self.places), np.concatenate(self.splits)

    def repeated(self) -> Repeated | None:
        """How much of the text came before in it; the example is the passage that comes most often."""
        prints, places, _ = self.all()
        if len(prints) < FEWEST_PASSAGES:
            return None
        _, first, counts = np.unique(prints, return_index=True, return_counts=True)
        most = int(np.argmax(counts))
        return Repeated(1 - len(first) / len(prints), int(places[first[most]]), int(counts[most]))

    def leaked(self) -> Repeated | None:
        """How much of the validation split is in the training split, too; the example is the first of it."""
        prints, places, splits = self.all()
        held_out = splits == 1
        if np.count_nonzero(held_out) < FEWEST_PASSAGES:
            return None
        known = np.isin(prints[held_out], prints[~held_out])
        count = int(np.count_nonzero(known))
        return Repeated(count / len(known), int(places[held_out][known][0]) if count else 0, count)


def describe_repeated(found: Repeated, place: Place, text: str) -> Finding:
    return Finding(
        "repeated passages",
        "warn" if found.share > REPEATED_MUCH else "note",
        f"{percent(found.share)} of the text stood in it before. {quoted(text)} comes most often, "
        f"{'about ' * (found.copies > 99)}{times(found.copies)} (first in {place}).",
        "The model learns by heart what it sees more than once, and learns less of the rest. Keep one of each.",
    )


def describe_leak(share: float, example: str = "") -> Finding | None:
    """share: of the validation split's long passages that are in the training split, too."""
    if share < LEAKED_SOME:
        return None
    return Finding(
        "leakage",
        "warn" if share > LEAKED_MUCH else "note",
        f"{percent(share)} of the validation text is in the training text, too{example}: the loss on it looks "
        "better than it is on a new text.",
        "Take what is there twice out of the text; and measure on a text of its own:\n"
        "homespun evaluate RUN OTHER-TEXT",
    )
