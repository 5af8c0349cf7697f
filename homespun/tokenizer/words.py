r"""Fast sub-word encoding of long texts: each distinct word is encoded once.

Tokenizers like GPT-2's always split between a character and the space or newline after it; between a letter and a
sign, in either order, unless the sign is an apostrophe; and before the last of several spaces if a letter is
next. So a text is a sequence of words between such places, and its ids are the words' ids one after another. A
text of two hundred thousand words has about thirty thousand distinct ones, so this is many times faster.

No Python loop goes through the text. NumPy finds where words begin, all at once, and looks all of them up at once
(known_words.py); other threads can work meanwhile.
"""

from __future__ import annotations

import re
import string
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from homespun.tokenizer.joined import Encode, encode_words, flat
from homespun.tokenizer.known_words import KnownWords, Words

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORD_END = re.compile(r"\S(?=[ \n])")

# If a text has no such place for so many characters (DNA, a file in base64 on one line), it is cut anyway. There
# its ids can differ by a token or two from those that transformers gives for the whole text; they decode to the
# same text. A document is cut like that in any case, after 1 Mi characters (text/document.py); without this, text
# in a single chunk takes about 80 bytes of memory per character to encode.
LONGEST_STRETCH = 2**18

# A word takes about 100 bytes of memory here, and a text of 1 GB has several million distinct ones.
MOST_WORDS = 2**20
MOST_BYTES = 2**24  # of the words that are too long for the tables of integers

# Bit flags for what a byte may end, and what it may begin: a word begins between two bytes that share a flag.
# White space other than space and newline stays inside words, because libraries disagree on what it is.
SOLID_SPACE, LETTER_SIGN, SIGN_LETTER, SPACE_SPACE = 1, 2, 4, 8


def _marks(*sets: tuple[int, str]) -> bytes:
    """Return, for each byte, the flags of the character sets that contain it.

    Bytes beyond ASCII are in the last set.
    """
    marks = [sum(mark for mark, characters in sets if chr(byte) in characters) for byte in range(128)]
    return bytes([*marks, *[sets[-1][0]] * 128])


LETTERS = string.ascii_letters
SIGNS = string.punctuation.replace("'", "")
SOLID = "".join(chr(byte) for byte in range(128) if not chr(byte).isspace())
BEFORE = _marks((LETTER_SIGN, LETTERS), (SIGN_LETTER, SIGNS), (SPACE_SPACE, " \n"), (SOLID_SPACE, SOLID))
AFTER = _marks((SOLID_SPACE, " \n"), (LETTER_SIGN, SIGNS), (SIGN_LETTER, LETTERS), (SPACE_SPACE, " "), (0, ""))

# White space beyond ASCII: the last bytes of its UTF-8 as an integer.
WIDE_SPACES = np.array(
    [int.from_bytes(chr(code).encode(), "big") for code in range(128, 0x3001) if chr(code).isspace()], np.uint32
)


def cut(text: str, size: int) -> Iterator[str]:
    """Yield blocks of about `size` characters that end where a word ends; joined they are the text.

    If no word ends within LONGEST_STRETCH more characters, the block ends there.

    >>> list(cut("to be or not to be", 4))
    ['to be', ' or not', ' to be']
    """
    start = 0
    while len(text) - start > size:
        farthest = start + size + LONGEST_STRETCH
        place = WORD_END.search(text, start + size - 1, farthest + 1)  # the pattern also needs the next character
        end = place.end() if place else farthest
        if end >= len(text):
            break
        yield text[start:end]
        start = end
    yield text[start:]


def word_starts(content: bytes) -> NDArray[np.int64]:
    r"""Return where the words of a text in UTF-8 begin; the first one at 0.

    >>> text = b"To be,  or\n\tnot: it isn't f(x)"
    >>> starts = word_starts(text).tolist()
    >>> [text[start:end].decode() for start, end in zip(starts, [*starts[1:], None])]
    ['To', ' be', ',', ' ', ' or', '\n\tnot', ':', ' it', " isn't", ' f', '(', 'x', ')']
    """
    before, after = (np.frombuffer(content.translate(marks) + b"\0", np.uint8) for marks in (BEFORE, AFTER))
    common = before[:-2] & after[1:-1]
    common &= (before[2:] & LETTER_SIGN) * (SPACE_SPACE // LETTER_SIGN) | ~np.uint8(
        SPACE_SPACE
    )  # a letter is next
    starts = np.flatnonzero(np.append(True, common != 0))
    if content.isascii():
        return starts
    return starts[~behind_wide_space(np.frombuffer(content, np.uint8), starts)]


def behind_wide_space(codes: NDArray[np.uint8], places: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return at which places the previous character is white space beyond ASCII."""
    found = np.zeros(len(places), bool)
    wide = np.flatnonzero((places > 0) & (codes[places - 1] > 127))
    last, second, third = (codes[places[wide] - back].astype(np.uint32) for back in (1, 2, 3))
    two = second << 8 | last
    found[wide] = np.isin(two, WIDE_SPACES) | np.isin(third << 16 | two, WIDE_SPACES)
    return found


class WordTable:
    """A cache of the ids of words. It is cleared when it has grown too large.

    encode: texts to ids, one array each. byte_sizes: see `encode_words`; called only when needed.

    Threads that share a tokenizer use a lock: rows are indices into arrays, which change when another thread adds
    words.
    """

    def __init__(self, encode: Encode, byte_sizes: Callable[[], NDArray[Any] | None], dtype: np.dtype) -> None:
        self._encode = encode
        self._byte_sizes = byte_sizes
        self._dtype = dtype
        self._turn = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._known = KnownWords()
        self._starts = Grown(np.dtype(np.int32))  # for each row, its offset in _ids
        self._lengths = Grown(np.dtype(np.int32))  # for each row, its number of ids
        self._ids = Grown(self._dtype)

    def encode(self, text: str) -> NDArray[Any]:
        """Return the ids of a text, a 1-D array. Raises UnicodeEncodeError for a lone surrogate."""
        content = text.encode()
        starts = word_starts(content)
        if len(starts) < 3:
            return self._encode([text])[0]
        # The first and last word may be incomplete words, so they do not go into the table.
        first, last = self._encode([content[: starts[1]].decode(), content[starts[-1] :].decode()])
        return np.concatenate([first, self._looked_up(Words(content, starts[1:-1], starts[2:])), last])

    def _looked_up(self, words: Words) -> NDArray[Any]:
        with self._turn:
            if len(self._known) > MOST_WORDS or self._known.long_bytes > MOST_BYTES:
                self._forget()
            rows, new = self._known.rows_of(words)
            if len(new):
                self._learn(words.take(new))
            lengths = self._lengths.array[rows]
            ids: NDArray[Any] = self._ids.array[flat(self._starts.array[rows], lengths)]
            return ids

    def _learn(self, words: Words) -> None:
        try:
            ids, lengths = encode_words(words, self._encode, self._byte_sizes())
        except BaseException:
            self._forget()  # these words have rows already, but no ids
            raise
        self._starts.append(len(self._ids) + np.cumsum(lengths) - lengths)
        self._lengths.append(lengths)
        self._ids.append(ids)


class Grown:
    """An array that grows at its end."""

    def __init__(self, dtype: np.dtype) -> None:
        self._size = 0
        self._room = np.empty(0, dtype)

    def __len__(self) -> int:
        return self._size

    @property
    def array(self) -> NDArray[Any]:
        return self._room[: self._size]

    def append(self, values: NDArray[Any]) -> None:
        size = self._size + len(values)
        if size > len(self._room):
            self._room = np.concatenate([self.array, np.empty(size, self._room.dtype)])
        self._room[self._size : size] = values
        self._size = size
