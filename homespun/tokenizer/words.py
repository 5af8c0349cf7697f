r"""Sub-word ids of long texts, several times faster: each different word is encoded once.

Tokenizers of GPT-2's kind always split between a character and the space or newline after it, and between
a letter and a sign after it that is no apostrophe. So a text is the words between such places, and its ids
are the words' ids one after another. A text of two hundred thousand words has some thirty thousand
different ones.

>>> WORDS.findall("To be,  or\n\tnot: it isn't f(x)")
['To', ' be', ',', '  or', '\n\tnot:', ' it', " isn't", ' f', '(x', ')']
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A word ends where a character that is no white space is followed by a space or a newline: other white space
# (a tab, a no-break space) stays inside, because libraries disagree on what it is. The first alternative
# is for words that end in a letter of ASCII with a sign of ASCII right behind it.
WORDS = re.compile(r"[ \n]*[^\sA-Za-z]*[A-Za-z]+(?![^ \n!-&(-/:-@\[-`{-~])|\s*\S+(?:[^\S \n]\s*\S+)*|\s+")

WORD_END = re.compile(r"\S(?=[ \n])")

# Where a text has no such place for so many characters (DNA, a file in base 64 on one line), it is cut all the
# same. There its ids can be others than those that transformers makes of the whole text, by a token or two; what
# they decode to is the same text. A document is cut so in any case, after 1 Mi characters (text/document.py);
# without this, text that comes in one piece takes some 80 bytes of memory a character to encode.
LONGEST_STRETCH = 2**18

MOST_WORDS = 2**19
MOST_CHARACTERS = 2**24


def cut(text: str, size: int) -> Iterator[str]:
    """Blocks of about `size` characters that end where a word ends; joined they are the text.

    Where no word ends for LONGEST_STRETCH more characters, a block ends there.

    >>> list(cut("to be or not to be", 4))
    ['to be', ' or not', ' to be']
    """
    start = 0
    while len(text) - start > size:
        farthest = start + size + LONGEST_STRETCH
        place = WORD_END.search(text, start + size - 1, farthest + 1)  # it looks at the character behind, too
        end = place.end() if place else farthest
        if end >= len(text):
            break
        yield text[start:end]
        start = end
    yield text[start:]


class WordTable:
    """The ids of the words met so far. It starts afresh when it has grown too large.

    Threads that share a tokenizer take turns: rows are numbers of places, and another one's learning moves them.
    """

    def __init__(self, encode: Callable[[list[str]], list[NDArray[Any]]], dtype: np.dtype) -> None:
        self._encode = encode
        self._dtype = dtype
        self._turn = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._rows: dict[str, int] = {}
        self._characters = 0
        self._lengths = np.empty(0, dtype=np.int64)  # of each row, in ids
        self._starts = np.empty(0, dtype=np.int64)  # of each row, in _ids
        self._ids = np.empty(0, dtype=self._dtype)

    def encode(self, text: str) -> NDArray[Any]:
        """The ids of a text, a 1-D array."""
        words = WORDS.findall(text)
        with self._turn:
            try:
                rows = self._rows_of(words)
            except KeyError:
                if len(self._rows) > MOST_WORDS or self._characters > MOST_CHARACTERS:
                    self._forget()
                self._learn([word for word in dict.fromkeys(words) if word not in self._rows])
                rows = self._rows_of(words)
            return self._joined(rows)

    def _rows_of(self, words: list[str]) -> NDArray[np.int64]:
        return np.fromiter(map(self._rows.__getitem__, words), dtype=np.int64, count=len(words))

    def _learn(self, words: list[str]) -> None:
        encoded = self._encode(words)
        lengths = np.array([len(ids) for ids in encoded], dtype=np.int64)
        starts = len(self._ids) + np.cumsum(lengths) - lengths
        self._rows.update(zip(words, range(len(self._rows), len(self._rows) + len(words)), strict=True))
        self._characters += sum(map(len, words))
        self._lengths = np.concatenate([self._lengths, lengths])
        self._starts = np.concatenate([self._starts, starts])
        self._ids = np.concatenate([self._ids, *encoded])

    def _joined(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The ids of the rows one after another: position i of the result is taken from _ids[place of i]."""
        lengths = self._lengths[rows]
        ends = np.cumsum(lengths)
        shift = np.repeat(self._starts[rows] - (ends - lengths), lengths)
        ids: NDArray[Any] = self._ids[np.arange(len(shift)) + shift]
        return ids
