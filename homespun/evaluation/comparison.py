"""The same text for two models with different tokenizers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from homespun.dataset.shards import Split

if TYPE_CHECKING:
    from homespun.tokenizer.tokenizer import Tokenizer


def same_text(split: Split, tokenizer: Tokenizer, other: Tokenizer) -> Split:
    """Return the text of a split as ids of another tokenizer, with end-of-text tokens only if both have one.

    Raises UnknownCharacter if the other tokenizer has no id for a character.
    """
    if tokenizer.key == other.key:
        return split
    is_end = split.ids == (-1 if tokenizer.end_of_text is None else tokenizer.end_of_text)
    documents = np.split(split.ids, np.flatnonzero(is_end) + 1)
    end = [] if other.end_of_text is None else [other.end_of_text]
    parts: list[np.ndarray] = []
    for number, document in enumerate(documents):
        ended = number < len(documents) - 1
        parts.append(other.encode_array(tokenizer.decode(document[: len(document) - ended])))
        parts.append(np.array(end * ended, other.dtype))
    return Split(split.name, np.concatenate(parts), split.characters, split.bytes, split.documents)
