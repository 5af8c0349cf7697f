"""The lecture's tokenizer: every character of the text is a token; the ids are the sorted alphabet, from 0.

In tokenizer.json it is a byte-pair model without any merges. Here, encoding and decoding use a table indexed by
code point instead: the text as UTF-32 is already an array of code points.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models

from homespun.errors import NotEnoughText
from homespun.tokenizer.byte_level import has_affixes, readable
from homespun.tokenizer.special import adds_tokens, in_parts, special_tokens_from
from homespun.tokenizer.stream import CharacterStream, TokenStream
from homespun.tokenizer.tokenizer import END_OF_TEXT, Tokenizer, special
from homespun.tokenizer.unknown import UNKNOWN, lone_surrogate, unknown_character

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The block size at which code points and ids fit the CPU cache.
BLOCK = 2**16


class CharTokenizer(Tokenizer):
    """One id for each character of an alphabet, in the order given; special tokens, if any, after them."""

    def __init__(
        self,
        alphabet: Sequence[str],
        *,
        special_tokens: Sequence[str] = (),
        end_of_text: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        assert all(len(character) == 1 for character in alphabet)
        vocabulary = {character: id for id, character in enumerate(alphabet)}
        assert len(vocabulary) == len(alphabet)
        backend = Backend(models.BPE(vocab=vocabulary, merges=[], unk_token=UNKNOWN))
        backend.decoder = decoders.Fuse()
        backend.add_special_tokens([special(token) for token in special_tokens])
        super().__init__(backend, "char", end_of_text=end_of_text, settings=settings)
        self.alphabet = "".join(alphabet)

    def for_a_new_model(self, *, documents: int) -> Tokenizer:
        if documents > 1 and self.end_of_text is None:
            return self.with_special_tokens([END_OF_TEXT], end_of_text=END_OF_TEXT)
        return self

    def with_special_tokens(
        self, tokens: Iterable[str], *, end_of_text: str | None, settings: Mapping[str, Any] | None = None
    ) -> CharTokenizer:
        grown = CharTokenizer(
            self.alphabet,
            special_tokens=list(dict.fromkeys([*self.special_tokens, *tokens])),
            end_of_text=end_of_text,
            settings=self.settings if settings is None else settings,
        )
        return self._passed_on(grown)

    def _with_fewer(self, rows: int, end_of_text: str | None, settings: Mapping[str, Any]) -> CharTokenizer:
        kept = [token for token, id in self.special_tokens.items() if id < rows]
        return CharTokenizer(self.alphabet, special_tokens=kept, end_of_text=end_of_text, settings=settings)

    @cached_property
    def _code_points(self) -> NDArray[np.uint32]:
        return np.array([ord(character) for character in self.alphabet], dtype=np.uint32)

    @cached_property
    def _id_of(self) -> NDArray[np.int32]:
        """Code point -> id, or -1. The last entry is for all code points above the highest one in the alphabet."""
        table = np.full(int(self._code_points.max()) + 2, -1, dtype=np.int32)
        table[self._code_points] = np.arange(len(self.alphabet))
        return table

    def encode_array(self, text: str) -> NDArray[Any]:
        ids = np.empty(len(text), dtype=self.dtype)
        for start in range(0, len(text), BLOCK):
            block = text[start : start + BLOCK]
            code_points = np.frombuffer(block.encode("utf-32-le", "surrogatepass"), dtype="<u4")
            found = self._id_of.take(code_points, mode="clip")
            if found.size and found.min() < 0:
                raise unknown_character(text, set(text) - set(self.alphabet), known=len(self.alphabet))
            ids[start : start + BLOCK] = found
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[Any]]:
        return [self.encode_array(text) for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        return in_parts(self._checked(ids), len(self.alphabet), self._characters, self._token)

    def _characters(self, ids: NDArray[Any]) -> str:
        return self._code_points[ids].astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")

    def token(self, id: int) -> str:
        return readable(self._token(id).encode("utf-8"))

    def stream(self) -> TokenStream:
        return CharacterStream(self._token)


def char_tokenizer(alphabet: Iterable[str], *, documents: int) -> CharTokenizer:
    """Return the tokenizer of a text with this alphabet.

    Raises NotEnoughText, UnknownCharacter (a lone surrogate).
    """
    characters = sorted(set(alphabet))
    if not characters:
        raise NotEnoughText(
            "There is no character in this text to make a tokenizer from.", "Give a text with some words in it."
        )
    halves = {character for character in characters if lone_surrogate(character)}
    if halves:
        raise unknown_character("".join(characters), halves, known=None)
    end = END_OF_TEXT if documents > 1 else None
    return CharTokenizer(characters, special_tokens=[end] if end else [], end_of_text=end)


def alphabet_of(content: dict[str, Any]) -> tuple[list[str], list[str]] | None:
    """Return (alphabet, special tokens) of a tokenizer.json of homespun's character tokenizers, else None.

    It is recognised by its behaviour, not by a label, so also after another program saved it again.
    """
    model = content["model"]
    plain = not any(content.get(part) for part in ("normalizer", "pre_tokenizer"))
    if (
        not plain
        or adds_tokens(content.get("post_processor"))
        or has_affixes(model)
        or model.get("type") != "BPE"
        or model.get("merges")
        or model.get("unk_token") != UNKNOWN
    ):
        return None
    vocabulary = sorted(model["vocab"], key=model["vocab"].__getitem__)
    if not vocabulary or [model["vocab"][token] for token in vocabulary] != list(range(len(vocabulary))):
        return None
    if any(len(token) != 1 or lone_surrogate(token) for token in vocabulary):
        return None
    special_tokens = special_tokens_from(len(vocabulary), content.get("added_tokens") or [])
    return None if special_tokens is None else (vocabulary, special_tokens)
