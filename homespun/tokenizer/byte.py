"""Every byte of the text's UTF-8 is a token, and its id is its value. Knows every character there is.

In tokenizer.json it is a byte-pair model on bytes without a single merge.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers

from homespun.tokenizer.byte_level import byte_characters, has_affixes
from homespun.tokenizer.tokenizer import END_OF_TEXT, Tokenizer, special
from homespun.tokenizer.unknown import lone_surrogate, unknown_character

if TYPE_CHECKING:
    from numpy.typing import NDArray

BYTES = 256


class ByteTokenizer(Tokenizer):
    """Ids 0 to 255 are the bytes; 256 is `<|endoftext|>` if wanted."""

    def __init__(self, *, end_of_text: bool, settings: dict[str, Any] | None = None) -> None:
        vocabulary = {character: byte for byte, character in enumerate(byte_characters())}
        backend = Backend(models.BPE(vocab=vocabulary, merges=[]))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.decoder = decoders.ByteLevel()
        if end_of_text:
            backend.add_special_tokens([special(END_OF_TEXT)])
        super().__init__(backend, "byte", end_of_text=END_OF_TEXT if end_of_text else None, settings=settings)

    def for_a_new_model(self, *, documents: int) -> ByteTokenizer:
        return ByteTokenizer(end_of_text=documents > 1 or self.end_of_text is not None, settings=self.settings)

    def encode_array(self, text: str) -> NDArray[Any]:
        if not text.isascii() and lone_surrogate(text):
            raise unknown_character(text, {c for c in set(text) if lone_surrogate(c)}, known=None)
        return np.frombuffer(text.encode("utf-8"), dtype=np.uint8).astype(self.dtype)

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[Any]]:
        return [self.encode_array(text) for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        array = self._checked(ids)
        ends = np.flatnonzero(array == BYTES)
        parts = (part[part != BYTES].astype(np.uint8).tobytes() for part in np.split(array, ends))
        return END_OF_TEXT.encode().join(parts).decode("utf-8", "replace")


def is_byte_tokenizer(content: dict[str, Any]) -> bool:
    """Whether this tokenizer.json gives each byte its own value as id, and has at most `<|endoftext|>` besides."""
    model, pre_tokenizer = content["model"], content.get("pre_tokenizer") or {}
    vocabulary = {character: byte for byte, character in enumerate(byte_characters())}
    added = [(token["id"], token["content"]) for token in content.get("added_tokens") or []]
    return (
        model.get("type") == "BPE"
        and not model.get("merges")
        and not has_affixes(model)
        and model["vocab"] == vocabulary
        and pre_tokenizer.get("type") == "ByteLevel"
        and not pre_tokenizer.get("add_prefix_space")
        and not content.get("normalizer")
        and added in ([], [(BYTES, END_OF_TEXT)])
    )
