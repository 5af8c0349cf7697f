"""The byte tokenizer: each byte of the UTF-8 text is a token, and its value is the id.

It encodes every character. In tokenizer.json it is a byte-pair model on bytes without any merges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers

from homespun.tokenizer.byte_level import byte_characters, has_affixes
from homespun.tokenizer.special import adds_tokens, in_parts, special_tokens_from
from homespun.tokenizer.tokenizer import END_OF_TEXT, Tokenizer, special
from homespun.tokenizer.unknown import lone_surrogate, unknown_character

if TYPE_CHECKING:
    from numpy.typing import NDArray

BYTES = 256


class ByteTokenizer(Tokenizer):
    """Ids 0 to 255 are the bytes; special tokens, if any, have the ids from 256 on."""

    def __init__(
        self,
        *,
        special_tokens: Sequence[str] = (),
        end_of_text: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        vocabulary = {character: byte for byte, character in enumerate(byte_characters())}
        backend = Backend(models.BPE(vocab=vocabulary, merges=[]))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.decoder = decoders.ByteLevel()
        backend.add_special_tokens([special(token) for token in special_tokens])
        super().__init__(backend, "byte", end_of_text=end_of_text, settings=settings)

    def for_a_new_model(self, *, documents: int) -> Tokenizer:
        if documents > 1 and self.end_of_text is None:
            return self.with_special_tokens([END_OF_TEXT], end_of_text=END_OF_TEXT)
        return self

    def with_special_tokens(
        self, tokens: Iterable[str], *, end_of_text: str | None, settings: Mapping[str, Any] | None = None
    ) -> ByteTokenizer:
        grown = ByteTokenizer(
            special_tokens=list(dict.fromkeys([*self.special_tokens, *tokens])),
            end_of_text=end_of_text,
            settings=self.settings if settings is None else settings,
        )
        return self._passed_on(grown)

    def _with_fewer(self, rows: int, end_of_text: str | None, settings: Mapping[str, Any]) -> ByteTokenizer:
        kept = [token for token, id in self.special_tokens.items() if id < rows]
        return ByteTokenizer(special_tokens=kept, end_of_text=end_of_text, settings=settings)

    def encode_array(self, text: str) -> NDArray[Any]:
        if not text.isascii() and lone_surrogate(text):
            raise unknown_character(text, {c for c in set(text) if lone_surrogate(c)}, known=None)
        return np.frombuffer(text.encode("utf-8"), dtype=np.uint8).astype(self.dtype)

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[Any]]:
        return [self.encode_array(text) for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        return in_parts(
            self._checked(ids),
            BYTES,
            lambda part: part.astype(np.uint8).tobytes().decode("utf-8", "replace"),
            self._token,
        )


def special_tokens_of(content: dict[str, Any]) -> list[str] | None:
    """Return the special tokens of this tokenizer.json if the id of each byte is its value; else None."""
    model, pre_tokenizer = content["model"], content.get("pre_tokenizer") or {}
    vocabulary = {character: byte for byte, character in enumerate(byte_characters())}
    plain = (
        model.get("type") == "BPE"
        and not model.get("merges")
        and not has_affixes(model)
        and model["vocab"] == vocabulary
        and pre_tokenizer.get("type") == "ByteLevel"
        and not pre_tokenizer.get("add_prefix_space")
        and not content.get("normalizer")
        and not adds_tokens(content.get("post_processor"))
    )
    return special_tokens_from(BYTES, content.get("added_tokens") or []) if plain else None
