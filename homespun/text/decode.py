"""Bytes to characters: which encoding a text is in, and its text in that encoding.

Most texts are UTF-8, and a strict pass over all of it proves that. Everything
else is decided in a fixed order, so that the same bytes always give the same
text: byte order mark, UTF-16 without one, damaged UTF-8, then the older 8-bit
and Asian encodings. Those are a guess, and the user may name one: of a file that
is no UTF-8, that one is then believed.
"""

from __future__ import annotations

import codecs
import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace

from homespun.errors import TextUnreadable
from homespun.text.blob import SMALL, Blob, explained_errors
from homespun.text.document import Document, text_document
from homespun.text.notes import GUESSED
from homespun.text.older import MULTIBYTE, older_encoding

_MARKS = (  # UTF-32's begins like UTF-16's, so it comes first
    (codecs.BOM_UTF32_LE, "utf-32-le", "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32-be", "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig", "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "utf-16"),
)
_HEAD = 2**16  # bytes that show what kind of file it is
_SAMPLE = 2**16  # bytes on which an older encoding is recognised
_CHANCE = 20  # characters that texts in Asian encodings may have by chance where they look like UTF-8
_FAR_APART = 1000  # bytes of text to a stretch of NUL bytes, where these are accidents
_NULS = re.compile(rb"\0+")
_UTF8 = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe1-\xef][\x80-\xbf]{2}|\xe0[\xa0-\xbf][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{3}"
)

_MAGIC = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive (or a Word, OpenDocument or PyTorch file)",
    b"\x1f\x8b": "gzip-compressed",
    b"BZh": "bzip2-compressed",
    b"\xfd7zXZ": "xz-compressed",
    b"\x28\xb5\x2f\xfd": "zstd-compressed",
    b"\x7fELF": "a program",
    b"MZ": "a Windows program",
    b"SQLite format 3": "an SQLite database",
    b"PAR1": "a Parquet table",
    b"GGUF": "a GGUF model",
    b"\xd0\xcf\x11\xe0": "an old Microsoft Office file",
    b"ID3": "an MP3 recording",
    b"OggS": "an Ogg recording",
    b"RIFF": "a sound or video recording",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"ARROW1": "an Arrow table",
    b"\x93NUMPY": "a NumPy array",
}
_WAYS_OUT = {
    b"%PDF": "Give it the suffix .pdf.",
    b"PK\x03\x04": "If it is an archive, give it the suffix .zip; if it is a document, save it as plain text.",
    b"\x1f\x8b": "Give it the suffix .gz.",
    b"\x28\xb5\x2f\xfd": "Give it the suffix .zst.",
    b"7z\xbc\xaf\x27\x1c": "Unpack it (7z x FILE), and give the folder.",
    b"Rar!": "Unpack it (unrar x FILE), and give the folder.",
    b"ARROW1": "Give it the suffix .arrow.",
    b"PAR1": "Give it the suffix .parquet.",
    b"\xd0\xcf\x11\xe0": "Save it as plain text first.",
}


class NotText(TextUnreadable):
    """Bytes that are no text in any encoding. In a folder they are passed over."""


@dataclass(frozen=True)
class Encoding:
    """`name` is for people, `codec` for Python; `damaged` places could not be decoded, the first at `first`.

    `guessed`: it was neither proved nor named. `nuls`: how many NUL bytes are left out. `remark`: a line for
    people.
    """

    name: str
    codec: str
    damaged: int = 0
    first: int = 0
    mixed: bool = False  # much of it looks like UTF-8 all the same
    guessed: bool = False
    nuls: int = 0
    remark: str = ""

    @property
    def errors(self) -> str:
        """What a decoder does about bytes that do not belong there."""
        return "replace" if self.damaged else "strict"


def decoded(blob: Blob, header: str = "", named: str | None = None) -> Document:
    """The text of these bytes as a document, after a `header` line; `named` is the encoding that the user named.

    Raises NotText where it is none.
    """
    blob = blob.kept()
    return decoded_as(detect(blob, named), blob, header)


def decoded_as(encoding: Encoding, blob: Blob, header: str = "") -> Document:
    """The text of these bytes, whose encoding is known."""
    if 0 <= blob.size <= SMALL:
        with explained_errors(blob.origin):
            text = blob.content().decode(encoding.codec, encoding.errors)
        if encoding.nuls:
            text = text.replace("\0", "")
        document = text_document(blob.origin, header + text if text else "", encoding.name)
    else:
        remarks: set[str] = set()
        document = Document(blob.origin, encoding.name, lambda: _stream(blob, encoding, header, remarks), remarks)
    document.remarks.update(remarks_on(encoding, blob.origin))
    return document


def remarks_on(encoding: Encoding, origin: str) -> list[str]:
    """What is to be said of a text that was decoded so."""
    said = [encoding.remark] if encoding.remark else []
    if encoding.nuls:
        nuls = "1 NUL byte" if encoding.nuls == 1 else f"{encoding.nuls:,} NUL bytes"
        said.append(f"{origin} has {nuls}, read without {'it' if encoding.nuls == 1 else 'them'}")
    if encoding.guessed and not encoding.mixed:
        said.append(GUESSED + encoding.name)
    if encoding.mixed:
        said.append(f"{origin} mixes encodings: all of it is read as {encoding.name}, but parts of it are UTF-8")
    if encoding.damaged:
        places = "1 damaged place" if encoding.damaged == 1 else f"{encoding.damaged:,} damaged places"
        where = f"the first at byte {encoding.first:,}, read as \ufffd"
        said.append(f"{origin}: {places} in its {encoding.name}, {where}")
    return said


def _stream(blob: Blob, encoding: Encoding, header: str, remarks: set[str]) -> Iterator[str]:
    bytes_decoder = codecs.getincrementaldecoder(encoding.codec)(encoding.errors)
    decoder = io.IncrementalNewlineDecoder(bytes_decoder, translate=True)
    if header:
        yield header
    with explained_errors(blob.origin):
        for block in blob.blocks():
            text = decoder.decode(block)
            yield text.replace("\0", "") if encoding.nuls else text
        yield decoder.decode(b"", final=True)
    met = decoder.newlines or ()
    if "\r\n" in met:
        remarks.add("windows newlines")
    if "\r" in (met if isinstance(met, tuple) else (met,)):
        remarks.add("old mac newlines")


def detect(blob: Blob, named: str | None = None) -> Encoding:
    """The encoding of a text, from all of its bytes. named: what the user says it is. Raises NotText where it
    is none."""
    head = blob.head(_HEAD)
    if head.startswith(b"PK\x03\x04") and (office := _office(head)):
        raise NotText(f"{blob.origin} is {office[0]}, not text.", office[1])
    if head[60:68] == b"BOOKMOBI":
        raise NotText(
            f"{blob.origin} is a Kindle book, not text.", "Convert it to EPUB first, with Calibre for example."
        )
    for magic, what in _MAGIC.items():
        if head.startswith(magic) and not _reads_as_text(head):
            raise NotText(f"{blob.origin} is {what}, not text.", _WAYS_OUT.get(magic, "Give a text."))
    for mark, name, codec in _MARKS:
        if head.startswith(mark):
            return _checked(blob, name, codec)
    if named is not None:
        return _as_named(blob, named)
    if b"\0" in head and (wide := _utf16_without_mark(head)):
        return _checked(blob, wide, wide)
    try:
        damage = _first_damage(blob, "utf-8")
    except NotText as why:
        return _without_nuls(blob, why)
    if damage is not None:
        return _not_utf8(blob, damage)
    return _with_escapes(blob, head) or Encoding("utf-8", "utf-8")


def _as_named(blob: Blob, named: str) -> Encoding:
    """The encoding that the user named, unless the bytes are UTF-8 beyond doubt."""
    if _first_damage(blob, "utf-8", nuls=True) is None:
        whole, _ = _count_damage(blob, "utf-8")
        if whole > (_CHANCE if named in MULTIBYTE else 0) and not named.startswith(("utf-16", "utf-32")):
            said = "" if named == "utf-8" else f"{blob.origin} is UTF-8, and is read so although {named} was named"
            return Encoding("utf-8", "utf-8", remark=said)
    return _checked(blob, named, named)


def _without_nuls(blob: Blob, why: NotText) -> Encoding:
    """A text with NUL bytes in it, as a log has them after a crash. Raises `why` where it is none."""
    counts, runs = _byte_counts(blob), _nul_runs(blob)
    size, lines = sum(counts) - counts[0], counts[10]
    if _control_codes(counts) > 0.001 * size or (runs > lines and size < _FAR_APART * runs):
        raise why
    damage = _first_damage(blob, "utf-8", nuls=True)
    if damage is None:
        return Encoding("utf-8", "utf-8", nuls=counts[0])
    return _not_utf8(blob, damage)


def _nul_runs(blob: Blob) -> int:
    """How many stretches of NUL bytes there are."""
    runs, before = 0, False
    for block in blob.blocks():
        runs += len(_NULS.findall(block)) - (before and block.startswith(b"\0"))
        before = block.endswith(b"\0")
    return runs


def _with_escapes(blob: Blob, head: bytes) -> Encoding | None:
    """Japanese of mails and of old terminals, which changes its alphabet by escapes and is all ASCII."""
    if b"\x1b$B" not in head and b"\x1b$@" not in head:
        return None
    found = _checked(blob, "iso2022_jp", "iso2022_jp")
    return None if found.damaged else replace(found, guessed=True)


def _office(head: bytes) -> tuple[str, str] | None:
    """What a packed document is that homespun does not read, and what to do."""
    if b"xl/" in head or b"opendocument.spreadsheet" in head:
        return "a spreadsheet", "Save the sheet with the text as .csv."
    if b"ppt/" in head or b"opendocument.presentation" in head:
        return "a presentation", "Save its text as plain text or PDF."
    return None


def begins_like_something_else(head: bytes) -> bool:
    """Whether a file that begins so is a picture, an archive or the like."""
    return any(head.startswith(magic) for magic in _MAGIC) and not _reads_as_text(head)


def _reads_as_text(head: bytes) -> bool:
    """Whether a file that begins like something else ("MZ", "BZh") is text all the same."""
    return head.isascii() and b"\0" not in head and not head.startswith(b"%PDF")


def _checked(blob: Blob, name: str, codec: str) -> Encoding:
    """The encoding, with the damage there is in it."""
    first = _first_damage(blob, codec, nuls=True)
    if first is None:
        return Encoding(name, codec)
    return Encoding(name, codec, max(_count_damage(blob, codec)[1], 1), first)


def _first_damage(blob: Blob, codec: str, nuls: bool = False) -> int | None:
    """The first byte that does not belong there, or None. nuls: whether NUL bytes may. Raises NotText for them."""
    decoder = codecs.getincrementaldecoder(codec)()
    wide = nuls or codec.startswith(("utf-16", "utf-32", "utf_16", "utf_32"))
    before = 0
    for block in blob.blocks():
        if not wide and b"\0" in block:
            raise _no_text(blob, f"it has NUL bytes, the first at byte {before + block.index(0):,}")
        try:
            decoder.decode(block)
        except UnicodeDecodeError as error:  # error.object has what waited from the block before, too
            return before + len(block) - len(error.object) + error.start
        before += len(block)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        return before - len(error.object) + error.start
    return None


def _count_damage(blob: Blob, codec: str) -> tuple[int, int]:
    """How many non-ASCII characters are intact, and how many places are damaged."""
    decoder = codecs.getincrementaldecoder(codec)("replace")
    intact = damaged = 0
    for block in _with_end(blob):
        text = decoder.decode(block, final=not block)
        replaced = text.count("\ufffd")
        damaged += replaced
        intact += len(text) - len(text.encode("ascii", "ignore")) - replaced
    return intact, damaged


def _with_end(blob: Blob) -> Iterator[bytes]:
    yield from blob.blocks()
    yield b""


def _utf16_without_mark(head: bytes) -> str | None:
    """Latin text in UTF-16 has a NUL in every second byte."""
    pairs = len(head) // 2
    most = 0.4 * pairs if pairs > 100 else 0.7 * pairs  # few bytes with a NUL among them prove little
    even, odd = head[0 : 2 * pairs : 2].count(0), head[1 : 2 * pairs : 2].count(0)
    if pairs >= 4 and odd > most and even < 0.02 * pairs:
        name = "utf-16-le"
    elif pairs >= 4 and even > most and odd < 0.02 * pairs:
        name = "utf-16-be"
    else:
        return _utf16_of_another_script(head[: 2 * pairs])
    text = head[: 2 * pairs].decode(name, "replace")
    control = sum(character < " " and character not in "\t\n\r\f" for character in text)
    return name if control <= 0.01 * len(text) else None


def _utf16_of_another_script(head: bytes) -> str | None:
    """Few characters have a NUL there, but the spaces and line ends do; and junk is mostly no character at all."""
    if len(head) < 64:
        return None
    for name in ("utf-16-le", "utf-16-be"):
        try:
            text = codecs.getincrementaldecoder(name)().decode(head)  # it may end within a character
        except UnicodeDecodeError:
            continue
        spaces = sum(character in " \n\r\t" for character in text)
        assigned = all(unicodedata.category(c) not in ("Cn", "Co", "Cc") or c in "\n\r\t\f" for c in text)
        if assigned and spaces * 200 > len(text):
            return name
    return None


def _not_utf8(blob: Blob, damage: int) -> Encoding:
    """Damaged UTF-8 where most of what is not ASCII is intact, else an older encoding."""
    counts = _byte_counts(blob)
    size = sum(counts)
    control = _control_codes(counts)
    if control > 0.01 * size:
        raise _no_text(blob, f"{control:,} of its {size:,} bytes are control codes")
    intact, damaged = _count_damage(blob, "utf-8")
    if intact > 4 * damaged:
        return Encoding("utf-8", "utf-8", damaged, damage, nuls=counts[0])
    sample, has_c1 = _sample(blob, damage), any(counts[0x80:0xA0])
    name = older_encoding(sample, has_c1=has_c1)
    mixed = intact > damaged // 4 and name not in MULTIBYTE and name != "cp874"  # whose letters look like it
    if mixed and not (rest := _UTF8.sub(b"", sample)).isascii():
        name = older_encoding(rest, has_c1=has_c1)
    found = _checked(blob, name, name)
    return replace(found, mixed=mixed, guessed=True, nuls=counts[0])


def _byte_counts(blob: Blob) -> list[int]:
    import numpy as np

    counts = np.zeros(256, dtype=np.int64)
    for block in blob.blocks():
        counts += np.bincount(np.frombuffer(block, dtype=np.uint8), minlength=256)
    return counts.tolist()


def _control_codes(counts: list[int]) -> int:
    """How many bytes are control codes that texts do not have."""
    return sum(counts[1:9]) + sum(counts[14:27]) + sum(counts[28:32])


def _sample(blob: Blob, damage: int) -> bytes:
    """The lines around the first byte that is not UTF-8; where the ASCII part is long it tells nothing."""
    start = max(0, damage - _SAMPLE // 4)
    with blob.open() as file:
        skipped = 0
        while skipped < start and (block := file.read(min(2**20, start - skipped))):
            skipped += len(block)
        return file.read(_SAMPLE)


def _no_text(blob: Blob, why: str) -> NotText:
    return NotText(f"{blob.origin} is not text: {why}.", "Give a text, or save it as one (UTF-8) first.")
