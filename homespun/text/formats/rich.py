"""Rich text (.rtf), as word processors have written it since the eighties."""

from __future__ import annotations

import re
from collections.abc import Iterator

from homespun.errors import MissingExtra, TextUnreadable
from homespun.text.blob import Blob
from homespun.text.decode import decoded
from homespun.text.document import Document, text_document
from homespun.text.formats import Request
from homespun.text.notes import Tally

MAX_RTF = 2**27  # bytes: pictures are in it as hexadecimal digits
_CODE_PAGE = re.compile(rb"\\ansicpg(\d{1,5})")
_PICTURE = re.compile(rb"[0-9a-fA-F\r\n]{2000,}")  # digits of a picture; no text has so many without a space
_NOTE = re.compile(rb"\{\\(?:\*\\)?footnote\b")


def rtf(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """The text of the document. Raises TextUnreadable, MissingExtra."""
    try:
        from striprtf.striprtf import rtf_to_text
    except ImportError as error:
        raise MissingExtra("Reading .rtf files", "formats") from error
    content = blob.whole(MAX_RTF, "rich text", "Save it as plain text.")
    if not content.lstrip(b"\xef\xbb\xbf \r\n").startswith(b"{\\rtf"):
        yield decoded(blob, named=request.encoding)  # plain text of that name
        return
    notes = len(_NOTE.findall(content))
    if notes:
        tally.say(f"{blob.origin}: {notes:,} footnote{'s are' if notes > 1 else ' is'} left out")
    markup = _PICTURE.sub(b"", content).decode(_code_page(content), "replace")
    try:
        text = rtf_to_text(markup, encoding=_code_page(content), errors="replace")
    except (ValueError, IndexError, KeyError, LookupError, OverflowError, RecursionError) as error:
        raise TextUnreadable(
            f"{blob.origin} is damaged: it is no whole rich text.",
            "Open it in a word processor and save it as plain text.",
        ) from error
    yield text_document(blob.origin, text.replace("\x0c", "\n"))


def _code_page(content: bytes) -> str:
    """The encoding of the bytes in it that are no ASCII."""
    found = _CODE_PAGE.search(content[:4096])
    name = f"cp{int(found[1])}" if found else "cp1252"
    try:
        "".encode(name)
    except LookupError:
        return "utf-8" if name == "cp65001" else "cp1252"
    return name
