"""Web pages (.html): what a reader reads of them, a blank line between paragraphs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from homespun.errors import MissingExtra, TextUnreadable
from homespun.text.blob import Blob
from homespun.text.decode import detect, remarks_on
from homespun.text.document import Document, text_document
from homespun.text.formats import Request
from homespun.text.notes import Tally

MAX_PAGE = 2**24  # bytes; a page has to be in memory as a whole, as a tree of up to 80 times its size
MAX_ELEMENTS = 10**6  # of a page; a long novel has some ten thousand

_NOT_READ = {
    "script", "style", "noscript", "template", "head", "nav", "header", "footer", "aside", "form", "button",
    "select", "option", "input", "textarea", "iframe", "object", "embed", "svg", "math", "canvas", "audio",
    "video", "dialog", "menu",
}  # fmt: skip
_PARAGRAPHS = {
    "p", "div", "section", "article", "main", "body", "blockquote", "pre", "h1", "h2", "h3", "h4", "h5", "h6",
    "ul", "ol", "dl", "table", "figure", "figcaption", "address", "hr", "details", "summary", "center",
}  # fmt: skip
_LINES = {"br", "li", "tr", "dt", "dd", "caption"}
_CELLS = {"td", "th"}
_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


def html(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """The page as one document, without its scripts, menus and frames. Raises TextUnreadable, MissingExtra."""
    content = blob.content(MAX_PAGE)
    if len(content) > MAX_PAGE:
        raise TextUnreadable(
            f"{blob.origin} is a page of more than {MAX_PAGE:,} bytes.", "Split it, or save it as plain text."
        )
    codec, name = _encoding(blob, content, tally)
    yield text_document(blob.origin, readable(content.decode(codec, "replace"), blob.origin), name)


def _encoding(blob: Blob, content: bytes, tally: Tally) -> tuple[str, str]:
    """(codec, name): what the bytes are for sure, else what the page says, else what they look like."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        pass  # then the page's own word counts
    else:
        return ("utf-8-sig", "utf-8-sig") if content.startswith(b"\xef\xbb\xbf") else ("utf-8", "utf-8")
    said = _CHARSET.search(content[:4096])
    if said and b"\0" not in content[:4096]:
        try:
            name = said.group(1).decode().lower()
            content.decode(name)
        except (LookupError, UnicodeDecodeError):
            pass  # the page is wrong about itself
        else:
            return name, name
    found = detect(blob)
    tally.heed_all(remarks_on(found, blob.origin), blob.origin)
    return found.codec, found.name


def readable(markup: str, origin: str = "The page") -> str:
    """The text of a page. Raises TextUnreadable, MissingExtra.

    >>> readable("<html><nav>Home</nav><p>One <b>two</b>\\n three.</p><p>Four<br>five</p></html>")
    'One two three.\\n\\nFour\\nfive\\n'
    """
    try:
        from lxml import etree
        from lxml import html as pages
    except ImportError as error:
        raise MissingExtra("Reading .html and .epub files", "formats") from error
    parser = pages.HTMLParser(huge_tree=True, remove_comments=True)
    try:
        root = pages.document_fromstring(_DECLARATION.sub("", markup), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError):
        return ""  # a page without a single element
    given_up = [entry.message for entry in parser.error_log if entry.level == etree.ErrorLevels.FATAL]
    if given_up:
        raise TextUnreadable(f"{origin} cannot be read as a page: {given_up[0]}.", "Save it as plain text.")
    if (elements := sum(1 for _ in islice(root.iter(), MAX_ELEMENTS + 1))) > MAX_ELEMENTS:
        raise TextUnreadable(
            f"{origin} has more than {elements - 1:,} elements.", "Split it, or save it as plain text."
        )
    return _tidy("".join(_parts(root, etree)))


def _parts(root, etree) -> Iterator[str]:
    """The text in order, with "\\x1e" where a paragraph, "\\x1f" where a line ends; neither can be in a page."""
    hidden = preformatted = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        tag = element.tag if isinstance(element.tag, str) else ""
        step = 1 if event == "start" else -1
        hidden += step * (tag in _NOT_READ or not tag)
        preformatted += step * (tag == "pre")
        if not hidden:
            yield "\x1e" if tag in _PARAGRAPHS else "\x1f" if tag in _LINES and step < 0 else ""
            yield " " if tag in _CELLS and step < 0 else ""
            text = element.text if step > 0 else None
            yield _spaced(text, preformatted)
        if step < 0 and not hidden:
            yield _spaced(element.tail, preformatted)


def _spaced(text: str | None, preformatted: int) -> str:
    if not text:
        return ""
    text = text.replace("\x1e", " ").replace("\x1f", " ")
    return text.replace("\n", "\x1f") if preformatted else re.sub(r"[ \t\r\n\f]+", " ", text)


def _tidy(marked: str) -> str:
    paragraphs = []
    for paragraph in marked.split("\x1e"):
        lines = [
            re.sub(r"\A +| +\Z", "", line) if "  " not in line else line.rstrip()
            for line in paragraph.split("\x1f")
        ]
        text = "\n".join(lines).strip("\n")
        if text.strip():
            paragraphs.append(text)
    return "\n\n".join(paragraphs) + "\n" if paragraphs else ""
