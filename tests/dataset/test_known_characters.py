"""A text with a handful of unknown characters is measured without them; one in another alphabet is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from homespun.dataset.known_characters import readable
from homespun.dataset.preparation import prepare_text
from homespun.errors import UnknownCharacter
from homespun.text.sources import read
from homespun.tokenizer.make import build

LETTERS = "abcdefghijklmnopqrstuvwxyz '.\n"


def tokenizer(letters: str = LETTERS):  # type: ignore[no-untyped-def]
    return build("char", alphabet=dict.fromkeys(letters, 1), documents=1, pieces=lambda: iter([letters]))


def test_a_handful_is_left_out_and_look_alikes_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("it isn\u2019t a big caf\u00e9 \u4e2d.\n" + "the hen sat on the wall.\n" * 40)
    corpus, line = readable(read(tmp_path / "a.txt"), tokenizer())
    assert "3 of 1,02" in line and "1 are read as look-alikes (\u2019 as ')" in line
    assert "2 are left out: \u00e9 (1), \u4e2d (1)" in line
    words = tokenizer()
    split = prepare_text(corpus, words)
    assert words.decode(split.ids[:24].tolist()) == "it isn't a big caf .\nthe "[:24]


def test_a_text_in_another_alphabet_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("старик и море. the old man.\n" * 40)
    corpus, line = readable(read(tmp_path / "a.txt"), tokenizer())
    assert not line
    with pytest.raises(UnknownCharacter):
        prepare_text(corpus, tokenizer())


def test_decomposed_accents_are_read_as_the_letters_that_are_known(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("le cafe\u0301 e\u0301tait ferme\u0301.\n" * 40)
    words = tokenizer(LETTERS + "\u00e9")
    corpus, line = readable(read(tmp_path / "a.txt"), words)
    assert "120 are read as look-alikes" in line and "left out" not in line
    assert words.decode(prepare_text(corpus, words).ids[:22].tolist()) == "le caf\u00e9 \u00e9tait ferm\u00e9.\nl"


def test_what_is_known_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the hen sat.\n" * 40)
    corpus = read(tmp_path / "a.txt")
    assert readable(corpus, tokenizer()) == (corpus, "")
    (tmp_path / "b.txt").write_text("the h\u00e9n sat.\n" * 40)
    corpus = read(tmp_path / "b.txt")
    byte = build("byte", alphabet={}, documents=1, pieces=lambda: iter([]))
    assert readable(corpus, byte) == (corpus, "")
