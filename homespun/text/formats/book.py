"""Books: EPUB in the order of its spine, PDF page by page. A book is one document."""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from urllib.parse import unquote

from homespun.errors import MissingExtra, TextUnreadable
from homespun.text.blob import Blob, told
from homespun.text.document import Document, text_document, whole_characters
from homespun.text.formats import Request
from homespun.text.formats.page import readable
from homespun.text.notes import Tally

MAX_CHAPTER = 2**26  # bytes of one chapter, unpacked
MAX_BOOK = 2**29  # bytes of all chapters, unpacked; also of a PDF file

_CONTAINER = "META-INF/container.xml"
_LOCKS = "META-INF/encryption.xml"


def epub(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """The chapters in reading order, a blank line between them. Raises TextUnreadable, MissingExtra."""
    with told(blob.origin), blob.open() as file, zipfile.ZipFile(file) as archive:
        chapters, size = [], 0
        for path in _spine(archive, blob.origin):
            content = _member(archive, path, blob.origin)
            size += len(content)
            if size > MAX_BOOK:
                raise TextUnreadable(f"{blob.origin} has more than {MAX_BOOK:,} bytes of text.", "Split it.")
            chapters.append(readable(content.decode("utf-8-sig", "replace"), f"{blob.origin}: {path}"))
    yield text_document(blob.origin, "\n".join(chapter for chapter in chapters if chapter))


def _spine(archive: zipfile.ZipFile, origin: str) -> list[str]:
    """The paths of the chapters, in the order in which they are read."""
    rootfile = _parsed(archive, _CONTAINER, origin).find(".//{*}rootfile")
    package_path = rootfile.get("full-path") if rootfile is not None else None
    if not package_path:
        raise TextUnreadable(f"{origin} is no EPUB book: it does not say what is in it.", "Convert it to text.")
    package = _parsed(archive, package_path, origin)
    folder = posixpath.dirname(package_path)
    items = {item.get("id"): item for item in package.iterfind(".//{*}manifest/{*}item")}
    chapters = []
    for reference in package.iterfind(".//{*}spine/{*}itemref"):
        item = items.get(reference.get("idref"))
        if item is None or "nav" in (item.get("properties") or "").split():
            continue
        if "html" in (item.get("media-type") or ""):
            chapters.append(posixpath.normpath(posixpath.join(folder, unquote(item.get("href") or ""))))
    if _LOCKS in archive.namelist():
        locked = {node.get("URI") for node in _parsed(archive, _LOCKS, origin).iterfind(".//{*}CipherReference")}
        if locked & set(chapters):
            raise TextUnreadable(f"{origin} is locked (copy protection).", "Give a copy without a lock.")
    return chapters


def _parsed(archive: zipfile.ZipFile, path: str, origin: str):
    """An XML file of the book. Entities are left alone: they could name files of this computer."""
    try:
        from lxml import etree
    except ImportError as error:
        raise MissingExtra("Reading .epub files", "formats") from error
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        return etree.fromstring(_member(archive, path, origin), parser)
    except etree.XMLSyntaxError as error:
        raise TextUnreadable(f"{origin}: {path} is damaged: {error}.", "Get the book again.") from error


def _member(archive: zipfile.ZipFile, path: str, origin: str) -> bytes:
    try:
        with archive.open(path) as file:
            content = file.read(MAX_CHAPTER + 1)
    except (KeyError, RuntimeError, NotImplementedError) as error:  # not there; locked; packed in a strange way
        raise TextUnreadable(f"{origin} is no whole EPUB book: {path}: {error}", "Get the book again.") from error
    if len(content) > MAX_CHAPTER:
        raise TextUnreadable(f"{origin}: {path} unpacks to more than {MAX_CHAPTER:,} bytes.", "Is it a book?")
    return content


def pdf(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """The text of the pages in order. Raises TextUnreadable, MissingExtra."""
    try:
        import pypdfium2
    except ImportError as error:
        raise MissingExtra("Reading .pdf files", "formats") from error
    if blob.size > MAX_BOOK:
        raise TextUnreadable(f"{blob.origin} is {blob.size:,} bytes.", "Split it, or convert it to text.")
    try:
        book = pypdfium2.PdfDocument(blob.content())
    except pypdfium2.PdfiumError as error:
        locked = "password" in str(error).lower()
        why = "is locked with a password" if locked else f"is no whole PDF: {str(error).rstrip('.')}"
        raise TextUnreadable(f"{blob.origin} {why}.", "Save a copy of it that opens without trouble.") from error
    try:
        pages = [_page_text(page) for page in book]
    finally:
        book.close()
    text = "\n".join(page for page in pages if page.strip())
    if pages and not text:
        tally.say(f"{blob.origin}: its {len(pages):,} pages have no text in them (scanned pictures, most likely)")
    yield text_document(blob.origin, text)


def _page_text(page) -> str:
    layer = page.get_textpage()
    try:
        text = layer.get_text_bounded()
    finally:
        layer.close()
        page.close()
    text = re.sub("[\x02\ufffe]\r?\n?", "", text)  # a word divided at the end of a line
    return whole_characters(text).replace("\0", "").rstrip() + "\n"
