"""TEXT arguments."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from homespun.errors import NotEnoughText, TextNotFound
from homespun.text.sources import folder_name, read
from tests.text.conftest import STORY, texts


def test_several_sources_are_one_corpus(tmp_path: Path, story: Path) -> None:
    (tmp_path / "b.md").write_text("bee")
    corpus = read(story, tmp_path / "b.md", story)
    assert list(texts(corpus).values()) == [STORY, "bee"]
    assert corpus.name == "story-and-1-more" and str(story) in corpus.title


def test_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.txt", "a.txt", "c.md", "sub/d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert list(texts(read(tmp_path / "*.txt")).values()) == ["a.txt", "b.txt"]
    monkeypatch.chdir(tmp_path)
    assert sorted(texts(read("**/*.txt"))) == ["a.txt", "b.txt", "sub/d.txt"]
    assert texts(read("su*")) == {"sub/d.txt": "sub/d.txt"}
    (tmp_path / "odd[1].txt").write_text("odd")
    assert texts(read("odd[1].txt")) == {"odd[1].txt": "odd"}
    with pytest.raises(TextNotFound, match=r"No file matches \*\.pdf"):
        read("*.pdf")


def test_standard_input_can_be_read_twice_and_leaves_nothing(story: Path, own_cache: Path) -> None:
    script = (
        "from homespun.text.sources import read\ncorpus = read('-')\n"
        "print(corpus.name, corpus.survey().characters, sum(len(d.read()) for d in corpus.documents()))"
    )
    for content in (STORY.encode(), STORY.encode("utf-16")):
        done = subprocess.run([sys.executable, "-c", script], input=content, capture_output=True, check=True)
        assert done.stdout.decode().split() == ["stdin", str(len(STORY)), str(len(STORY))]
    assert list((own_cache / "pipes").iterdir()) == []


def test_empty_standard_input_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(NotEnoughText, match="standard input is empty"):
        read("-").survey()


def test_a_named_pipe_is_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen([sys.executable, "-c", f"open({str(pipe)!r}, 'w').write('through a pipe')"]):
        assert list(texts(read(pipe)).values()) == ["through a pipe"]


def test_a_name_of_a_corpus_wins_unless_written_as_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "python").write_text("a snake")
    assert list(texts(read("./python")).values()) == ["a snake"]
    assert read("python").title.startswith("the standard library")


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("stroy.txt", r"Did you mean .*story\.txt\?"),
        ("STORY.TXT", r"Did you mean .*story\.txt\?"),
        ("story.md", r"Did you mean .*story\.txt\?"),
        ("shakespear", "Did you mean shakespeare"),
        ("zzz", "Named corpora are shakespeare, shakespeare-plays, python"),
        ("", "is empty"),
        ("  ", "is empty"),
        ("no/such/file.txt", "the folder no/such does not exist"),
        ("Once upon a time " * 50, "Give the path of a file, not the text"),
        ("a\0b", "No file"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(
    story: Path, monkeypatch: pytest.MonkeyPatch, wanted: str, told: str
) -> None:
    monkeypatch.chdir(story.parent)
    with pytest.raises(TextNotFound, match=told):
        read(wanted)


@pytest.mark.parametrize(("content", "told"), [(b"", "story.txt is empty"), (b" \n\t\n" * 9, "has no text in it")])
def test_empty_and_blank_files_are_told(story: Path, content: bytes, told: str) -> None:
    story.write_bytes(content)
    with pytest.raises(NotEnoughText, match=told):
        read(story).survey()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("War and Peace.txt", "war-and-peace"),
        ("a/b/notes/", "notes"),
        ("x.jsonl.gz", "x"),
        ("Война и мир.epub", "война-и-мир"),
        ("v1.2-notes.txt", "v1-2-notes"),
        ("...", "text"),
        ("../..", "text"),
        ("a" * 99, "a" * 40),
        (".txt", "txt"),
    ],
)
def test_names_are_fit_for_a_folder(source: str, name: str) -> None:
    assert folder_name(source) == name
