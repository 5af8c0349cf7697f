"""A text of any length that goes on having new words, as long texts do, made from the named texts that are here.

Read one novel a hundred times, and after the first time there is nothing new in it: a table of its words would
make any tokenizer look fast. In real collections the number of different words grows about like a power of the
length (Heaps 1978; Manning, Raghavan and Schütze 2008, "Introduction to Information Retrieval", section 5.1). So
every time the texts are read again, words of them are replaced by others, as many as that law wants.
"""

from __future__ import annotations

import itertools
import random
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.commands import small_text

HEAPS = 20.0, 0.6  # different words of n words: 20 n**0.6, 570,000 in 200 MB and 1.5 million in 1 GB
MOST_REPLACED = 0.1  # of the words of a document
USED_AGAIN = 0.5  # of the words that are replaced: by one that was invented before
WORD = re.compile(r"[^\W\d_]+")
SHORTEST = 4  # letters of a word that is replaced


@dataclass
class Inventor:
    """Replaces words by new ones, made of the first half of one word and the second half of another."""

    rng: random.Random
    words: int = 0
    different: set[str] = field(default_factory=set)
    invented: list[str] = field(default_factory=list)

    def read(self, text: str) -> str:
        """A text that is read for the first time, as it is."""
        words = WORD.findall(text)
        self.words += len(words)
        self.different.update(words)
        return text

    def read_again(self, text: str, places: Sequence[tuple[int, int]], words: int) -> str:
        """The text with new words in it. places: of the words that may be replaced. words: how many there are."""
        self.words += words
        wanted = HEAPS[0] * self.words ** HEAPS[1] - len(self.different)
        count = min(int(max(wanted, 0) / (1 - USED_AGAIN)), int(MOST_REPLACED * words), len(places))
        parts, at = [], 0
        for start, end in sorted(self.rng.sample(places, count)):
            parts += [text[at:start], self.other(text[start:end], text, places)]
            at = end
        return "".join([*parts, text[at:]])

    def other(self, word: str, text: str, places: Sequence[tuple[int, int]]) -> str:
        if self.invented and self.rng.random() < USED_AGAIN:
            return self.rng.choice(self.invented)
        start, end = self.rng.choice(places)
        new = word[: (len(word) + 1) // 2] + text[(start + end) // 2 : end].lower()
        if new not in self.different:
            self.different.add(new)
            self.invented.append(new)
        return new


def write_text(path: Path, megabytes: float, *, smoke: bool) -> dict[str, int]:
    """Writes a text of that size to `path`; returns how many words it has, and how many different ones."""
    documents = [small_text()] if smoke else list(named_documents())
    found = [[match.span() for match in WORD.finditer(text)] for text in documents]
    places = [[(start, end) for start, end in spans if end - start >= SHORTEST] for spans in found]
    left, inventor = int(megabytes * 1e6), Inventor(random.Random(0))
    with path.open("wb") as file:
        for turn in itertools.count():
            for number, text in enumerate(documents):
                if turn:
                    text = inventor.read_again(text, places[number], len(found[number]))
                else:
                    inventor.read(text)
                content = text.encode(errors="replace")[:left]
                file.write(content.decode(errors="ignore").encode())
                left -= len(content)
                if left <= 0:
                    return {"words": inventor.words, "different words": len(inventor.different)}
    raise AssertionError("documents without end have an end")


def named_documents() -> Iterator[str]:
    from homespun.errors import DownloadFailed
    from homespun.text.sources import read

    for name in ("shakespeare", "shakespeare-plays", "python"):
        try:
            for document in read(name).documents():
                yield document.read()
        except DownloadFailed as error:
            print(f"{name} is left out: {error.what}", file=sys.stderr)
