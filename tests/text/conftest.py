"""Small real files of every kind."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from homespun.text.corpus import Corpus
from homespun.text.sources import read

STORY = "Once upon a time there was a hen.\nShe lived in a small house.\n"


def texts(corpus: Corpus) -> dict[str, str]:
    return {document.origin: document.read() for document in corpus.documents()}


def only_text(*sources: str | Path, field: str | None = None) -> str:
    (text,) = texts(read(*sources, field=field)).values()
    return text


def notes_of(*sources: str | Path, field: str | None = None) -> str:
    corpus = read(*sources, field=field)
    corpus.survey()
    return "\n".join(corpus.notes)


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def pdf_bytes(*pages: str) -> bytes:
    """A PDF written by hand: a catalogue, a font, and one content stream a page."""
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for i, page in enumerate(pages):
        lines = "".join(f"({line}) Tj 0 -20 Td " for line in page.split("\n"))
        stream = f"BT /F1 12 Tf 50 700 Td {lines}ET".encode()
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents {5 + 2 * i} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n".encode() + stream + b"\nendstream")
    out = io.BytesIO()
    out.write(b"%PDF-1.4\n")
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(out.tell())
        out.write(f"{number} 0 obj\n".encode() + body + b"\nendobj\n")
    table = out.tell()
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
    out.write("".join(f"{place:010d} 00000 n \n" for place in places).encode())
    out.write(f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n".encode())
    return out.getvalue()


def epub_members(locked: bool = False) -> dict[str, bytes]:
    members = {
        "mimetype": b"application/epub+zip",
        "META-INF/container.xml": b"""<?xml version="1.0"?>
            <container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>
            <rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/>
            </rootfiles></container>""",
        "OEBPS/book.opf": b"""<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf"><manifest>
            <item id="a" href="a.xhtml" media-type="application/xhtml+xml"/>
            <item id="b" href="the%20end.xhtml" media-type="application/xhtml+xml"/>
            <item id="n" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
            </manifest><spine><itemref idref="n"/><itemref idref="b"/><itemref idref="a"/></spine></package>""",
        "OEBPS/a.xhtml": "<?xml version='1.0'?><html><body><p>Zweites — é</p></body></html>".encode(),
        "OEBPS/the end.xhtml": b"<html><body><h1>First</h1><p>One\n line.</p></body></html>",
        "OEBPS/nav.xhtml": b"<html><body><p>Contents</p></body></html>",
    }
    if locked:
        members["META-INF/encryption.xml"] = b"""<encryption xmlns="urn:x"><EncryptedData><CipherData>
            <CipherReference URI="OEBPS/a.xhtml"/></CipherData></EncryptedData></encryption>"""
    return members


@contextmanager
def at_most(megabytes: int) -> Iterator[None]:
    """Python's own memory; what libraries in C take does not show here."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < megabytes * 2**20
    finally:
        tracemalloc.stop()


@pytest.fixture
def story(tmp_path: Path) -> Path:
    path = tmp_path / "story.txt"
    path.write_text(STORY)
    return path
