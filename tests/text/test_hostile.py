"""Texts from hostile or unlucky places, and in hostile encodings: told or read, soon, and in bounded memory."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from homespun.errors import TextNotFound, TextUnreadable
from homespun.fetch.cache import cache_folder
from homespun.text.sources import read
from tests.text.conftest import STORY, notes_of, only_text, texts

# --- names and places -----------------------------------------------------------------------------------------


def test_a_pattern_does_not_walk_in_circles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / ".hidden").mkdir()
    for place in ("t.txt", "a/t.txt", "a/b/t.txt", "a/.hidden/t.txt"):
        (tmp_path / place).write_text(place)
    (tmp_path / "a" / "b" / "up").symlink_to("../..")
    (tmp_path / "a" / "up").symlink_to("..")
    everything = ["a/b/t.txt", "a/t.txt", "t.txt"]
    assert sorted(texts(read(tmp_path / "**" / "*.txt")).values()) == everything
    assert sorted(texts(read(tmp_path / "**")).values()) == everything
    monkeypatch.chdir(tmp_path)
    assert sorted(texts(read("**/t.txt"))) == everything
    assert list(texts(read("a/**/t.txt"))) == ["a/b/t.txt", "a/t.txt"]
    assert list(texts(read("[a]/../t.*"))) == ["a/../t.txt"]


def test_a_link_to_itself_is_told(tmp_path: Path) -> None:
    (tmp_path / "self").symlink_to("self")
    with pytest.raises(TextUnreadable, match="leads in a circle"):
        read(tmp_path / "self")


def test_a_folder_on_the_way_without_permission_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(TextUnreadable, match="no permission for a folder on the way"):
        read(tmp_path / "a.txt")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such devices here")
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/urandom"])
def test_a_device_is_refused(device: str) -> None:
    with pytest.raises(TextUnreadable, match=f"{device} is a device"):
        read(device)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no such files here")
def test_a_file_that_tells_no_size_is_kept_as_it_was_first_read() -> None:
    corpus = read("/proc/self/stat")
    assert list(texts(corpus).values()) == list(texts(corpus).values()) != [""]


def test_a_pipe_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    class Endless(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            return b"y\n" * (size // 2)

    monkeypatch.setattr("homespun.text.spool.MAX_SPOOLED", 2**23)
    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": Endless()}))
    with pytest.raises(TextUnreadable, match="8,388,608 bytes and did not end"):
        read("-")
    assert list((own_cache / "pipes").iterdir()) == []


def test_what_a_killed_process_had_from_a_pipe_goes_after_a_day(
    monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    for name in ("1-old", ".2-old.part", "3-new"):
        (cache_folder("pipes") / name).write_text("left")
    for name in ("1-old", ".2-old.part"):
        os.utime(cache_folder("pipes") / name, (0, 0))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(STORY.encode())))
    assert only_text("-") == STORY
    left = {path.name for path in (own_cache / "pipes").iterdir()}
    assert "3-new" in left and len(left) == 2 and not any("old" in name for name in left)


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="file names are Unicode there")
def test_names_that_are_no_text_are_shown_and_kept_as_text(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    for name in (b"bad\xff.txt", b"new\nline.txt", b"[bold].txt", b"\x1b[31m.txt"):
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(STORY.encode() + b"\xe9")
    one = read(os.fsdecode(folder + b"/bad\xff.txt"))
    for corpus in (one, read(tmp_path)):
        survey = corpus.survey()
        said = [corpus.title, corpus.name, *corpus.notes, *survey.longest[:1], *texts(corpus)]
        assert "\n".join(said).encode("utf-8")
    assert "bad\ufffd.txt" in one.title
    big = Path(os.fsdecode(folder + b"/src\xff"))
    big.mkdir()
    (big / os.fsdecode(b"x\xfe.py")).write_text("x = 1\n" * 1_000_000)  # of source code, the name is in the text
    assert read(big).survey().characters > 6_000_000


def test_a_folder_without_a_look_inside_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "b").mkdir()
    original = Path.exists

    def refuse(self: Path, **options: bool) -> bool:
        if self.name == "pyvenv.cfg":
            raise PermissionError(13, "Permission denied")
        return original(self, **options)

    monkeypatch.setattr(Path, "exists", refuse)
    assert list(texts(read(tmp_path)).values()) == ["one"]


def test_without_a_cache_a_text_can_still_be_looked_at(story: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMESPUN_CACHE", str(story / "no" / "folder"))
    assert read(story).survey().characters == len(STORY)


# --- what changes while it is read ------------------------------------------------------------------------------


def test_a_file_that_becomes_something_else_is_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "notes"
    root.mkdir()
    (tmp_path / "secret").write_text("secret")
    for name in ("a", "b", "c"):
        (root / f"{name}.txt").write_text(name * 3)
    corpus = read(root)
    assert len(list(corpus.documents())) == 3
    (root / "a.txt").unlink()
    (root / "a.txt").symlink_to(tmp_path / "secret")
    (root / "b.txt").unlink()
    os.mkfifo(root / "b.txt")
    assert list(texts(corpus).values()) == ["ccc"]


def test_a_large_file_that_changes_between_two_looks_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("wörter " * 1_000_000)
    (document,) = read(path).documents()
    path.write_bytes(b"w\xf6rter " * 1_000_000)
    with pytest.raises(TextUnreadable, match=r"changed while it was read\.\n.*copy"):
        document.read()


# --- encodings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("line", ["Жил-был у бабушки серенький козлик.\n", "从前有一座山，山里有一座庙。\n"])
def test_utf16_of_any_script_needs_no_mark(tmp_path: Path, encoding: str, line: str) -> None:
    (tmp_path / "a.txt").write_bytes((line * 20).encode(encoding))
    assert only_text(tmp_path / "a.txt") == line * 20


def test_junk_is_not_taken_for_utf16(tmp_path: Path) -> None:
    import random

    source = random.Random(5)
    for size in (64, 100, 1000, 70_000):
        for _ in range(30):
            (tmp_path / "a.txt").write_bytes(source.randbytes(size) + b"\0 \0\n" * (size // 50))
            with pytest.raises(TextUnreadable):
                read(tmp_path / "a.txt").survey()


def test_mixed_encodings_are_said(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(
        ("Жил козлик\n" * 20).encode() + ("Élève à la fenêtre\n" * 50).encode("latin-1")
    )
    assert "Élève à la fenêtre" in only_text(tmp_path / "a.txt")
    assert "mixes encodings" in notes_of(tmp_path / "a.txt")
    (tmp_path / "b.txt").write_bytes(("Élève à la fenêtre\n" * 50).encode("latin-1"))
    assert "mixes" not in notes_of(tmp_path / "b.txt")


def test_a_file_is_no_folder(story: Path) -> None:
    with pytest.raises(TextNotFound, match=r"story\.txt is a file"):
        read(story / "x.txt")
