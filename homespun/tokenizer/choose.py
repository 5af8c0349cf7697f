"""`--tokenizer auto`: choose a tokenizer for a text, from the text's size and alphabet alone."""

from __future__ import annotations

import math
from collections.abc import Mapping

# Up to this size a character model trains within minutes, and learns to spell. Above it, sub-words show the model
# several times more text with the same number of tokens.
MOST_CHARACTERS_FOR_CHAR = 3_000_000
# The limit for an alphabet of letters; above it, the script has words or syllables, and most of its characters
# are rare.
LARGEST_ALPHABET_FOR_CHAR = 256
# With fewer characters, there are too few pairs of bytes to learn sub-words from.
FEWEST_CHARACTERS_FOR_BPE = 50_000

SMALLEST_BPE, LARGEST_BPE = 512, 32_768


def choose(*, characters: int, alphabet: Mapping[str, int], documents: int) -> tuple[str, str]:
    """Return (what to build, why in one sentence). `documents` does not affect the choice so far.

    >>> choose(characters=1_115_394, alphabet=dict.fromkeys(map(chr, range(65)), 1), documents=1)[0]
    'char'
    """
    size = f"{characters:,} characters"
    different = len(alphabet)
    if different > LARGEST_ALPHABET_FOR_CHAR and characters < FEWEST_CHARACTERS_FOR_BPE:
        return "byte", (
            f"{different:,} different characters in a text of {size} are too rare each to be learned; "
            "their bytes are not."
        )
    if different > LARGEST_ALPHABET_FOR_CHAR:
        spec = f"bpe:{bpe_size(characters)}"
        return (
            spec,
            f"{different:,} different characters are too many for an id each; common pieces of text get one.",
        )
    if characters <= MOST_CHARACTERS_FOR_CHAR:
        return "char", f"a text of {size}, {different} different ones, is learned best character by character."
    spec = f"bpe:{bpe_size(characters)}"
    return spec, f"in a text of {size} the common pieces come often enough for an id each, which makes it shorter."


def bpe_size(characters: int) -> int:
    """Return the vocabulary size of a byte-pair tokenizer for a text of that many characters.

    The number of distinct words grows with about the square root of a text's length (Heaps' law), and so does the
    vocabulary size: the power of two nearest to 1.5 times the root, between 512 and 32,768.

    >>> [bpe_size(characters) for characters in (10_000, 1_115_394, 5_400_000, 100_000_000, 2_000_000_000)]
    [512, 2048, 4096, 16384, 32768]
    """
    nearest = 2 ** round(math.log2(1.5 * math.sqrt(max(characters, 1))))
    return int(min(max(nearest, SMALLEST_BPE), LARGEST_BPE))
