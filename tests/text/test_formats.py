"""Every kind of text, as a real file."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sys
import tarfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from homespun.errors import HomespunError, MissingExtra, NotEnoughText, TextUnreadable
from homespun.text.sources import read
from tests.text.conftest import STORY, epub_members, notes_of, only_text, pdf_bytes, texts, write_zip


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.py", "README", "a.log", "a.unknown"])
def test_plain_text_of_any_name_is_read_as_it_stands(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(STORY)
    assert only_text(tmp_path / name) == STORY


@pytest.mark.parametrize(("suffix", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_packed_files_are_unpacked(tmp_path: Path, suffix: str, pack) -> None:
    (tmp_path / f"a.txt.{suffix}").write_bytes(pack(STORY.encode()))
    (tmp_path / f"b.jsonl.{suffix}").write_bytes(pack(b'{"text": "one"}\n{"text": "two"}\n'))
    (tmp_path / "no-suffix").write_bytes(pack(STORY.encode()))
    assert only_text(tmp_path / f"a.txt.{suffix}") == STORY
    assert list(texts(read(tmp_path / f"b.jsonl.{suffix}")).values()) == ["one", "two"]
    assert only_text(tmp_path / "no-suffix") == STORY


def test_a_large_packed_text_is_streamed(tmp_path: Path) -> None:
    text = "".join(f"{i} sheep, and é\n" for i in range(400_000))
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(text.encode(), 1))
    assert only_text(tmp_path / "a.txt.gz") == text


def test_a_truncated_gz_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(STORY.encode())[:-12])
    with pytest.raises(TextUnreadable, match="damaged or incomplete"):
        read(tmp_path / "a.txt.gz").survey()


def test_json_lines_give_a_document_a_line(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text('{"text": "one\\r\\n", "id": 1}\n\n{"text": "\\ud83d\\ude00 \\ud800"}\n{"text": ""}\n"four"\n')
    assert texts(read(path)) == {f"{path}:1": "one\n", f"{path}:3": "😀 \ufffd", f"{path}:5": "four"}


def test_a_named_field_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"body": "hello"}\n')
    (tmp_path / "a.csv").write_text("id,body\n1,hello\n")
    (tmp_path / "a.json").write_text('[{"body": "hello"}]')
    for name in ("a.jsonl", "a.csv", "a.json"):
        assert only_text(tmp_path / name, field="body") == "hello"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"body": "x", "id": 7}', r"line 2, has no field 'text'; it has 'body', 'id'\.\n.*--field body"),
        ('{"text": ', "line 2, is not JSON"),
        ('{"text": [7]}', "line 2, has no text in the field 'text' but a list"),
        ("[1]", "line 2, is a list, not an object"),
        ("[" * 100_000, "line 2, cannot be read as JSON|line 2, is not JSON"),
    ],
)
def test_a_bad_line_of_json_is_named(tmp_path: Path, line: str, told: str) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "fine"}\n' + line + "\n")
    with pytest.raises(TextUnreadable, match=told):
        read(tmp_path / "a.jsonl").survey()


def test_json_that_is_no_list_of_texts_is_read_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"name": "x"}\n')
    (tmp_path / "b.json").write_text("[1, 2]\n")
    (tmp_path / "c.json").write_text('["one", {"text": "two"}]')
    assert only_text(tmp_path / "a.json") == '{"name": "x"}\n'
    assert only_text(tmp_path / "b.json") == "[1, 2]\n"
    assert list(texts(read(tmp_path / "c.json")).values()) == ["one", "two"]


def test_csv_takes_the_column_text_or_the_longest_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,text\n1,"two, lines\nhere"\n2,"say ""hi"""\n')
    (tmp_path / "b.csv").write_text("id;said\n1;a long story\n2;another\n")
    (tmp_path / "c.tsv").write_text("said\tid\nx, y; z\t1\n")
    assert list(texts(read(tmp_path / "a.csv")).values()) == ["two, lines\nhere", 'say "hi"']
    assert list(texts(read(tmp_path / "b.csv")).values()) == ["a long story", "another"]
    assert only_text(tmp_path / "c.tsv") == "x, y; z"
    assert "taken from the column 'said', the longest of 'id', 'said'" in notes_of(tmp_path / "b.csv")
    assert "column" not in notes_of(tmp_path / "a.csv")


def test_csv_without_that_column_names_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,said\n1,x\n")
    with pytest.raises(TextUnreadable, match="no column 'body'; its columns are 'id', 'said'"):
        read(tmp_path / "a.csv", field="body").survey()


def test_parquet(tmp_path: Path) -> None:
    table = pyarrow.table({"id": [1, 2, 3], "title": ["a", "b", "c"], "said": ["a long story", None, "é"]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    assert list(texts(read(tmp_path / "a.parquet")).values()) == ["a long story", "é"]
    assert list(texts(read(tmp_path / "a.parquet", field="title")).values()) == ["a", "b", "c"]
    assert "column 'said'" in notes_of(tmp_path / "a.parquet")
    with pytest.raises(TextUnreadable, match="no column 'id'; its columns are 'title', 'said'"):
        read(tmp_path / "a.parquet", field="id").survey()
    (tmp_path / "b.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(TextUnreadable, match="not a whole Parquet file"):
        read(tmp_path / "b.parquet").survey()


PAGE = """<!doctype html><html><head><title>T</title><style>p {}</style></head><body>
<nav>Home</nav><header>Logo</header><h1>The   hen</h1><p>Once <b>upon</b>
a&nbsp;time&mdash;é.</p><script>alert(1)</script><ul><li>one</li><li>two</li></ul>
<pre>def f():
    return 1</pre><!-- no --><p>a<br>b</p>
<table><tr><td>1</td><td>2</td></tr></table><footer>Bye</footer></body></html>"""


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16", "utf-8-sig"])
def test_html_keeps_what_a_reader_reads(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.html").write_bytes(PAGE.encode(encoding))
    expected = "The hen\n\nOnce upon a\xa0time—é.\n\none\ntwo\n\ndef f():\n    return 1\n\na\nb\n\n1 2\n"
    assert only_text(tmp_path / "a.html") == expected


def test_html_believes_the_page_about_its_encoding(tmp_path: Path) -> None:
    page = '<html><head><meta charset="koi8-r"></head><body><p>Жил-был</p></body></html>'
    (tmp_path / "a.html").write_bytes(page.encode("koi8-r"))
    assert only_text(tmp_path / "a.html") == "Жил-был\n"


def test_a_deep_page_is_read_and_a_bottomless_one_refused(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<div>" * 1_500 + "deep" + "</div>" * 1_500)
    assert only_text(tmp_path / "a.html") == "deep\n"
    (tmp_path / "b.html").write_text("<p>before<div>" * 20_000 + "deep")
    with pytest.raises(TextUnreadable, match="Excessive depth"):
        read(tmp_path / "b.html").survey()


def test_epub_is_read_in_the_order_of_its_spine(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.epub", epub_members())
    assert only_text(path) == "First\n\nOne line.\n\nZweites — é\n"


def test_a_locked_or_broken_epub_says_so(tmp_path: Path) -> None:
    with pytest.raises(TextUnreadable, match="locked"):
        read(write_zip(tmp_path / "a.epub", epub_members(locked=True))).survey()
    with pytest.raises(TextUnreadable, match="no whole EPUB"):
        read(write_zip(tmp_path / "b.epub", {"x": b"y"})).survey()
    (tmp_path / "c.epub").write_bytes(b"hello")
    with pytest.raises(TextUnreadable, match="damaged"):
        read(tmp_path / "c.epub").survey()


def test_an_epub_cannot_read_files_of_this_computer(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    members = epub_members()
    members["META-INF/container.xml"] = (
        f'<!DOCTYPE c [<!ENTITY x SYSTEM "file://{tmp_path}/secret.txt">]><c><rootfile full-path="&x;"/></c>'
    ).encode()
    with pytest.raises(TextUnreadable) as caught:
        read(write_zip(tmp_path / "a.epub", members)).survey()
    assert "secret" not in str(caught.value)


def test_pdf(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf_bytes("Once upon a time\nthere was a hen.", "The end."))
    assert only_text(tmp_path / "a.pdf") == "Once upon a time\nthere was a hen.\n\nThe end.\n"
    (tmp_path / "b.pdf").write_bytes(b"%PDF-1.4 nothing")
    with pytest.raises(TextUnreadable, match="no whole PDF"):
        read(tmp_path / "b.pdf").survey()


def test_a_scanned_pdf_says_that_there_is_no_text_in_it(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf_bytes(""))
    with pytest.raises(NotEnoughText, match="scanned"):
        read(tmp_path / "a.pdf").survey()


def test_zip_members_are_documents(tmp_path: Path) -> None:
    inner = write_zip(tmp_path / "inner.zip", {"x.txt": b"x"}).read_bytes()
    members = {
        "b.txt": b"bee\n", "a.txt": "é".encode("latin-1"), "c/d.jsonl": b'{"text": "dee"}', "e.png": b"\x89PNG\0",
        "../../evil.txt": b"evil", "__MACOSX/a.txt": b"no", "empty.txt": b"", "inner.zip": inner,
    }  # fmt: skip
    path = write_zip(tmp_path / "a.zip", members)
    found = texts(read(path))
    assert found == {
        f"{path}!../../evil.txt": "evil",
        f"{path}!a.txt": "é",
        f"{path}!b.txt": "bee\n",
        f"{path}!c/d.jsonl:1": "dee",
    }
    assert {file.name for file in tmp_path.iterdir()} == {"a.zip", "inner.zip"}
    notes = notes_of(path)
    assert "1 binary file skipped" in notes and "1 archive inside" in notes and "1 empty document" in notes


def test_tar_members_are_documents_and_links_in_it_lead_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (("b.txt", b"bee"), ("big.txt", b"x y " * 2_000_000)):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    found = texts(read(path))
    assert found[f"{path}!b.txt"] == "bee" and len(found[f"{path}!big.txt"]) == 8_000_000 and len(found) == 2


def test_archive_bombs_are_noticed(tmp_path: Path) -> None:
    zeros = b" " * 200_000_000
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(zeros, 9))
    write_zip(tmp_path / "a.zip", {"a.txt": zeros})
    for name in ("a.txt.gz", "a.zip"):
        with pytest.raises(TextUnreadable, match="archive bombs"):
            read(tmp_path / name).survey()


def test_a_locked_zip_says_so(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.txt": b"hello"})
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flag of the local header
    content[content.index(b"PK\x01\x02") + 8] |= 1  # and of the directory
    path.write_bytes(content)
    with pytest.raises(NotEnoughText) as caught:
        read(path).survey()
    assert "locked with a password" in str(caught.value)


@pytest.mark.parametrize(
    ("library", "name", "content"),
    [
        ("pyarrow", "a.parquet", b"PAR1"),
        ("lxml", "a.html", b"<p>x"),
        ("pypdfium2", "a.pdf", b"%PDF"),
    ],
)
def test_a_missing_library_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, name: str, content: bytes
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MissingExtra, match=r"homespun\[formats\]"):
        read(tmp_path / name).survey()


SUFFIXES = ".txt .jsonl .json .csv .tsv .parquet .html .epub .pdf .gz .bz2 .xz .zip .tar .tgz .tar.gz"


@pytest.mark.parametrize("suffix", SUFFIXES.split())
@pytest.mark.parametrize(
    "content", [b"", b"\0\1\2", b"plain words", bytes(range(256)) * 50, b"PK\3\4", b"[[", b"\xff"]
)
def test_no_bytes_under_any_name_give_anything_but_text_or_a_told_error(
    tmp_path: Path, suffix: str, content: bytes
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    try:
        survey = read(path).survey()
    except HomespunError as error:
        assert "a." in error.what and error.todo
    else:
        assert survey.characters > 0


def test_many_records_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": f"number {i % 500}"}) + "\n" for i in range(2_000)))
    survey = read(path).survey()
    assert (survey.documents, survey.duplicates) == (2_000, 1_500)
