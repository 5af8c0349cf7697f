"""The byte tokenizer: an id is a byte."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.errors import TokenizerError, UnknownCharacter
from homespun.tokenizer.byte import ByteTokenizer
from homespun.tokenizer.byte_level import byte_characters, token_bytes
from homespun.tokenizer.make import build

ANY_TEXT = st.text(st.characters(codec="utf-8"))


@given(ANY_TEXT)
def test_ids_are_the_bytes_of_any_text(text: str) -> None:
    tokenizer = ByteTokenizer(special_tokens=["<|endoftext|>"], end_of_text="<|endoftext|>")
    assert tokenizer.encode(text) == list(text.encode())
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_end_of_text_is_256_where_there_are_several_documents() -> None:
    alone = build("byte", alphabet={}, documents=1, pieces=lambda: iter([]))
    several = build("byte", alphabet={}, documents=2, pieces=lambda: iter([]))
    assert (alone.vocab_size, alone.end_of_text) == (256, None)
    assert (several.vocab_size, several.end_of_text) == (257, 256)
    assert several.decode([97, 256, 98, 256]) == "a<|endoftext|>b<|endoftext|>"
    assert 256 not in several.encode("<|endoftext|>")
    with pytest.raises(TokenizerError, match="no token 256"):
        alone.decode([256])


@given(st.lists(st.integers(0, 256)))
def test_any_ids_decode_as_the_library_decodes_them(ids: list[int]) -> None:
    tokenizer = ByteTokenizer(special_tokens=["<|endoftext|>"], end_of_text="<|endoftext|>")
    assert tokenizer.decode(ids) == tokenizer._backend.decode(ids, skip_special_tokens=False)


def test_bytes_that_are_no_character_become_the_replacement_character() -> None:
    assert ByteTokenizer().decode([0xE6, 0xBC, 97, 0xFF]) == "\ufffda\ufffd"


def test_half_a_surrogate_pair_is_an_error() -> None:
    with pytest.raises(UnknownCharacter, match=r"U\+DC80"):
        ByteTokenizer().encode("ab\udc80")


def test_every_byte_has_one_printable_character() -> None:
    characters = byte_characters()
    assert len(set(characters)) == 256
    assert all(character.isprintable() for character in characters)
    assert token_bytes("".join(characters)) == bytes(range(256))


def test_ids_fit_sixteen_bits() -> None:
    assert ByteTokenizer().encode_array("é").dtype == np.uint16


def test_tokens_are_readable() -> None:
    tokenizer = ByteTokenizer(special_tokens=["<|endoftext|>"], end_of_text="<|endoftext|>")
    assert [tokenizer.token(id) for id in (65, 32, 10, 0xC3, 256)] == ["A", " ", "\\n", "\\xc3", "<|endoftext|>"]
