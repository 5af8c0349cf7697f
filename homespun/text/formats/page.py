"""Web pages (.html): what a reader reads of them, a blank line between paragraphs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from homespun.errors import MissingExtra, TextUnreadable
from homespun.text.blob import Blob
from homespun.text.chats import pages
from homespun.text.decode import detect, remarks_on
from homespun.text.document import Document, text_document
from homespun.text.formats import Request
from homespun.text.formats.chat import chat_documents
from homespun.text.notes import Tally

MAX_PAGE = 2**24  # bytes; a page has to be in memory as a whole, as a tree of up to 80 times its size
MAX_ELEMENTS = 10**6  # of a page; a long novel has some ten thousand

_NOT_READ = {
    "script", "style", "noscript", "template", "head", "nav", "button", "select", "option", "input", "textarea",
    "label", "datalist", "iframe", "object", "embed", "svg", "math", "canvas", "audio", "video", "dialog", "menu",
    "rt", "rp", "rtc",  # how the characters before are pronounced
}  # fmt: skip
# Of a site where they stand by themselves; of the text where they stand in an article, a section or a book.
_AROUND = {"header", "footer", "aside"}
_TEXT_PARTS = {"article", "main", "section"}
_OF_A_SITE = re.compile(
    r"(?:^|[\s_-])(?:share|sharing|social|related|comments?|promo|ads?|advert\w*|sidebar|menu|newsletter|cookie\w*)(?:$|[\s_-])",
    re.IGNORECASE,
)
_MARKS = {"noteref", "doc-noteref", "pagebreak", "doc-pagebreak"}  # of notes and of pages, in books
_QUOTE = re.compile(r"gmail_(?:quote|attr)|moz-cite-prefix|yahoo_quoted|divRplyFwdMsg|protonmail_quote|mail-quote")
_INVISIBLE = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_PARAGRAPHS = {
    "p", "div", "section", "article", "main", "body", "blockquote", "pre", "h1", "h2", "h3", "h4", "h5", "h6",
    "ul", "ol", "dl", "table", "figure", "figcaption", "address", "hr", "details", "summary", "center", "header",
    "footer", "aside", "form", "fieldset", "hgroup",
}  # fmt: skip
_LINES = {"br", "li", "tr", "dt", "dd", "caption"}
_CELLS = {"td", "th"}
_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


def html(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """The page as one document, without its scripts, menus and frames. Raises TextUnreadable, MissingExtra."""
    content = blob.whole(MAX_PAGE, "a page", "Split it, or save it as plain text.")
    codec, name = _encoding(blob, content, request, tally)
    markup = content.decode(codec, "replace")
    if (read := pages.reader_for(content[: pages.HEAD])) is not None:
        chat = read(_parsed(markup, blob.origin)[0])
        if chat.messages:
            yield from chat_documents([chat], blob.origin, name, tally)
            return
    yield text_document(blob.origin, readable(markup, blob.origin), name)


def _encoding(blob: Blob, content: bytes, request: Request, tally: Tally) -> tuple[str, str]:
    """(codec, name): what the bytes are for sure, else what the user or the page says, else what they look
    like."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        pass  # then the page's own word counts
    else:
        return ("utf-8-sig", "utf-8-sig") if content.startswith(b"\xef\xbb\xbf") else ("utf-8", "utf-8")
    said = _CHARSET.search(content[:4096]) if request.encoding is None else None
    if said and b"\0" not in content[:4096]:
        try:
            name = said.group(1).decode().lower()
            content.decode(name)
        except (LookupError, UnicodeDecodeError):
            pass  # the page is wrong about itself
        else:
            return name, name
    found = detect(blob, request.encoding)
    tally.heed_all(remarks_on(found, blob.origin), blob.origin)
    return found.codec, found.name


def readable(markup: str, origin: str = "The page", *, kind: str = "page") -> str:
    """The text of a page; kind: "page", "book" (a chapter of one) or "mail". Raises TextUnreadable, MissingExtra.

    >>> readable("<html><nav>Home</nav><p>One <b>two</b>\\n three.</p><p>Four<br>five</p></html>")
    'One two three.\\n\\nFour\\nfive\\n'
    """
    root, etree = _parsed(markup, origin)
    return "" if root is None else _tidy("".join(_parts(root, etree, kind)))


def _parsed(markup: str, origin: str):
    """The root of a page, None for one without a single element; and the library."""
    try:
        from lxml import etree
        from lxml import html as library
    except ImportError as error:
        raise MissingExtra("Reading .html and .epub files", "formats") from error
    parser = library.HTMLParser(huge_tree=True, remove_comments=True)
    try:
        root = library.document_fromstring(_DECLARATION.sub("", markup), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError):
        return None, etree
    given_up = [entry.message for entry in parser.error_log if entry.level == etree.ErrorLevels.FATAL]
    if given_up:
        raise TextUnreadable(f"{origin} cannot be read as a page: {given_up[0]}.", "Save it as plain text.")
    if (elements := sum(1 for _ in islice(root.iter(), MAX_ELEMENTS + 1))) > MAX_ELEMENTS:
        raise TextUnreadable(
            f"{origin} has more than {elements - 1:,} elements.", "Split it, or save it as plain text."
        )
    return root, etree


def _is_left_out(element, tag: str, in_text: bool, kind: str) -> bool:
    """Whether a reader does not read this element. in_text: it stands in an article or a section."""
    if tag in _NOT_READ or not tag:
        return True
    given = element.attrib
    if "hidden" in given or _INVISIBLE.search(given.get("style", "")):
        return True
    if kind == "mail":
        quote = given.get("type") == "cite" or _QUOTE.search(f"{given.get('class', '')} {given.get('id', '')}")
        return bool(quote)
    if kind == "book":
        kinds = f"{given.get('epub:type', '')} {given.get('role', '')}".split()
        return not _MARKS.isdisjoint(kinds)
    if tag not in _AROUND:
        return False
    return not in_text or bool(_OF_A_SITE.search(f"{given.get('class', '')} {given.get('id', '')}"))


def _parts(root, etree, kind: str) -> Iterator[str]:
    """The text in order, with "\\x1e" where a paragraph, "\\x1f" where a line ends; neither can be in a page."""
    hidden = preformatted = in_text = 0
    left_out: list[bool] = []  # of the elements that are open
    for event, element in etree.iterwalk(root, events=("start", "end")):
        tag = element.tag if isinstance(element.tag, str) else ""
        step = 1 if event == "start" else -1
        if step > 0:
            left_out.append(_is_left_out(element, tag, in_text > 0, kind))
            hidden += left_out[-1]
        else:
            hidden -= left_out.pop()
        in_text += step * (tag in _TEXT_PARTS)
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
