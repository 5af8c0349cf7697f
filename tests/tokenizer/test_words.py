"""The table of words, shared by threads."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.tokenizer import Tokenizer, build, words
from homespun.tokenizer.joined import encode_joined


@pytest.fixture(scope="module")
def bpe() -> Tokenizer:
    text = "It isn't f(x), we're told: 'tis (the) boy_1's. été, я сказал 人之初 2024\n\n  def w1(self):\n" * 30
    return build("bpe:400", alphabet=Counter(text), documents=1, pieces=lambda: iter([text]))


def test_threads_that_share_a_tokenizer_get_the_ids_of_their_own_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is made to start afresh all the time: then rows that one thread has found are another's."""
    monkeypatch.setattr(words, "MOST_WORDS", 50)
    texts = [" ".join(f"w{number * k % 997}" for number in range(400)) for k in range(1, 40)]
    text = " ".join(texts)
    tokenizer = build("bpe:400", alphabet=Counter(text), documents=1, pieces=lambda: iter([text]))
    alone = [tokenizer.encode(text) for text in texts]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(tokenizer.encode, texts * 5))
    assert together == alone * 5


@given(
    st.lists(
        st.sampled_from([*" \n\t'sdaZéя人1٣²_(.-", "\xa0", "\u2028", "\u0301", "'re", "😀"]) | st.characters()
    )
)
@settings(deadline=None)
def test_ids_are_those_of_the_library_for_the_whole_text(bpe: Tokenizer, parts: list[str]) -> None:
    text = "".join(part for part in parts if not "\ud800" <= part <= "\udfff")
    assert bpe.encode(text) == bpe._backend.encode(text, add_special_tokens=False).ids


def test_words_that_are_joined_have_the_ids_they_have_alone(bpe: Tokenizer) -> None:
    words_of_it = [f"{mark}w{number}" for number in range(700) for mark in (" ", "\n", "(", "é", "_", " 人'")]
    together = bpe._encode_words(words_of_it)
    assert [ids.tolist() for ids in together] == [bpe._backend.encode(word).ids for word in words_of_it]


def test_tokens_that_are_not_the_bytes_of_the_words_are_not_parted() -> None:
    """Here each text is one token of one byte, whatever is in it."""
    one = [np.array([0])]
    assert encode_joined([" a", " b"], lambda texts: one * len(texts), np.array([1])) is None
