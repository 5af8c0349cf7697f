"""The pass over everything, its cache, and what is shown of it."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.text import survey as survey_module
from homespun.text.corpus import Corpus
from homespun.text.description import describe
from homespun.text.document import Document, text_document
from homespun.text.notes import Tally
from homespun.text.sources import read
from tests.text.conftest import STORY


class Given:
    """A source of documents that a test has at hand."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts

    def documents(self, request: object, tally: Tally) -> list[Document]:
        return [text_document(f"{i}", text) for i, text in enumerate(self.texts)]

    def signature(self) -> None:
        return None


def corpus_of(*texts: str) -> Corpus:
    return Corpus("given", "given", [Given(*texts)])  # type: ignore[list-item]


@given(
    st.lists(st.text(min_size=1).filter(lambda text: "\r" not in text and text.strip()), min_size=1, max_size=5)
)
def test_a_survey_counts_what_is_there(texts: list[str]) -> None:
    survey = corpus_of(*texts).survey()
    whole = "".join(texts)
    assert survey.alphabet == Counter(whole)
    assert list(survey.alphabet) == sorted(set(whole))
    assert survey.documents == len(texts) and survey.characters == len(whole)
    assert survey.bytes == len(whole.encode()) and survey.lines == whole.count("\n")
    assert survey.document_characters == [len(text) for text in texts]
    assert survey.document_keys == [hashlib.sha256(text.encode()).hexdigest()[:32] for text in texts]
    assert survey.duplicates == len(texts) - len(set(texts))
    assert survey.longest[1] == max(map(len, texts)) and survey.shortest[1] == min(map(len, texts))


def test_the_key_knows_where_documents_end() -> None:
    keys = {corpus_of(*texts).survey().key for texts in (("ab", "c"), ("a", "bc"), ("abc",), ("c", "ab"))}
    assert len(keys) == 4


def test_the_survey_of_files_is_kept_until_one_changes(story: Path, own_cache: Path, monkeypatch) -> None:
    story.write_bytes(STORY.encode("utf-16"))
    first = read(story)
    first.survey()
    assert len(list((own_cache / "surveys").iterdir())) == 1

    def no_reading(*_: object) -> None:
        raise AssertionError("it was read again")

    with monkeypatch.context() as patch:
        patch.setattr(survey_module, "_Counting", no_reading)
        again = read(story)
        assert again.survey() == first.survey() and again.notes == first.notes and again.notes
    story.write_text(STORY.upper())
    assert read(story).survey().key != first.survey().key


def test_a_change_of_the_same_size_is_seen(story: Path) -> None:
    before = read(story).survey().key
    story.write_text(STORY.replace("hen", "cat"))
    os.utime(story, ns=(1, 1))
    assert read(story).survey().key != before


def test_another_field_is_another_survey(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one", "body": "twotwo"}\n')
    assert read(path).survey().characters == 3
    assert read(path, field="body").survey().characters == 6


@pytest.mark.parametrize("damage", [b"", b"{", b'{"survey": {}, "notes": []}', b"[]"])
def test_a_damaged_cache_is_made_anew(story: Path, own_cache: Path, damage: bytes) -> None:
    survey = read(story).survey()
    (kept,) = (own_cache / "surveys").iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(damage)
    assert read(story).survey() == survey
    assert kept.read_bytes() == whole


def test_a_cache_that_lies_about_a_document_is_made_anew(story: Path, own_cache: Path) -> None:
    survey = read(story).survey()
    (kept,) = (own_cache / "surveys").iterdir()
    kept.write_bytes(kept.read_bytes().replace(survey.document_keys[0].encode(), b"0" * 32))
    assert read(story).survey() == survey


def test_tiny_shakespeare_has_the_numbers_of_the_tutorials(shakespeare_path: Path) -> None:
    survey = read(shakespeare_path).survey()
    alphabet = list(survey.alphabet)
    assert (survey.characters, len(alphabet), survey.documents) == (1_115_394, 65, 1)
    assert (alphabet[0], alphabet[1], alphabet[12], alphabet[49]) == ("\n", " ", "?", "k")


def test_a_description_says_what_would_be_trained_on(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Жил-был hen\n")
    (tmp_path / "b.txt").write_text("Жил-был hen\n")
    shown = describe(read(tmp_path))
    assert (shown.documents, shown.duplicates, shown.lines) == (2, 1, 2)
    assert [name for name, _ in shown.scripts] == ["Cyrillic", "Latin"]
    assert shown.scripts[0][1] == pytest.approx(6 / 9)
    assert shown.beginning == "Жил-был hen\n"
    assert shown.alphabet_size == 11 and shown.encodings == {"utf-8": 2}
    assert sum(share for _, share in shown.kinds) == pytest.approx(1)


def test_progress_is_told(story: Path) -> None:
    told: list[int] = []
    read(story).survey(told.append)
    assert told == [len(STORY)]
