"""Byte-pair encoding trained on the user's text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.errors import NotEnoughText, UnknownCharacter, UsageError
from homespun.tokenizer import bpe as bpe_module
from homespun.tokenizer.bpe import sample, sample_size
from homespun.tokenizer.choose import bpe_size
from homespun.tokenizer.make import build
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.tokenizer.words import cut

from .conftest import LEARNED_FROM

# What pre-tokenizers look at: letters, digits, white space of every kind, punctuation.
TRICKY = st.text(st.sampled_from("ab Z9٣ \n\t\r\x0b\x1c\x85\xa0\u2003\u3000'!.é漢😀\u0301\u200d_s"), max_size=60)
ANY_TEXT = st.text(st.characters(codec="utf-8"))


def trained(text: str = LEARNED_FROM, size: int = 280) -> Tokenizer:
    return build(f"bpe:{size}", alphabet=Counter(text), documents=1, pieces=lambda: iter([text]))


class TestIds:
    tokenizer: ClassVar[Tokenizer] = trained()

    @given(ANY_TEXT)
    def test_any_text_comes_back(self, text: str) -> None:
        assert self.tokenizer.decode(self.tokenizer.encode(text)) == text

    @given(TRICKY)
    @settings(max_examples=300)
    def test_words_from_the_table_have_the_ids_of_the_whole_text(self, text: str) -> None:
        whole = self.tokenizer._backend.encode(text, add_special_tokens=False).ids
        assert self.tokenizer.encode(text) == whole

    def test_common_words_are_one_token_and_digits_stand_alone(self) -> None:
        tokenizer = trained(size=1000)
        ids = tokenizer.encode(" that question 1601")
        assert [tokenizer.token(id) for id in ids] == [" that", " question", " ", "1", "6", "0", "1"]

    def test_a_batch_gives_the_ids_of_each_text(self, nasty_texts: list[str]) -> None:
        arrays = self.tokenizer.encode_batch(nasty_texts)
        assert [ids.tolist() for ids in arrays] == [self.tokenizer.encode(text) for text in nasty_texts]
        assert {ids.dtype for ids in arrays} == {np.dtype(np.uint16)}

    def test_half_a_surrogate_pair_is_an_error(self) -> None:
        with pytest.raises(UnknownCharacter, match=r"U\+D800, half of a surrogate pair\) at line 2, column 2"):
            self.tokenizer.encode("to be\na\ud800")


def test_a_long_text_is_encoded_like_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = trained()
    text = "".join(np.random.default_rng(0).choice(["to", " be", "\n", "  ", "1", "漢", "\t", "!"], 5_000))
    expected = tokenizer._backend.encode(text, add_special_tokens=False).ids
    monkeypatch.setattr("homespun.tokenizer.tokenizer.BLOCK_CHARACTERS", 100)
    monkeypatch.setattr("homespun.tokenizer.words.MOST_WORDS", 50)  # so that the table starts afresh
    assert tokenizer.encode(text) == expected


def test_end_of_text_is_the_last_id_and_always_there(make: Callable[..., Tokenizer]) -> None:
    for documents in (1, 2):
        tokenizer = make("bpe:280", documents=documents)
        assert tokenizer.end_of_text == tokenizer.vocab_size - 1 == 279
        assert tokenizer.end_of_text not in tokenizer.encode("<|endoftext|>")


def test_the_same_text_gives_the_same_tokenizer() -> None:
    assert trained().key == trained().key
    assert trained().key != trained(size=279).key
    assert trained().key != trained(LEARNED_FROM + "zz zz zz" * 50).key


def test_a_text_with_few_pairs_gives_fewer_ids() -> None:
    assert trained("ab ab ab", size=1000).vocab_size < 270


def test_the_size_follows_from_the_text_where_it_is_not_given(make: Callable[..., Tokenizer]) -> None:
    text = "".join(map(str, np.random.default_rng(0).choice(list("abcdefgh "), 50_000)))
    assert make("bpe", text=text).vocab_size == bpe_size(50_000)


@pytest.mark.parametrize("size", [0, 256, 2**18 + 1])
def test_impossible_sizes_are_refused(size: int) -> None:
    with pytest.raises(UsageError, match=rf"cannot have {size:,} ids[^$]*--tokenizer bpe:4096"):
        trained(size=size)


def test_no_text_is_not_enough() -> None:
    with pytest.raises(NotEnoughText):
        trained("")


def test_a_large_text_is_sampled_over_its_whole_length() -> None:
    pieces = [f"{i:06d}" * 20_000 for i in range(20)]
    characters = sum(map(len, pieces))
    taken = "".join(sample(pieces, characters, wanted=characters // 4))
    assert characters // 4 <= len(taken) <= characters // 4 + bpe_module.SAMPLE_BLOCK
    assert all(f"{i:06d}" in taken for i in range(20))
    assert "".join(sample(pieces, characters, wanted=characters)) == "".join(pieces)


def test_a_text_of_ever_new_words_is_sampled_more_thinly() -> None:
    same = sample_size(["to be or not to be " * 10_000])
    new = sample_size([" ".join(map(str, range(100_000)))])
    assert same == bpe_module.MOST_CHARACTERS
    assert bpe_module.MOST_DIFFERENT <= new < 2 * bpe_module.MOST_DIFFERENT


def test_a_stretch_without_a_break_is_learned_from_in_parts() -> None:
    tokenizer = trained("ab" * 50_000, size=400)
    assert max(len(tokenizer.token(id)) for id in range(256, tokenizer.vocab_size - 1)) <= bpe_module.LONGEST_WORD


@given(TRICKY.map(lambda text: text * 5))
def test_what_is_learned_from_is_the_whole_text(text: str) -> None:
    assert "".join(bpe_module.without_stretches(text)) == text


def test_a_text_with_breaks_is_learned_from_as_it_is() -> None:
    assert list(bpe_module.without_stretches(LEARNED_FROM)) == [LEARNED_FROM]


@pytest.mark.parametrize("text", ["ab" * 3_000 + "c", "ab" * 1000 + " be" + "\n" * 3_000, "漢字é" * 2_000])
def test_a_long_text_without_a_break_is_encoded_in_parts_and_comes_back(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homespun.tokenizer.tokenizer.BLOCK_CHARACTERS", 100)
    monkeypatch.setattr("homespun.tokenizer.words.LONGEST_STRETCH", 400)
    assert max(map(len, cut(text, 100))) <= 500
    tokenizer = trained()
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(TRICKY, st.integers(1, 9))
def test_cut_blocks_join_to_the_text(text: str, size: int) -> None:
    assert "".join(cut(text, size)) == text
