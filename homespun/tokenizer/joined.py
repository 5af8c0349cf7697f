"""Many words encoded as a few texts: `tokenizers` takes longer to begin a text than to encode a word.

The tokens are parted again by their lengths in bytes, so this is for byte-level byte-pair encoding,
whose tokens together are the bytes of the text. Where they are not, nothing is parted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Encode = Callable[[list[str]], "list[NDArray[Any]]"]

WORDS_IN_A_TEXT = 512

# Every word here begins with one of these (see words.py). A sign begins a word only behind a letter: it gets one.
SPACES = frozenset(" \n")
SIGNS = frozenset('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~')
LETTER = " a"


def may_be_joined(word: str) -> bool:
    r"""Whether other words may stand around it and change nothing.

    >>> [may_be_joined(word) for word in (" boy", "(boy", "boy", "'s", " \n")]
    [True, True, False, False, False]
    """
    return (word[0] in SPACES or word[0] in SIGNS) and not word[-1].isspace()


def encode_joined(words: list[str], encode: Encode, sizes: NDArray[Any]) -> list[NDArray[Any]] | None:
    """The ids of each word, all of which may be joined; None where they cannot be told apart.

    sizes: of each id, how many bytes it stands for.
    """
    groups = [words[start : start + WORDS_IN_A_TEXT] for start in range(0, len(words), WORDS_IN_A_TEXT)]
    encoded = encode(["".join(word if word[0] in SPACES else LETTER + word for word in group) for group in groups])
    found: list[NDArray[Any]] = []
    for group, ids in zip(groups, encoded, strict=True):
        lengths = np.array([len(word) if word.isascii() else len(word.encode()) for word in group])
        ends = np.cumsum(lengths + [0 if word[0] in SPACES else len(LETTER) for word in group])
        borders = np.concatenate([[0], np.cumsum(sizes[ids])])
        first, last = np.searchsorted(borders, ends - lengths), np.searchsorted(borders, ends)
        together = (
            borders[-1] == ends[-1] and (borders[first] == ends - lengths).all() and (borders[last] == ends).all()
        )
        if not together:
            return None
        found += [ids[start:end] for start, end in zip(first.tolist(), last.tolist(), strict=True)]
    return found
