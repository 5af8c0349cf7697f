"""What of a text stands in the training text, in texts where that is known."""

from __future__ import annotations

import doctest
from collections import Counter
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from homespun.dataset.preparation import Dataset
from homespun.dataset.shards import Split
from homespun.evaluation import comparison
from homespun.evaluation.comparison import same_text
from homespun.evaluation.memorisation import apart, copied
from homespun.evaluation.memorisation import memorisation as measure
from homespun.tokenizer.make import build
from homespun.tokenizer.tokenizer import Tokenizer

ROOM = import_module("homespun.evaluation.memorisation")
LETTERS = "abcdefghijklmnopqrstuvwxyz \n"


def char(text: str, documents: int = 1) -> Tokenizer:
    return build("char", alphabet=Counter(text), documents=documents, pieces=lambda: iter([text]))


def random_text(characters: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list(LETTERS), characters))


def dataset_of(train: str, val: str, tokenizer: Tokenizer) -> Dataset:
    splits = [
        Split(name, tokenizer.encode_array(text), len(text), len(text.encode()), 1)
        for name, text in (("train", train), ("val", val))
    ]
    return Dataset(
        *splits, Path("nowhere"), "key", tokenizer.vocab_size, "the end of the text", already_there=True
    )


@pytest.mark.parametrize("room", [ROOM, comparison])
def test_the_examples_in_the_docstrings(room: object) -> None:
    assert doctest.testmod(room).failed == 0  # type: ignore[arg-type]


def test_a_model_that_recites_is_told_from_one_that_does_not() -> None:
    tokenizer = char(LETTERS)
    train, val = random_text(5000, 1), random_text(500, 2)
    dataset = dataset_of(train, val, tokenizer)
    reciting = [tokenizer.encode_array(train[i : i + 200]) for i in (10, 3000)]
    writing = [tokenizer.encode_array(random_text(200, seed)) for seed in (3, 4)]
    found = measure(dataset, tokenizer, reciting)
    assert list(found.texts) == ["model", "held out", "n-grams", "chance"]
    assert (found.texts["model"].share, found.texts["model"].longest) == (1.0, 200)
    assert found.texts["model"].examples == (train[10:210], train[3000:3200])
    assert found.texts["held out"].share == found.texts["chance"].share == 0.0
    assert (found.least, found.trained_on) == (50, 5000)
    assert measure(dataset, tokenizer, writing).texts["model"].share == 0.0


def test_a_share_is_of_tokens_and_overlapping_passages_count_once() -> None:
    tokenizer = char(LETTERS)
    train = tokenizer.encode_array(random_text(1000, 1))
    other = tokenizer.encode_array(random_text(100, 2))
    text = np.concatenate([other[:40], train[100:160], other[40:]])
    found = copied(train, [text], tokenizer, least=30)
    assert found.passages == 1 and 60 <= found.longest <= 62  # a neighbour may be the same by chance
    assert found.share == pytest.approx(60 / 160, abs=0.02)


def test_a_passage_does_not_go_from_one_text_into_the_next() -> None:
    tokenizer = char(LETTERS)
    train = tokenizer.encode_array(random_text(1000, 1))
    halves = [train[100:120], train[120:140]]
    assert copied(train, halves, tokenizer, least=30).passages == 0
    assert copied(train, halves, tokenizer, least=30).longest == 20
    assert copied(train, [np.concatenate(halves)], tokenizer, least=30).longest == 40
    assert tokenizer.vocab_size not in train and len(apart(halves, 99)) == 42


def test_another_text_can_stand_for_the_held_out_one() -> None:
    tokenizer = char(LETTERS)
    train = random_text(2000, 1)
    dataset = dataset_of(train, random_text(300, 2), tokenizer)
    known = tokenizer.encode_array(train[500:700])
    found = measure(dataset, tokenizer, [tokenizer.encode_array(random_text(100, 5))], held_out=known)
    assert found.texts["held out"].share == 1.0 and found.texts["held out"].tokens == 200


def test_a_long_memory_of_counts_recites() -> None:
    """Six tokens decide the next one in this text, so what counting them writes is the text."""
    tokenizer = char(LETTERS)
    train = random_text(3000, 1)
    dataset = dataset_of(train, train[1000:1500], tokenizer)
    found = measure(dataset, tokenizer, [tokenizer.encode_array(random_text(100, 5))])
    assert found.n >= 4
    assert found.texts["n-grams"].longest > found.texts["chance"].longest


class TestSameText:
    text = "To be, or not to be: that is the question.\n" * 5

    def split(self, tokenizer: Tokenizer, *documents: str) -> Split:
        end = [] if tokenizer.end_of_text is None else [tokenizer.end_of_text]
        ids = [id for document in documents for id in [*tokenizer.encode(document), *end]]
        text = "".join(documents)
        return Split("val", np.array(ids), len(text), len(text.encode()), len(documents))

    def test_with_the_same_tokenizer_it_is_the_split_itself(self) -> None:
        split = self.split(char(self.text), self.text)
        assert same_text(split, char(self.text), char(self.text)) is split

    def test_the_text_is_the_same_in_other_ids(self) -> None:
        one, other = char(self.text), build("byte", alphabet={}, documents=1, pieces=lambda: iter([]))
        found = same_text(self.split(one, self.text), one, other)
        assert other.decode(found.ids) == self.text
        assert (found.characters, found.bytes) == (len(self.text), len(self.text))

    def test_ends_of_documents_stay_ends_of_documents(self) -> None:
        one = char(self.text, documents=2)
        other = build("bpe:280", alphabet=Counter(self.text), documents=2, pieces=lambda: iter([self.text]))
        split = self.split(one, "To be", "or not")
        found = same_text(split, one, other)
        end = other.end_of_text
        assert found.ids.tolist() == [*other.encode("To be"), end, *other.encode("or not"), end]
