"""Find repeated text: documents, lines, passages; and text that is in both splits.

Memory is bounded for any length of text. Lines that occurred once are dropped when there are too many (Manku and
Motwani 2002, "Approximate frequency counts over data streams": frequent lines stay). Of the passages a sample is
kept that is selected by their fingerprints, so that of a passage either every copy is kept or none, and the
reported shares are unbiased estimates.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

import numpy as np

from homespun.dataset.damage import Matches
from homespun.dataset.finding import Finding, Place, percent, quoted, times
from homespun.dataset.fingerprints import LONG, LONG_EVERY, Waiting, in_bytes

# Lines of code and the names of speakers are shorter: it is normal that these repeat.
SHORTEST_LINE, LONGEST_LINE = 40, 400  # bytes; a longer line is a paragraph, and counted as a passage
MOST_LINES = 200_000
FEWEST_COPIES = 5
IN_DOCUMENTS = 0.1  # share of the documents: a line that is in more of them belongs to none
EVERYWHERE = 0.5  # share of the documents: one such line is enough for a finding
BOILERPLATE = 0.02  # share of the text
DIGITS = bytes.maketrans(b"0123456789", b"#" * 10)  # page headers differ only in their numbers

MOST_PASSAGES = 2**19
FEWEST_PASSAGES = 200  # with fewer, shares are not reliable
# Of the passages of novels and plays less than 0.001 are repeated. Code has more: 0.13 of Python's standard
# library, and 0.12 of its validation split is in the training split, which matters when one reads its loss.
REPEATED_SOME, REPEATED_MUCH = 0.15, 0.3
LEAKED_SOME, LEAKED_MUCH = 0.05, 0.15

GUTENBERG = re.compile(r"\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG")


class Lines:
    """Counts how often each long line occurs or, if there are several documents, in how many of them."""

    def __init__(self, documents: int) -> None:
        self.documents = documents
        self.counts: Counter[bytes] = Counter()
        self.in_document: set[bytes] = set()
        self.current = -1

    def look_at(self, text: bytes, document: int) -> None:
        """Count the next part, as UTF-8, of document number `document`."""
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
        copies = sum(len(line.decode()) * (count - 1) for line, count in often.items())
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
    """Return whether at least half of a line is letters; tables and drawings are not boilerplate."""
    text = line.decode()
    return 2 * sum(map(str.isalpha, text)) > len(text)


class Gutenberg(Matches):
    """Finds Project Gutenberg's header and licence around a book."""

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
    """share: of the passages. example: byte offset in the corpus of the passage to show.

    copies: how often it occurs.
    """

    share: float
    example: int
    copies: int


class LongPassages:
    """Finds long passages that occur more than once, and those that are in both splits."""

    def __init__(self, bytes_per_character: float) -> None:
        self.waiting = Waiting(in_bytes(LONG, bytes_per_character), LONG_EVERY)
        self.prints = [np.zeros(0, np.uint64)]
        self.places = [np.zeros(0, np.int64)]  # byte offsets in the corpus
        self.splits = [np.zeros(0, np.int64)]
        self.kept = 0
        self.one_in = 1
        self.bytes = 0

    def look_at(self, text: bytes, split: int) -> None:
        """Add the next part of the corpus, as UTF-8."""
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
        """Return fingerprints, places and splits of the kept passages, each (n,)."""
        return np.concatenate(self.prints), np.concatenate(self.places), np.concatenate(self.splits)

    def repeated(self) -> Repeated | None:
        """Return the share of the text that occurred before in it; the example is the most frequent passage."""
        prints, places, _ = self.all()
        if len(prints) < FEWEST_PASSAGES:
            return None
        _, first, counts = np.unique(prints, return_index=True, return_counts=True)
        most = int(np.argmax(counts))
        return Repeated(1 - len(first) / len(prints), int(places[first[most]]), int(counts[most]))

    def leaked(self) -> Repeated | None:
        """Return the share of the validation split that is in the training split; the example is the first."""
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
        "The model memorises repeated text and learns less of the rest. Keep one of each.",
    )


def describe_leak(share: float, example: str = "") -> Finding | None:
    """Return the finding on leakage.

    share: of the validation split's long passages that are in the training split, too.
    """
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
