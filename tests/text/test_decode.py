"""Encodings and line ends."""

from __future__ import annotations

import codecs
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.errors import TextUnreadable
from homespun.text.blob import SMALL, Blob, memory_blob
from homespun.text.decode import decoded
from homespun.text.document import PIECE, Document, cut, text_document
from homespun.text.sources import read
from tests.text.conftest import notes_of, only_text

FRENCH = "Il était une fois, dans une forêt très éloignée, un garçon nommé Émile. Ça va ?\n"
QUOTES = "“Well,” he said – it’s a café. Price: 5 €.\n"
RUSSIAN = "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.\n"
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n"

ENCODED = [
    (FRENCH, "utf-8", "utf-8"),
    (FRENCH, "utf-8-sig", "utf-8-sig"),
    (FRENCH, "utf-16", "utf-16-le"),
    (FRENCH, "utf-16-le", "utf-16-le"),
    (FRENCH, "utf-16-be", "utf-16-be"),
    (FRENCH, "utf-32", "utf-32-le"),
    (FRENCH, "latin-1", "latin-1"),
    (QUOTES, "cp1252", "cp1252"),
    (RUSSIAN, "cp1251", "cp1251"),
    (RUSSIAN, "koi8-r", "koi8-r"),
    (RUSSIAN, "utf-16", "utf-16-le"),
    (JAPANESE, "shift_jis", "cp932"),
]


@pytest.mark.parametrize(("text", "encoding", "told"), ENCODED)
@pytest.mark.parametrize("times", [1, 110_000])
def test_encodings_are_recognised_small_and_streamed(
    tmp_path: Path, text: str, encoding: str, told: str, times: int
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes((text * times).encode(encoding))
    assert (path.stat().st_size > SMALL) == (times > 1)
    (document,) = read(path).documents()
    assert document.encoding == told
    assert document.read() == text * times


def test_big_endian_marks(tmp_path: Path) -> None:
    for mark, codec in ((codecs.BOM_UTF16_BE, "utf-16-be"), (codecs.BOM_UTF32_BE, "utf-32-be")):
        (document,) = [decoded(memory_blob("a", "a", mark + FRENCH.encode(codec)))]
        assert (document.encoding, document.read()) == (codec, FRENCH)


def test_an_unusual_encoding_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(FRENCH.encode("latin-1"))
    guess = (
        f"{tmp_path / 'a.txt'} is read as Latin-1 (ISO 8859-1), which is a guess; --encoding NAME takes another"
    )
    assert notes_of(tmp_path / "a.txt") == guess
    (tmp_path / "b.txt").write_text(FRENCH, encoding="utf-8")
    assert notes_of(tmp_path / "b.txt") == ""


@pytest.mark.parametrize("times", [1, 400_000])
def test_line_ends_become_newlines_and_it_is_said(tmp_path: Path, times: int) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\r\ntwo\rthree\n\r\n" * times)
    assert only_text(tmp_path / "a.txt") == "one\ntwo\nthree\n\n" * times
    notes = notes_of(tmp_path / "a.txt")
    assert "Windows line ends" in notes and "old Mac line ends" in notes


def test_an_ascii_file_with_one_latin_letter_at_its_end_is_latin(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"plain words \n" * 700_000 + "café".encode("latin-1"))
    (document,) = read(path).documents()
    assert document.encoding == "latin-1" and document.read().endswith("\ncafé")


@pytest.mark.parametrize("times", [20, 60_000])
def test_utf8_with_a_damaged_byte_stays_utf8_and_the_place_is_said(tmp_path: Path, times: int) -> None:
    content = FRENCH.encode() * times
    path = tmp_path / "a.txt"
    path.write_bytes(content + b"ab\xffcd")
    assert only_text(path) == FRENCH * times + "ab\ufffdcd"
    assert f"1 damaged place in its utf-8, the first at byte {len(content) + 2:,}" in notes_of(path)


def test_utf16_that_ends_in_the_middle_is_damaged_but_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(FRENCH.encode("utf-16")[:-1])
    assert only_text(tmp_path / "a.txt") == FRENCH[:-1] + "\ufffd"
    assert "1 damaged place" in notes_of(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0", "a PNG image"),
        (b"PK\x03\x04\x14\0\0", "a ZIP archive"),
        (b"ab\0cd", "NUL bytes, the first at byte 2"),
        (b"words\0words", "NUL bytes, the first at byte 5"),
        (bytes(range(1, 256)) * 30, "control codes"),
    ],
)
def test_what_is_no_text_is_refused_with_the_reason(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(TextUnreadable, match=why):
        read(tmp_path / "a.txt").survey()


def test_text_that_begins_like_a_program_is_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("MZ is how Windows programs begin.\n")
    assert only_text(tmp_path / "a.txt").startswith("MZ is")


@given(st.text(), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
def test_any_text_comes_back(text: str, encoding: str) -> None:
    text = text.replace("\0", "").removeprefix("\ufeff")
    document = decoded(memory_blob("a", "a", text.encode(encoding)))
    assert document.read() == text.replace("\r\n", "\n").replace("\r", "\n")


@given(st.text(alphabet="ab \n\r\té漢"), st.integers(1, 7))
def test_pieces_joined_are_the_text_however_it_arrives(text: str, size: int) -> None:
    text = (text or "x") * (PIECE // 3 // max(1, len(text)) * 4 + 1)
    chunks = [text[i : i + size * 100_000] for i in range(0, len(text), size * 100_000)]
    pieces = list(cut(chunks))
    assert "".join(pieces) == text
    assert pieces == list(cut([text]))
    assert max(map(len, pieces)) <= PIECE
    document = text_document("a", text)
    assert "".join(document.pieces()) == document.read() == "".join(document.pieces())


def test_pieces_end_before_the_space_after_a_word() -> None:
    text = "some words  and\n\nmore " * 200_000
    pieces = list(cut([text]))
    assert len(pieces) > 3
    for piece, following in pairwise(pieces):
        assert not piece[-1].isspace() and following[0] in " \n"


def test_a_text_on_one_line_without_spaces_is_cut_hard() -> None:
    pieces = list(cut(["x" * (3 * PIECE + 5)]))
    assert [len(piece) for piece in pieces] == [PIECE, PIECE, PIECE, 5]


def test_large_files_are_never_read_in_one_go(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"words and " * 2_000_000)
    asked: list[int] = []

    class Watched:
        def __init__(self) -> None:
            self.file = path.open("rb")

        def read(self, count: int = -1) -> bytes:
            asked.append(count)
            return self.file.read(count)

        def __enter__(self) -> Watched:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

    document: Document = decoded(Blob("a", "a.txt", path.stat().st_size, Watched))  # type: ignore[arg-type]
    assert sum(map(len, document.pieces())) == 20_000_000
    assert min(asked) > 0 and max(asked) <= 2**20
