"""Whatever a reader passes over, guesses or cannot decode is noted, whatever the format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import homespun.text
from homespun.errors import TextNotFound
from homespun.text.corpus import Corpus
from homespun.text.named import default_corpus
from homespun.text.notes import KINDS
from homespun.text.sources import read
from tests.text.conftest import STORY, epub_members, notes_of, write_zip

DAMAGED = "café naïve über ähnlich öfter".encode()
BROKEN = DAMAGED + b" caf\xe9 " + DAMAGED


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.json", "a.html", "a.jsonl.gz"])
def test_damaged_places_are_noted_in_every_format(name: str, tmp_path: Path) -> None:
    import gzip

    pytest.importorskip("lxml")
    content = {
        "a.txt": BROKEN,
        "a.jsonl": b'{"text": "' + BROKEN + b'"}\n',
        "a.csv": b"id,text\n1," + BROKEN + b"\n",
        "a.json": b'[{"text": "' + BROKEN + b'"}, {"text": "two"}]',
        "a.html": b"<p>" + BROKEN + b"</p>",
    }[name.removesuffix(".gz")]
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    notes = notes_of(tmp_path / name)
    assert "1 damaged place in its utf-8" in notes and notes.count("damaged place in") == 1


def test_mixed_encodings_are_noted_in_tables_too(tmp_path: Path) -> None:
    rows = ["Жил козлик".encode()] * 20 + ["Élève à la fenêtre".encode("latin-1")] * 50
    (tmp_path / "a.csv").write_bytes(b"id,text\n" + b"".join(b"1," + row + b"\n" for row in rows))
    assert "mixes encodings" in notes_of(tmp_path / "a.csv")


def test_chapters_that_are_no_utf8_are_noted(tmp_path: Path) -> None:
    pytest.importorskip("lxml")
    members = epub_members()
    members["OEBPS/a.xhtml"] = b"<html><body><p>caf\xe9</p></body></html>"
    assert "1 of its 2 chapters have damaged places" in notes_of(write_zip(tmp_path / "a.epub", members))
    assert notes_of(write_zip(tmp_path / "b.epub", epub_members())) == ""


def test_a_first_line_that_is_taken_for_a_name_is_noted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("The hen sat down.\nShe was tired.\n")
    assert "its first line is a text and no name: each line is read as one text" in notes_of(tmp_path / "a.csv")
    (tmp_path / "e.csv").write_text("said\nShe was tired.\n")
    assert "its first line, 'said', is read as a column's name" in notes_of(tmp_path / "e.csv")
    (tmp_path / "b.csv").write_text("text\nShe was tired.\n")
    (tmp_path / "c.csv").write_text("said\nShe was tired.\n")
    assert notes_of(tmp_path / "b.csv") == "" == notes_of(tmp_path / "c.csv", field="said")
    (tmp_path / "d.csv").write_text("x" * 1000 + "\nShe was tired.\n")
    assert len(notes_of(tmp_path / "d.csv")) < 200 + len(str(tmp_path))


def test_rows_without_a_text_are_noted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,one\n2\n3,\n4,four\n")
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"text": null}\n{"text": ""}\n')
    assert "2 empty documents left out" in notes_of(tmp_path / "a.csv")
    assert "2 empty documents left out" in notes_of(tmp_path / "a.jsonl")


def test_a_text_that_is_given_twice_is_noted(tmp_path: Path, story: Path) -> None:
    other = tmp_path / "b.md"
    other.write_text("bee")
    assert notes_of(story, other, story) == f"1 text given twice, read once: {story}"
    assert notes_of(story, other) == ""


def test_every_kind_of_note_is_made_by_somebody() -> None:
    sources = [path.read_text() for path in Path(homespun.text.__file__).parent.rglob("*.py")]
    made = "".join(source for source in sources if "KINDS = {" not in source)
    assert [kind for kind in KINDS if f'"{kind}"' not in made] == []


def test_why_it_is_that_text_is_a_note_of_it(shakespeare_path: Path) -> None:
    corpus, why = default_corpus()
    corpus.survey()
    assert corpus.notes[0] == why and "no text was given" in why


def test_notes_from_the_cache_are_the_same(tmp_path: Path, story: Path) -> None:
    (tmp_path / "a.csv").write_text("id;text\n1;one\n2\n")
    sources = [story, tmp_path / "a.csv", story]
    first, again = (notes_of(*sources) for _ in range(2))
    assert first == again and "given twice" in first and "empty document" in first


def test_a_corpus_without_anything_to_say_has_no_notes(story: Path) -> None:
    corpus: Corpus = read(story)
    assert corpus.survey().characters == len(STORY) and corpus.notes == []


# ---- links that point to nothing ----


def test_a_dead_link_is_named_with_what_it_points_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("book.txt").symlink_to("gone/old.txt")
    with pytest.raises(TextNotFound) as caught:
        read("book.txt")
    assert "book.txt is a symbolic link" in caught.value.what
    assert f"gone/old.txt ({tmp_path.resolve() / 'gone/old.txt'})" in caught.value.what
    assert "book.txt" not in caught.value.todo


def test_a_folder_on_the_way_may_be_the_dead_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("letters").symlink_to(tmp_path / "moved")
    for name in ("letters/a.txt", "letters/deep/er.txt"):
        with pytest.raises(TextNotFound, match="letters is a symbolic link"):
            read(name)


def test_the_end_of_a_chain_of_links_is_said(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("three")
    with pytest.raises(TextNotFound) as caught:
        read(tmp_path / "one")
    assert f"two ({tmp_path.resolve() / 'three'})" in caught.value.what


def test_a_pattern_that_finds_dead_links_only_says_so(tmp_path: Path, story: Path) -> None:
    (tmp_path / "a.md").symlink_to("gone")
    with pytest.raises(TextNotFound, match=r"a\.md is a symbolic link"):
        read(tmp_path / "*.md")
    (tmp_path / "b.md").write_text("bee")
    assert read(tmp_path / "*.md").survey().documents == 1


def test_nobody_is_asked_whether_he_meant_a_dead_link(tmp_path: Path) -> None:
    (tmp_path / "book.txt").symlink_to("gone")
    with pytest.raises(TextNotFound) as caught:
        read(tmp_path / "bock.txt")
    assert "Did you mean" not in caught.value.todo


def test_a_pattern_that_has_it_already_is_not_told_of_the_two_stars(tmp_path: Path) -> None:
    for pattern, told in (("*.pdf", True), ("**/*.pdf", False)):
        with pytest.raises(TextNotFound) as caught:
            read(tmp_path / pattern)
        assert ("**" in caught.value.todo) == told


def test_a_conversation_is_not_sent_to_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": [{"role": "user", "content": "hi"}], "id": "1"}))
    for field, says in ((None, "FILE learns"), ("text", "FILE without --field learns")):
        with pytest.raises(Exception, match=says):
            read(tmp_path / "a.jsonl", field=field).survey()
