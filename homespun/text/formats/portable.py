"""PDF, page by page, read by a process of its own.

The library that reads them is not ours, knows no limits, and a page of a few
hundred bytes can unpack to gigabytes. The other process has limits on memory and on the
processor's work, and when it dies of them, that is one book less and no more.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator

from homespun.errors import MissingExtra, TextUnreadable
from homespun.text.blob import Blob
from homespun.text.document import Document, text_document, whole_characters
from homespun.text.formats import Request
from homespun.text.notes import Tally

MAX_PDF = 2**28  # bytes of the file: most of it are pictures
MAX_TEXT = 2**27  # characters of all pages
MAX_MEMORY = 2**31  # bytes that the other process may have, on systems that can hold it to that
MAX_WORK = 600  # seconds of the processor, on such systems: a book takes some
MAX_SECONDS = 7200  # for a computer that has too much else to do


def pdf(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """The text of the pages in order. Raises TextUnreadable, MissingExtra."""
    try:
        import pypdfium2  # noqa: F401
    except ImportError as error:
        raise MissingExtra("Reading .pdf files", "formats") from error
    content = blob.whole(MAX_PDF, "a PDF", "Split it, or convert it to text.")
    answer = _asked_elsewhere(content, blob.origin)
    if answer["trouble"]:
        raise TextUnreadable(
            f"{blob.origin} {answer['trouble']}.", "Save a copy of it that opens without trouble."
        )
    pages, bad = answer["pages"], answer["bad"]
    text = "\n".join(page for page in pages if page.strip())
    if bad:
        tally.say(f"{blob.origin}: {bad:,} of its {bad + len(pages):,} pages are damaged and left out")
    if pages and not text:
        tally.say(f"{blob.origin}: its {len(pages):,} pages have no text in them (scanned pictures, most likely)")
    yield text_document(blob.origin, text)


def _asked_elsewhere(content: bytes, origin: str) -> dict:
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__],
            input=content,
            capture_output=True,
            timeout=MAX_SECONDS,
            check=True,
        )
        return json.loads(done.stdout)
    except subprocess.TimeoutExpired as error:
        raise TextUnreadable(
            f"{origin} was not read within {MAX_SECONDS / 3600:.0f} hours.",
            "Try again when this computer has less to do, or convert it to text.",
        ) from error
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        raise TextUnreadable(
            f"{origin} cannot be read: it takes more memory or work than a book does.",
            "Convert it to text, or save a copy of it with another program.",
        ) from error


def read_pages(content: bytes) -> dict:
    """What the other process answers: texts of the `pages`, how many are `bad`, and what `trouble` there is."""
    import pypdfium2

    pages: list[str] = []
    length = bad = 0
    try:
        book = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        locked = "password" in str(error).lower()
        why = "is locked with a password" if locked else f"is no whole PDF: {str(error).rstrip('.')}"
        return {"pages": [], "bad": 0, "trouble": why}
    for number in range(len(book)):
        try:
            pages.append(_page_text(book[number]))
        except pypdfium2.PdfiumError:
            bad += 1
            continue
        length += len(pages[-1])
        if length > MAX_TEXT:
            return {"pages": [], "bad": 0, "trouble": f"has more than {MAX_TEXT:,} characters of text"}
    why = "is no whole PDF: none of its pages opens" if bad and not pages else ""
    return {"pages": pages, "bad": bad, "trouble": why}


def _page_text(page) -> str:
    layer = page.get_textpage()
    try:
        text = layer.get_text_bounded()
    finally:
        layer.close()
        page.close()
    text = re.sub("[\x02\ufffe]\r?\n?", "", text)  # a word divided at the end of a line
    return whole_characters(text).replace("\0", "").rstrip() + "\n"


def _limit_this_process() -> None:
    try:
        import resource
    except ImportError:
        return  # Windows has none of this; there the time alone is limited
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_WORK, MAX_WORK))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    _limit_this_process()
    sys.stdout.write(json.dumps(read_pages(sys.stdin.buffer.read())))
