"""The dataset with the text and tokenizer rooms it is made for: files in, ids out, and back."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from homespun.dataset.preparation import Dataset, prepare, prepare_text
from homespun.errors import NotEnoughText, UnknownCharacter
from homespun.text.corpus import Corpus
from homespun.text.sources import read
from homespun.tokenizer.make import build
from homespun.tokenizer.tokenizer import Tokenizer

WORDS = [
    *("the", "cat", "and", "dog", "café", "naïve", "漢字", "house's", "3.14", "of", "rain", "\n", "\n\n"),
    *("😀", "Größe", "run—away", "..."),
]


def prose(words: int, seed: int) -> str:
    chance = random.Random(seed)
    return " ".join(chance.choice(WORDS) for _ in range(words)) + "\n"


def tokenizer_of(spec: str, corpus: Corpus) -> Tokenizer:
    survey = corpus.survey()

    def pieces():
        for document in corpus.documents():
            yield from document.pieces()

    return build(spec, alphabet=survey.alphabet, documents=survey.documents, pieces=pieces)


def documents_of(ids: np.ndarray, tokenizer: Tokenizer) -> list[str]:
    ends = np.flatnonzero(ids == tokenizer.end_of_text) + 1
    assert ends[-1] == len(ids)
    return [tokenizer.decode(part[:-1]) for part in np.split(ids, ends[:-1])]


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.write_bytes(prose(3000, seed=1).replace("\n", "\r\n").encode())
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(30):
        path = tmp_path / "letters" / f"{number:02}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(prose(40 + 9 * number, seed=number % 27), encoding="utf-8")  # three are there twice
    return tmp_path / "letters"


@pytest.mark.parametrize("spec", ["char", "byte", "bpe:300"])
def test_a_book_is_its_two_splits(book, spec):
    corpus = read(book)
    tokenizer = tokenizer_of(spec, corpus)
    dataset = prepare(corpus, tokenizer)
    text = book.read_text(encoding="utf-8")
    assert tokenizer.decode(dataset.train.ids) + tokenizer.decode(dataset.val.ids) == text
    assert dataset.train.characters == int(0.9 * len(text))
    assert dataset.bytes == len(text.encode())
    assert dataset.vocab_size == tokenizer.vocab_size > int(dataset.train.ids.max())


def test_the_validation_text_does_not_depend_on_the_tokenizer(folder):
    corpus = read(folder)
    tokenizers = [tokenizer_of(spec, corpus) for spec in ("char", "byte", "bpe:300")]
    texts = [documents_of(prepare(corpus, tokenizer).val.ids, tokenizer) for tokenizer in tokenizers]
    assert texts[0] == texts[1] == texts[2]


@pytest.mark.parametrize("spec", ["char", "byte", "bpe:300"])
def test_a_folder_is_split_by_whole_documents_that_do_not_leak(folder, spec):
    corpus = read(folder)
    tokenizer = tokenizer_of(spec, corpus)
    dataset = prepare(corpus, tokenizer)
    train, val = documents_of(dataset.train.ids, tokenizer), documents_of(dataset.val.ids, tokenizer)
    written = [path.read_text(encoding="utf-8") for path in folder.iterdir()]
    assert sorted(train + val) == sorted(written)
    assert not set(train) & set(val)
    assert (len(train), len(val)) == (dataset.train.documents, dataset.val.documents)
    assert 0.05 <= dataset.val.characters / dataset.characters <= 0.2


def test_a_text_of_many_pieces_has_the_ids_of_the_whole(tmp_path):
    path = tmp_path / "long.txt"
    path.write_text(prose(500_000, seed=3), encoding="utf-8")
    corpus = read(path)
    assert len(list(next(corpus.documents()).pieces())) > 1
    tokenizer = tokenizer_of("bpe:400", corpus)
    assert prepare_text(corpus, tokenizer).ids.tolist() == tokenizer.encode(path.read_text(encoding="utf-8"))


def test_a_second_run_does_not_open_the_file(book):
    corpus = read(book)
    tokenizer = tokenizer_of("char", corpus)
    first: Dataset = prepare(corpus, tokenizer)
    book.chmod(0)
    again = read(book)
    again.documents = None  # type: ignore[method-assign, assignment]
    assert prepare(again, tokenizer).already_there
    assert not first.already_there


def test_a_text_with_a_character_that_the_model_does_not_know_says_where(book, tmp_path):
    tokenizer = tokenizer_of("char", read(book))
    other = tmp_path / "other.txt"
    other.write_text("the cat\nand § the dog\n", encoding="utf-8")
    with pytest.raises(UnknownCharacter) as error:
        prepare_text(read(other), tokenizer)
    assert "other.txt" in error.value.what
    assert "U+00A7, SECTION SIGN" in error.value.what
    assert "line 2, column 5" in error.value.what


@pytest.mark.parametrize("content", ["", "\n\n  \n", "x", "aaaaaaaaaaaaaaa" * 50, "ab"])
def test_a_file_with_nothing_to_learn_says_so(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_text(content)
    corpus = read(path)
    with pytest.raises(NotEnoughText) as error:
        prepare(corpus, tokenizer_of("char", corpus))
    assert error.value.todo
    print(error.value)
