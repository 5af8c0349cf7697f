"""The table of words: where words begin, what is found in it, and that ids stay those of the library."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from homespun.tokenizer import words
from homespun.tokenizer.joined import encode_joined, encode_words
from homespun.tokenizer.known_words import KnownWords, NumberTable, Words
from homespun.tokenizer.make import build
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.tokenizer.words import WordTable, word_starts


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


# Every kind of place where a word may begin or must not, and words that come again.
PARTS = st.lists(
    st.sampled_from(
        [
            *[*" \n\t'sdaZéя人1٣²_(.-\0", "\xa0", "\u2028", "\u3000", "\x85", "\x1c", "\u0301", "'re", "😀"],
            *[" the", "we", "\n    ", "  ", "    def", "((", "." * 40, "x" * 40, " exactly", " eighteen_letters_"],
        ]
    )
    | st.characters(exclude_categories=("Cs",)),
    max_size=80,
).map("".join)


@given(PARTS)
@example("\n   \n  we'\n\n   1")
@example("abc\0 abc abc\0\0 abc")
@settings(deadline=None, max_examples=400)
def test_ids_are_those_of_the_library_for_the_whole_text(bpe: Tokenizer, text: str) -> None:
    whole = bpe._backend.encode(text, add_special_tokens=False).ids
    assert bpe.encode(text) == whole  # some words are new,
    assert bpe.encode(text) == whole  # and now they are known


@given(PARTS)
def test_words_are_the_text_and_begin_between_characters(text: str) -> None:
    content = text.encode()
    starts = word_starts(content).tolist()
    assert starts[0] == 0
    assert "".join(content[a:b].decode() for a, b in zip(starts, [*starts[1:], None], strict=True)) == text


def words_of(*words: bytes) -> Words:
    ends = np.cumsum([len(word) for word in words])
    return Words(b"".join(words), ends - [len(word) for word in words], ends)


@given(
    st.lists(st.binary(min_size=1, max_size=70) | st.sampled_from([b"a", b"a\0", b"a\0\0", b"b" * 8, b"b" * 9]))
)
def test_equal_words_have_one_row_and_different_words_have_different_ones(words: list[bytes]) -> None:
    known, expected = KnownWords(), dict[bytes, int]()
    for part in (words, words[::-1], [word + b"." for word in words] + words):
        rows, new = known.rows_of(words_of(*part)) if part else ([], [])
        for word, row in zip(part, rows, strict=True):
            assert expected.setdefault(word, int(row)) == row
        assert [expected[part[place]] for place in new] == list(range(len(expected) - len(new), len(expected)))
    assert len(known) == len(expected) == len(set(expected.values()))


def test_words_that_want_the_same_place_are_all_found() -> None:
    """The numbers are chosen so: their products with the table's factor begin with the same bits."""
    inverse = pow(0x9E3779B97F4A7C15, -1, 2**64)
    numbers = np.array([(7 << 52 | count) * inverse % 2**64 for count in range(1, 500)], np.uint64)
    table = NumberTable(1)
    rows, added = table.rows_of([numbers], first=0)
    assert rows.tolist() == added.tolist() == list(range(499))
    rows, added = table.rows_of([numbers[::-1]], first=499)
    assert rows.tolist() == list(range(499))[::-1]
    assert len(added) == 0


def test_a_table_that_grows_keeps_what_is_in_it() -> None:
    numbers = [np.arange(1, 20_001, dtype=np.uint64) << np.uint64(40), np.zeros(20_000, np.uint64)]
    table = NumberTable(2)
    table.rows_of([column[:1500] for column in numbers], first=0)
    everything, added = table.rows_of(numbers, first=1500)
    assert everything.tolist() == list(range(20_000))
    assert added.tolist() == list(range(1500, 20_000))


def encode_characters(texts: list[str]) -> list[np.ndarray]:
    return [np.frombuffer(text.encode(), np.uint8).astype(np.uint16) for text in texts]


def test_the_table_encodes_a_word_once() -> None:
    seen: list[str] = []

    def encode(texts: list[str]) -> list[np.ndarray]:
        seen.extend(texts)
        return encode_characters(texts)

    table = WordTable(encode, lambda: None, np.dtype(np.uint16))
    for text in ("x a b a b x", "x b a x", "x b c x"):
        assert bytes(table.encode(text).astype(np.uint8)).decode() == text
    assert sorted(seen) == sorted([" a", " b", " c"] + 3 * ["x", " x"])


def test_words_that_cannot_be_encoded_are_not_taken_for_known() -> None:
    texts_refused = ["nothing"]

    def encode(texts: list[str]) -> list[np.ndarray]:
        if texts_refused and " b" in texts:
            raise ValueError(texts_refused.pop())
        return encode_characters(texts)

    table = WordTable(encode, lambda: None, np.dtype(np.uint16))
    with pytest.raises(ValueError, match="nothing"):
        table.encode("x a b x")
    assert bytes(table.encode("x b a x").astype(np.uint8)) == b"x b a x"


def test_many_words_are_encoded_as_a_few_texts_and_parted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homespun.tokenizer.joined.WORDS_IN_A_TEXT", 3)
    words = words_of(b" to", b" be", b"(", b"or", b"\n  ", b"\n  ", b" not", b".", b" to")
    texts: list[str] = []

    def encode(these: list[str]) -> list[np.ndarray]:
        texts.extend(these)
        return encode_characters(these)

    ids, lengths = encode_words(words, encode, np.ones(256, np.int64))
    assert texts == [" to be a(", " a(or\n   a\n  ", " a not a. to"]
    assert ids.astype(np.uint8).tobytes() == words.content
    assert lengths.tolist() == [len(word) for word in words.as_bytes()]


def test_words_are_encoded_one_by_one_where_tokens_are_not_the_bytes_of_the_text() -> None:
    words = words_of(b" a", b" b")
    drops_spaces = lambda texts: [np.array([ord(c) for c in text if c != " "], np.uint16) for text in texts]  # noqa: E731
    assert encode_joined(words, drops_spaces, np.ones(256, np.int64)) is None
    ids, lengths = encode_words(words, drops_spaces, np.ones(256, np.int64))
    assert (bytes(ids.astype(np.uint8)), lengths.tolist()) == (b"ab", [1, 1])
