"""Encode many words as a few texts: starting a text takes `tokenizers` longer than encoding a word.

The tokens are assigned to words by their lengths in bytes, so this works for byte-level byte-pair encoding, whose
tokens together are the bytes of the text. For other tokenizers each word is encoded as a text of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from homespun.tokenizer.known_words import Words

if TYPE_CHECKING:
    from numpy.typing import NDArray

Encode = Callable[[list[str]], "list[NDArray[Any]]"]

WORDS_IN_A_TEXT = 512

# Inserted before a word that does not begin with a space or newline, or that follows white space. A sign begins a
# word after a letter, a letter after a sign (see words.py).
BEFORE_SIGN, BEFORE_LETTER = b" a", b" a("
SPACE, NEWLINE = b" \n"
IS_SPACE = np.array([byte < 128 and chr(byte).isspace() for byte in range(256)])
IS_LETTER = np.array([byte < 128 and chr(byte).isalpha() for byte in range(256)])


def encode_words(words: Words, encode: Encode, sizes: NDArray[Any] | None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the ids of all words one after another, and the number of ids of each word.

    words: none of them the first or last of a text, so that each begins and ends where the text may be cut.
    sizes: the number of bytes of each id; None if the tokens of a text may differ from its bytes.
    """
    found = None if sizes is None else encode_joined(words, encode, sizes)
    if found is None:
        encoded = encode([word.decode() for word in words.as_bytes()])
        found = np.concatenate(encoded), np.array([len(ids) for ids in encoded])
    return found


def encode_joined(words: Words, encode: Encode, sizes: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Return the ids and counts from encoding a few joined texts; None if their words cannot be separated."""
    codes = np.frombuffer(words.content, np.uint8)
    first, last = codes[words.starts], codes[words.ends - 1]
    apart = (first != SPACE) & (first != NEWLINE)
    apart[1:] |= IS_SPACE[last[:-1]]
    ahead = np.where(IS_LETTER[first], len(BEFORE_LETTER), apart * len(BEFORE_SIGN))
    lengths = words.ends - words.starts
    ends = np.cumsum(ahead + lengths)
    starts = ends - lengths
    joined = np.empty(ends[-1], np.uint8)
    joined[flat(starts, lengths)] = codes[flat(words.starts, lengths)]
    for letters in (BEFORE_SIGN, BEFORE_LETTER):
        places = starts[ahead == len(letters)] - len(letters)
        joined[places[:, None] + np.arange(len(letters))] = np.frombuffer(letters, np.uint8)
    content = joined.tobytes()
    cuts = [0, *ends[WORDS_IN_A_TEXT - 1 : -1 : WORDS_IN_A_TEXT].tolist(), len(content)]
    ids = np.concatenate(encode([content[a:b].decode() for a, b in pairwise(cuts)]))

    borders = np.concatenate([[0], np.cumsum(sizes[ids])])
    if borders[-1] != ends[-1]:
        return None
    begin, end = np.searchsorted(borders, starts), np.searchsorted(borders, ends)
    if (borders[begin] != starts).any() or (borders[end] != ends).any():
        return None
    return ids[flat(begin, end - begin)], end - begin


def flat(starts: NDArray[Any], lengths: NDArray[Any]) -> NDArray[Any]:
    """Return the positions of all ranges, one after another.

    >>> flat(np.array([5, 0]), np.array([3, 2])).tolist()
    [5, 6, 7, 0, 1]
    """
    ends = np.cumsum(lengths, dtype=lengths.dtype)
    places = np.repeat(starts - (ends - lengths), lengths)
    places += np.arange(len(places), dtype=places.dtype)
    return places
