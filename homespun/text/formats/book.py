"""Books (.epub), in the order of their spine. A book is one document."""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from urllib.parse import unquote

from homespun.errors import MissingExtra, TextUnreadable
from homespun.text.blob import Blob, explained_errors
from homespun.text.document import Document, text_document
from homespun.text.formats import Request
from homespun.text.formats.page import MAX_PAGE, readable
from homespun.text.notes import Tally

MAX_CHAPTER = MAX_PAGE  # bytes of one chapter, unpacked
MAX_CONTENTS = 2**22  # bytes of the list of chapters
MAX_BOOK = 2**27  # bytes of all chapters, unpacked

_ENCODING = re.compile(rb"""<\?xml[^>]{0,120}encoding\s*=\s*["']([\w.:-]{1,40})""")
_CONTAINER = "META-INF/container.xml"
_LOCKS = "META-INF/encryption.xml"


def epub(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """The chapters in reading order, a blank line between them. Raises TextUnreadable, MissingExtra."""
    with explained_errors(blob.origin), blob.open() as file, zipfile.ZipFile(file) as archive:
        chapters, size, damaged = [], 0, 0
        for path in _spine(archive, blob.origin):
            content = _member(archive, path, blob.origin)
            size += len(content)
            if size > MAX_BOOK:
                raise TextUnreadable(
                    f"{blob.origin} has more than {MAX_BOOK:,} bytes of text.",
                    "Split it, or save it as plain text.",
                )
            text, whole = _decoded(content)
            damaged += not whole
            chapters.append(readable(text, f"{blob.origin}: {path}", kind="book"))
    if damaged:
        tally.say(
            f"{blob.origin}: {damaged:,} of its {len(chapters):,} chapters have damaged places, read as \ufffd"
        )
    yield text_document(blob.origin, "\n".join(chapter for chapter in chapters if chapter))


def _decoded(content: bytes) -> tuple[str, bool]:
    """A chapter in UTF-8 or in the encoding that it names, and whether all of it could be decoded."""
    named = _ENCODING.search(content[:200])
    wide = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else None
    for name in (wide, "utf-8-sig", named.group(1).decode("ascii", "replace") if named else None):
        try:
            if name:
                return content.decode(name), True
        except (LookupError, UnicodeDecodeError):
            continue
    return content.decode("utf-8-sig", "replace"), False


def _spine(archive: zipfile.ZipFile, origin: str) -> list[str]:
    """The paths of the chapters, in the order in which they are read."""
    rootfile = _parsed(archive, _CONTAINER, origin).find(".//{*}rootfile")
    package_path = rootfile.get("full-path") if rootfile is not None else None
    if not package_path:
        raise TextUnreadable(f"{origin} is no EPUB book: it does not say what is in it.", "Convert it to text.")
    package = _parsed(archive, package_path, origin)
    folder = posixpath.dirname(package_path)
    items = {item.get("id"): item for item in package.iterfind(".//{*}manifest/{*}item")}
    chapters: dict[str, None] = {}  # each once, whatever the book says
    for reference in package.iterfind(".//{*}spine/{*}itemref"):
        item = items.get(reference.get("idref"))
        if item is None or "nav" in (item.get("properties") or "").split():
            continue
        if "html" in (item.get("media-type") or ""):
            chapters[posixpath.normpath(posixpath.join(folder, unquote(item.get("href") or "")))] = None
    if _LOCKS in archive.namelist():
        locked = {node.get("URI") for node in _parsed(archive, _LOCKS, origin).iterfind(".//{*}CipherReference")}
        if locked & chapters.keys():
            raise TextUnreadable(f"{origin} is locked (copy protection).", "Give a copy without a lock.")
    return list(chapters)


def _parsed(archive: zipfile.ZipFile, path: str, origin: str):
    """An XML file of the book. Entities are left alone: they could name files of this computer."""
    try:
        from lxml import etree
    except ImportError as error:
        raise MissingExtra("Reading .epub files", "formats") from error
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        return etree.fromstring(_member(archive, path, origin, MAX_CONTENTS), parser)
    except etree.XMLSyntaxError as error:
        raise TextUnreadable(f"{origin}: {path} is damaged: {error}.", "Get the book again.") from error


def _member(archive: zipfile.ZipFile, path: str, origin: str, most: int = MAX_CHAPTER) -> bytes:
    try:
        with archive.open(path) as file:
            content = file.read(most + 1)
    except (KeyError, RuntimeError, NotImplementedError) as error:  # not there; locked; packed in a strange way
        raise TextUnreadable(f"{origin} is no whole EPUB book: {path}: {error}", "Get the book again.") from error
    if len(content) > most:
        raise TextUnreadable(f"{origin}: {path} unpacks to more than {most:,} bytes.", "Save it as plain text.")
    return content
