"""Records, archives, books and pages that mean harm: told or read, soon, and in bounded memory."""

from __future__ import annotations

import gzip
import io
import signal
import struct
import subprocess
import tarfile
import zlib
from pathlib import Path
from unittest import mock

import pyarrow
import pyarrow.parquet
import pytest

from homespun.errors import NotEnoughText, TextUnreadable
from homespun.text.formats import dialect, portable, records, table
from homespun.text.sources import read
from tests.text.conftest import STORY, at_most, epub_members, notes_of, only_text, pdf_bytes, texts, write_zip

# --- records ----------------------------------------------------------------------------------------------------


def test_a_line_too_long_for_one_record_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_LINE", 1000)
    monkeypatch.setattr(table, "MAX_LINE", 1000)
    (tmp_path / "a.jsonl").write_text('{"text": "fine"}\n{"text": "' + "x" * 2000 + '"}\n')
    (tmp_path / "a.csv").write_text("text\nfine\n" + "x" * 2000 + "\n")
    with pytest.raises(TextUnreadable, match="line 2, is longer than 1,000 characters"):
        read(tmp_path / "a.jsonl").survey()
    with pytest.raises(TextUnreadable, match="line 3, is longer than 1,000 characters"):
        read(tmp_path / "a.csv").survey()


def test_a_quote_that_is_never_closed_does_not_take_the_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialect, "MAX_FIELD", 1000)
    (tmp_path / "a.csv").write_text('text\n"' + "some words\n" * 1000)
    assert list(texts(read(tmp_path / "a.csv")).values()) == ['"some words', *["some words"] * 999]
    assert "1 quotation mark that never closes" in notes_of(tmp_path / "a.csv")


def test_a_table_with_a_million_columns_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("," * 1_000_000 + "\n1,2\n")
    with pytest.raises(TextUnreadable, match="has 1,000,001 columns"):
        read(tmp_path / "a.csv").survey()


def test_json_is_read_item_by_item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_text("[" + "[0, 1], " * 500_000 + "[]]")
    with at_most(40):  # the file is 4 MB; as a whole it would be over 60
        assert read(tmp_path / "a.json").survey().characters == 4_000_004
    (tmp_path / "b.json").write_text(' [ "one" ,\n{"text": "two"}\t] ')
    assert list(texts(read(tmp_path / "b.json")).values()) == ["one", "two"]
    monkeypatch.setattr(records, "MAX_JSON", 1000)
    (tmp_path / "c.json.gz").write_bytes(gzip.compress(b'["' + b"x" * 2000 + b'"]'))
    with pytest.raises(TextUnreadable, match="more than 1,000 bytes of JSON"):
        read(tmp_path / "c.json.gz").survey()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('["one"\n"two"]', "a comma or the end of the list is missing at column 1 of line 2"),
        ('["one", "two"', "the end of the list is missing"),
        ('["one"] "two"', "there is more after the end of the list at column 9"),
        ('["one",]', "is not JSON"),
        ("[" * 100_000, "nested too deep"),
        ("[" + "9" * 10_000 + "]", "number of thousands of digits"),
        ('[{"text": ' + "[" * 900 + "]" * 900 + "}]", "no text in the field 'text' but a list"),
    ],
)
def test_a_broken_list_of_json_is_told(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(TextUnreadable, match=told):
        read(tmp_path / "a.json").survey()


def test_one_line_of_json_has_one_value(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('  {"text": "fine"}  \n{"text": "a"} {"text": "b"}\n')
    with pytest.raises(TextUnreadable, match="line 2, is not JSON: more than one value"):
        read(tmp_path / "a.jsonl").survey()


def test_a_parquet_table_that_says_one_text_many_times_is_read_in_bounded_memory(tmp_path: Path) -> None:
    rows = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 300, pyarrow.int32()), ["long " * 200_000])
    pyarrow.parquet.write_table(pyarrow.table({"said": rows}), tmp_path / "a.parquet", store_schema=False)
    before = pyarrow.total_allocated_bytes()
    count = 0
    for document in read(tmp_path / "a.parquet").documents():
        count += 1
        assert len(document.read()) == 1_000_000
        assert pyarrow.total_allocated_bytes() - before < 50_000_000
    assert count == 300


# --- archives ---------------------------------------------------------------------------------------------------


def make_tar(path: Path, members: dict[str, bytes], mode: str = "w", **more: str) -> Path:
    with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.pax_headers = dict(more)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_what_a_tar_archive_says_beside_its_files_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar.gz", {"a.txt": b"hello"}, "w:gz", comment="x" * 20_000_000)
    with at_most(30), pytest.raises(TextUnreadable, match="no whole tar archive: a header of 2000"):
        read(path).survey()


def test_a_tar_archive_that_leads_back_to_its_beginning_is_told(tmp_path: Path) -> None:
    header = bytearray(tarfile.TarInfo("a.txt").tobuf())
    header[124:136] = b"\xff" * 10 + b"\xfe\x00"  # -512: the next header is this one
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:512]))
    (tmp_path / "a.tar").write_bytes(bytes(header) + bytes(1024))
    with pytest.raises(TextUnreadable, match="negative size"):
        read(tmp_path / "a.tar").survey()


def test_large_files_of_a_packed_tar_are_unpacked_once_and_leave_nothing(tmp_path: Path, own_cache: Path) -> None:
    content = {f"{i}.txt": f"{i} sheep, ".encode() * 500_000 for i in range(4)}
    path = make_tar(tmp_path / "a.tar.gz", content, "w:gz")
    corpus = read(path)
    for document, expected in zip(corpus.documents(), content.values(), strict=True):
        assert document.read() == document.read() == expected.decode()
        assert len(list((own_cache / "pipes").iterdir())) <= 2
    del document
    assert list((own_cache / "pipes").iterdir()) == []


def test_links_and_devices_in_a_tar_are_counted(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in (("a", tarfile.SYMTYPE), ("b", tarfile.LNKTYPE), ("c", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("../../evil.txt")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"hello"))
    assert list(texts(read(tmp_path / "a.tar")).values()) == ["hello"]
    notes = notes_of(tmp_path / "a.tar")
    assert "2 symbolic links not followed" in notes and "no regular file" in notes


def zip_that_lies(path: Path, said: int, content: bytes, copies: int = 1) -> Path:
    """`copies` entries of the directory that all mean the same packed bytes, and say they are `said` bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(content) + packer.flush()
    facts = (0, 8, 0, 0, zlib.crc32(content), len(packed), said, 5, 0)
    local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, *facts) + b"a.txt" + packed
    entry = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, *facts, 0, 0, 0, 0, 0) + b"a.txt"
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, copies, copies, len(entry) * copies, len(local), 0)
    path.write_bytes(local + entry * copies + end)
    return path


def test_zips_that_lie_about_sizes_or_overlap_are_told(tmp_path: Path) -> None:
    path = zip_that_lies(tmp_path / "a.zip", 100, b" a" * 30_000_000)
    with at_most(30), pytest.raises(TextUnreadable, match="damaged"):
        read(path).survey()
    with pytest.raises(TextUnreadable, match="archive bombs"):
        read(zip_that_lies(tmp_path / "b.zip", 10_000_000, b" a" * 5_000_000, copies=100)).survey()


def test_a_zip_of_nothing_says_how_much_nothing(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {f"{i}.txt": b"" for i in range(3)})
    with pytest.raises(NotEnoughText, match="3 empty documents left out"):
        read(path).survey()


def test_a_name_of_nothing_in_a_zip_is_passed_over(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"x": b"one", "b.txt": b"two"})
    content = path.read_bytes().replace(b"x", b"\0")
    path.write_bytes(content)
    assert list(texts(read(path)).values()) == ["two"]


def test_a_wrong_checksum_is_damage_and_messages_stay_short(tmp_path: Path) -> None:
    packed = gzip.compress(STORY.encode())
    (tmp_path / "a.txt.gz").write_bytes(packed[:-8] + bytes(4) + packed[-4:])
    with pytest.raises(TextUnreadable, match="is damaged or incomplete: CRC"):
        read(tmp_path / "a.txt.gz").survey()
    path = write_zip(tmp_path / "a.zip", {"a.txt": STORY.encode()})
    content = bytearray(path.read_bytes())
    content[26] = 200  # the length of the name in the local header
    path.write_bytes(content + bytes(300))
    with pytest.raises(TextUnreadable) as caught:
        read(path).survey()
    assert len(caught.value.what) < 400


# --- books and pages --------------------------------------------------------------------------------------------


def laughs(root: str) -> bytes:
    """A billion times the same word, if somebody were to write it out."""
    names = "abcdefghij"
    entities = "".join(f'<!ENTITY {names[i + 1]} "{("&" + names[i] + ";") * 10}">' for i in range(9))
    return f'<!DOCTYPE x [<!ENTITY a "lol">{entities}]>{root}'.encode()


def test_entities_are_not_written_out(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes(laughs("<html><body><p>hello &j;</p></body></html>"))
    assert len(only_text(tmp_path / "a.html")) < 100
    for where, root in (
        ("OEBPS/a.xhtml", "<html><body><p>hello &j;</p></body></html>"),
        ("META-INF/container.xml", '<c><rootfile full-path="&j;"/></c>'),
        ("OEBPS/book.opf", "<package>&j;</package>"),
    ):
        path = write_zip(tmp_path / "a.epub", {**epub_members(), where: laughs(root)})
        try:
            assert len(only_text(path)) < 200
        except (TextUnreadable, ValueError) as error:  # ValueError: there is no document at all
            assert len(str(error)) < 500


@pytest.mark.parametrize("name", ["a.docx", "a.odt", "a.fb2", "a.fodt", "a.xml"])
def test_entities_of_documents_are_not_written_out_and_name_no_files(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    part = {"a.docx": "word/document.xml", "a.odt": "content.xml"}.get(name)
    body = "<FictionBook><body><p>hello &j; &x;</p></body></FictionBook>"
    for content in (
        laughs(body),
        f'<!DOCTYPE c [<!ENTITY x SYSTEM "file://{tmp_path}/secret.txt">]>{body}'.encode(),
    ):
        path = tmp_path / name
        if part:
            write_zip(path, {part: content, "[Content_Types].xml": b"<x/>", "mimetype": b"x"})
        else:
            path.write_bytes(content)
        try:
            found = only_text(path)
        except (TextUnreadable, NotEnoughText, ValueError) as error:  # ValueError: there is no document at all
            found = str(error)
        assert len(found) < 1000 and "secret\n" not in found and "lollol" not in found


def test_what_a_document_unpacks_to_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homespun.text.formats.markup.MAX_XML", 1000)
    path = write_zip(tmp_path / "a.docx", {"word/document.xml": b"<p>" + b" " * 10_000 + b"</p>"})
    with pytest.raises(TextUnreadable, match="unpacks to more than 1,000 bytes"):
        read(path).survey()
    (tmp_path / "b.txt.zst").write_bytes(pyarrow.compress(b" " * 200_000_000, codec="zstd", asbytes=True))
    with pytest.raises(TextUnreadable, match="archive bombs"):
        read(tmp_path / "b.txt.zst").survey()


@pytest.mark.parametrize("name", ["a.eml", "a.mbox", "a.rtf", "a.ipynb", "a.srt", "a.json"])
def test_depth_without_end_is_told_or_read(tmp_path: Path, name: str) -> None:
    content = {
        "a.eml": b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (i, i) for i in range(3000)),
        "a.mbox": b"From a@x Mon Jan  1 10:00:00 2024\nA: b\n\n" * 3000,
        "a.rtf": b"{\\rtf1" + b"{" * 100_000 + b"x",
        "a.ipynb": b'{"cells": ' + b"[" * 100_000,
        "a.srt": b"00:00:01,000 --> 00:00:02,000\n" * 3000,
        "a.json": b'{"a": ' * 100_000,
    }[name]
    (tmp_path / name).write_bytes(content)
    try:
        read(tmp_path / name).survey()
    except (TextUnreadable, NotEnoughText) as error:
        assert len(str(error)) < 3000


def test_a_page_too_large_for_a_tree_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homespun.text.formats.page.MAX_ELEMENTS", 1000)
    (tmp_path / "a.html").write_text("<p>a" * 2000)
    with pytest.raises(TextUnreadable, match="more than 1,000 elements"):
        read(tmp_path / "a.html").survey()
    monkeypatch.setattr("homespun.text.formats.page.MAX_PAGE", 1000)
    (tmp_path / "a.html.gz").write_bytes(gzip.compress(b"<p>a" * 2000))
    with pytest.raises(TextUnreadable, match="page of more than 1,000 bytes"):
        read(tmp_path / "a.html.gz").survey()


def test_a_book_has_each_chapter_once(tmp_path: Path) -> None:
    members = epub_members()
    members["OEBPS/book.opf"] = members["OEBPS/book.opf"].replace(
        b'<itemref idref="a"/>', b'<itemref idref="a"/>' * 1000
    )
    assert only_text(write_zip(tmp_path / "a.epub", members)).count("Zweites") == 1
    members["OEBPS/book.opf"] = b"<p>" + b"<x/>" * 2_000_000 + b"</p>"
    with pytest.raises(TextUnreadable, match="unpacks to more than"):
        read(write_zip(tmp_path / "b.epub", members)).survey()


def test_a_pdf_that_fills_the_memory_takes_nothing_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf_bytes("Once upon a time"))
    ended = subprocess.CalledProcessError(-signal.SIGXCPU, "python")
    monkeypatch.setattr(subprocess, "run", mock.Mock(side_effect=ended))
    with pytest.raises(TextUnreadable, match="more memory or work than a book does"):
        read(tmp_path / "a.pdf").survey()


def test_a_computer_that_has_no_time_for_a_pdf_is_told_from_a_pdf_without_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf_bytes("Once upon a time"))
    monkeypatch.setattr(portable, "MAX_SECONDS", 0.001)
    with pytest.raises(TextUnreadable, match="was not read within") as error:
        read(tmp_path / "a.pdf").survey()
    assert "Try again when this computer has less to do" in error.value.todo


def test_a_locked_pdf_says_so(tmp_path: Path) -> None:
    lock = b"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >> /ID [<00> <00>] /Root" % (
        b"11" * 32,
        b"22" * 32,
    )
    (tmp_path / "a.pdf").write_bytes(pdf_bytes("secret").replace(b"/Root", lock))
    with pytest.raises(TextUnreadable, match="is locked with a password"):
        read(tmp_path / "a.pdf").survey()


def test_a_pdf_with_a_damaged_page_gives_the_others(tmp_path: Path) -> None:
    whole = pdf_bytes("Once upon a time", "The end")
    (tmp_path / "a.pdf").write_bytes(whole.replace(b"/Kids [4 0 R 6 0 R]", b"/Kids [4 0 R 9 0 R]"))
    assert only_text(tmp_path / "a.pdf") == "Once upon a time\n"
    assert "1 of its 2 pages are damaged" in notes_of(tmp_path / "a.pdf")
    (tmp_path / "b.pdf").write_bytes(whole.replace(b"/Kids [4 0 R 6 0 R]", b"/Kids [8 0 R 9 0 R]"))
    with pytest.raises(TextUnreadable, match="none of its pages opens"):
        read(tmp_path / "b.pdf").survey()
