"""Documents that are XML: Word's .docx, OpenDocument's .odt and .fodt, and books in .fb2."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from homespun.errors import MissingExtra, TextUnreadable
from homespun.text.blob import Blob, explained_errors
from homespun.text.chats import pages
from homespun.text.decode import decoded
from homespun.text.document import Document, text_document
from homespun.text.formats import Request
from homespun.text.formats.chat import chat_documents
from homespun.text.notes import Tally

MAX_XML = 2**26  # bytes, unpacked; a novel has some 2**22
MAX_ELEMENTS = 5 * 10**6

_WORD_BREAKS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "\u2011", "ptab": "\t"}
# Deleted text, what fields are computed from, the older copy of a text box.
_WORD_HIDDEN = {"del", "moveFrom", "instrText", "delText", "Fallback"}
_ODF_HIDDEN = {"annotation", "annotation-end", "tracked-changes", "sequence-decls", "forms", "note-citation",
               "frame-title", "binary-data", "object", "object-ole", "table-of-content-source", "desc",
               "title"}  # fmt: skip
_FB2_HIDDEN = {"binary", "description", "stylesheet", "image", "table-of-content"}
_FB2_LINES = {"p", "v", "subtitle", "text-author", "date", "empty-line", "td", "th"}
_FB2_PARAGRAPHS = {"title", "section", "epigraph", "poem", "stanza", "cite", "annotation", "table"}


def docx(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """The paragraphs of a Word document, a line each; its notes at the end. Raises TextUnreadable,
    MissingExtra."""
    parts = ["word/document.xml", "word/footnotes.xml", "word/endnotes.xml"]
    texts = []
    for number, root in enumerate(_members(blob, parts, "a Word document")):
        if root is not None:
            lines = _paragraphs(root, "p", _word_text, _WORD_HIDDEN)
            texts.append("\n".join(lines if number == 0 else [line for line in lines if line.strip()]))
    yield text_document(blob.origin, "\n\n".join(text for text in texts if text.strip()).strip("\n") + "\n")


def odt(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """The paragraphs of an OpenDocument text, a line each. Raises TextUnreadable, MissingExtra."""
    if blob.suffix == ".fodt":
        root = _parsed(blob.content(MAX_XML + 1), blob.origin)
    else:
        [root] = _members(blob, ["content.xml"], "an OpenDocument text")
    body = _first(root, "body")
    lines = _paragraphs(body if body is not None else root, ("p", "h"), _odf_text, _ODF_HIDDEN)
    yield text_document(blob.origin, "\n".join(lines).strip("\n") + "\n")


def fb2(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """A book in FictionBook's format as one document. Raises TextUnreadable, MissingExtra."""
    root = _parsed(blob.content(MAX_XML + 1), blob.origin)
    text = "".join(_fb2_parts(root))
    paragraphs = [part.strip("\n") for part in text.split("\x1e")]
    yield text_document(blob.origin, "\n\n".join(part for part in paragraphs if part.strip()) + "\n")


def xml(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """A book in FictionBook's format, or the messages of a phone; any other XML as it stands, which is said."""
    head = blob.head(4096)
    if b"<FictionBook" in head:
        yield from fb2(blob, request, tally)
        return
    if b"<smses" in head:
        chat = pages.phone(_parsed(blob.content(MAX_XML + 1), blob.origin))
        if chat is not None and chat.messages:
            yield from chat_documents([chat], blob.origin, "utf-8", tally)
            return
    tally.say_of("XML files", blob.origin, " is read as it stands, as XML: with its tags")
    yield decoded(blob, named=request.encoding)


def _members(blob: Blob, names: list[str], what: str) -> list[Any]:
    """The parts of a packed document, parsed; None for one that is not there. The first has to be."""
    with explained_errors(blob.origin), blob.open() as file, zipfile.ZipFile(file) as archive:
        there = set(archive.namelist())
        if names[0] not in there:
            locked = "EncryptedPackage" in there or "encryption" in " ".join(there)
            why = "it is locked with a password" if locked else f"{names[0]} is not in it"
            raise TextUnreadable(f"{blob.origin} is not {what}: {why}.", "Save it as plain text.")
        found: list[Any] = []
        for name in names:
            if name not in there:
                found.append(None)
                continue
            try:
                with archive.open(name) as part:
                    found.append(_parsed(part.read(MAX_XML + 1), blob.origin))
            except (RuntimeError, NotImplementedError) as error:  # locked, or packed in a strange way
                raise TextUnreadable(
                    f"{blob.origin} cannot be unpacked: {error}.", "Save it as plain text."
                ) from error
    return found


def _parsed(content: bytes, origin: str) -> Any:
    """The root of an XML document. Entities are left alone: they could name files of this computer."""
    try:
        from lxml import etree
    except ImportError as error:
        raise MissingExtra("Reading .docx, .odt and .fb2 files", "formats") from error
    if len(content) > MAX_XML:
        raise TextUnreadable(f"{origin} unpacks to more than {MAX_XML:,} bytes.", "Save it as plain text.")
    settings = {"resolve_entities": False, "no_network": True, "load_dtd": False, "remove_comments": True}
    try:
        root = etree.fromstring(content, etree.XMLParser(huge_tree=True, **settings))
    except (etree.XMLSyntaxError, ValueError):
        try:  # a stray & or an unclosed tag, as books from the web have them
            root = etree.fromstring(content, etree.XMLParser(recover=True, huge_tree=True, **settings))
        except (etree.XMLSyntaxError, ValueError):
            root = None
    if root is None:
        raise TextUnreadable(
            f"{origin} is damaged: it is no whole XML.", "Get it again, or save it as plain text."
        )
    return root


def _name(element: Any) -> str:
    """The name of an element without its namespace; "" for comments and the like."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _first(root: Any, name: str) -> Any:
    return next((element for element in root.iter() if _name(element) == name), None)


def _paragraphs(
    root: Any, names: str | tuple[str, ...], text_of: Callable[[Any, str, bool], str], hidden: set[str]
) -> list[str]:
    """The paragraphs below an element. One within another, as in a text box or a note, comes after it."""
    from lxml import etree

    wanted = (names,) if isinstance(names, str) else names
    done: list[str] = []
    open_ones: list[list[str]] = []
    inner: list[list[str]] = []  # finished paragraphs within the open ones
    skipping = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        name = _name(element)
        step = 1 if event == "start" else -1
        is_hidden = name in hidden or not name
        if step > 0:
            skipping += is_hidden
            if not skipping and name in wanted:
                open_ones.append([])
                inner.append([])
        if open_ones and not skipping:
            open_ones[-1].append(text_of(element, name, step > 0))
        if step < 0:
            skipping -= is_hidden
            if not skipping and name in wanted and open_ones:
                text, below = "".join(open_ones.pop()), inner.pop()
                (inner[-1] if inner else done).extend([text, *below])
            # What follows a hidden element belongs to the paragraph around it.
            if open_ones and not skipping and text_of is _odf_text:
                open_ones[-1].append(_collapsed(element.tail))
    return done


def _word_text(element: Any, name: str, starts: bool) -> str:
    if not starts:
        return "\t" if name == "tc" else ""
    if name == "t":
        return element.text or ""
    return _WORD_BREAKS.get(name, "")


def _odf_text(element: Any, name: str, starts: bool) -> str:
    if not starts:
        return ""
    if name == "s":
        count = next((value for key, value in element.attrib.items() if key.endswith("}c")), "1")
        return " " * min(int(count) if count.isdigit() else 1, 1000)
    extra = {"tab": "\t", "line-break": "\n"}.get(name, "")
    return extra + _collapsed(element.text)


def _collapsed(text: str | None) -> str:
    """White space as OpenDocument means it: line ends and rows of spaces are one space."""
    if not text or (text.isspace() and "\n" in text):  # between elements
        return ""
    words = " ".join(text.split())
    return f"{' ' if text[0].isspace() else ''}{words}{' ' if text[-1].isspace() and words else ''}"


def _fb2_parts(root: Any) -> Iterator[str]:
    """The text with "\\x1e" where a paragraph ends and "\\n" where a line of one does."""
    from lxml import etree

    skipping = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        name = _name(element)
        starts = event == "start"
        is_hidden = name in _FB2_HIDDEN or not name or (name == "a" and element.get("type") == "note")
        skipping += is_hidden if starts else 0
        if not skipping:
            if starts:
                yield "\x1e" if name in _FB2_PARAGRAPHS or (name == "p" and _is_prose(element)) else ""
                yield (
                    " ".join((element.text or "").split("\n"))
                    if element.text and element.text.strip()
                    else _space(element.text)
                )
            elif name in _FB2_LINES:
                yield "\x1e" if name == "p" and _is_prose(element) else "\n"
            elif name in _FB2_PARAGRAPHS:
                yield "\x1e"
        skipping -= 0 if starts else is_hidden
        if not starts and not skipping and _is_inline(element.getparent()):
            yield " ".join((element.tail or "").split("\n"))


def _is_prose(element: Any) -> bool:
    """Whether a <p> is a paragraph, and not a line of a title."""
    parent = element.getparent()
    return parent is None or _name(parent) != "title"


def _is_inline(element: Any) -> bool:
    return element is not None and _name(element) not in {*_FB2_PARAGRAPHS, "body", "FictionBook"}


def _space(text: str | None) -> str:
    return " " if text and "\n" not in text else ""
