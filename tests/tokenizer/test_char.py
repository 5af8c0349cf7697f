"""The character tokenizer: the lecture's ids, every Unicode character, and errors that name the character."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.errors import NotEnoughText, TokenizerError, UnknownCharacter
from homespun.tokenizer.make import build
from homespun.tokenizer.tokenizer import Tokenizer

ANY_TEXT = st.text(st.characters(codec="utf-8"))


def char(text: str, documents: int = 1) -> Tokenizer:
    return build("char", alphabet=Counter(text), documents=documents, pieces=lambda: iter([text]))


def test_tiny_shakespeare_has_the_ids_of_the_lecture(shakespeare_text: str) -> None:
    tokenizer = char(shakespeare_text)
    assert tokenizer.vocab_size == 65
    assert tokenizer.end_of_text is None
    assert tokenizer.encode("hii there") == [46, 47, 47, 1, 58, 46, 43, 56, 43]
    assert tokenizer.encode("Hello") == [20, 43, 50, 50, 53]
    assert tokenizer.encode("helloooo there") == [46, 43, 50, 50, 53, 53, 53, 53, 1, 58, 46, 43, 56, 43]
    assert (tokenizer.encode("\n"), tokenizer.encode(" "), tokenizer.encode("k")) == ([0], [1], [49])
    assert tokenizer.decode([12]) == "?"
    ids = tokenizer.encode_array(shakespeare_text)
    assert ids[:18].tolist() == [18, 47, 56, 57, 58, 1, 15, 47, 58, 47, 64, 43, 52, 10, 0, 14, 43, 44]
    assert (ids.dtype, len(ids)) == (np.uint16, 1_115_394)
    assert tokenizer.decode(ids) == shakespeare_text


@given(ANY_TEXT.filter(bool))
def test_any_text_over_its_own_alphabet_comes_back(text: str) -> None:
    tokenizer = char(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert sorted(set(text)) == [tokenizer.decode([id]) for id in range(tokenizer.vocab_size)]


def test_a_long_text_is_encoded_like_its_characters() -> None:
    alphabet = "ab\n漢😀"
    text = "".join(np.random.default_rng(0).choice(list(alphabet), 200_001))
    id_of = {character: id for id, character in enumerate(sorted(alphabet))}
    assert char(alphabet).encode(text) == [id_of[character] for character in text]


def test_more_than_65536_characters_need_wider_ids() -> None:
    alphabet = [chr(point) for point in range(0x10000, 0x10000 + 65_536)]
    assert char("".join(alphabet)).dtype == np.uint16
    wider = char("".join(alphabet) + "a")
    assert wider.dtype == np.uint32
    assert wider.encode(alphabet[-1]) == [65_536]


def test_end_of_text_is_the_last_id_and_only_there_for_several_documents() -> None:
    assert char("abc").end_of_text is None
    several = char("abc<|endoftext|>", documents=2)
    assert several.end_of_text == several.vocab_size - 1
    assert several.end_of_text not in several.encode("a<|endoftext|>b")
    assert several.decode([0, several.end_of_text, several.end_of_text]) == "<" + "<|endoftext|>" * 2


def test_a_character_that_was_never_seen_is_named_with_the_way_out() -> None:
    with pytest.raises(UnknownCharacter) as error:
        char("Caf au lit\n").encode("lait\nCafé au lait")
    assert str(error.value) == (
        "'é' (U+00E9, LATIN SMALL LETTER E WITH ACUTE) at line 2, column 4 is not among the 9 characters"
        ' that this tokenizer knows: "lait\\nCafé au lait"\n'
        "Leave it out, or train with --tokenizer byte or --tokenizer bpe: those know every character."
    )


def test_the_other_unknown_characters_are_named_too() -> None:
    with pytest.raises(UnknownCharacter) as error:
        char("abc").encode("aЖbcdé")
    assert "\nNor are 'd' (U+0064, LATIN SMALL LETTER D), 'é' (U+00E9, LATIN" in str(error.value)


def test_code_points_between_above_and_below_the_alphabet_are_unknown() -> None:
    tokenizer = char("bd")
    for unknown in ("a", "c", "e", "\U0010ffff", "\x00"):
        with pytest.raises(UnknownCharacter):
            tokenizer.encode("b" + unknown)


def test_half_a_surrogate_pair_is_an_error_that_says_so() -> None:
    with pytest.raises(UnknownCharacter, match=r"U\+D800, half of a surrogate pair.*\n.*cut or decoded wrongly"):
        char("ab").encode("a\ud800b")
    with pytest.raises(UnknownCharacter, match=r"U\+DFFF"):
        char("ab\udfff")


def test_ids_that_do_not_exist_are_refused() -> None:
    tokenizer = char("ab")
    for wrong in ([0, 2], [-1], np.array([70_000])):
        with pytest.raises(TokenizerError, match="this tokenizer's ids are 0 to 1"):
            tokenizer.decode(wrong)
    with pytest.raises(TokenizerError, match="There is no token 2"):
        tokenizer.stream().push(2)


def test_no_character_at_all_is_not_enough_text() -> None:
    with pytest.raises(NotEnoughText):
        char("")


def test_a_token_is_readable() -> None:
    tokenizer = char("a \n\u0301")
    assert [tokenizer.token(id) for id in range(4)] == ["\\n", " ", "a", "\u0301"]
