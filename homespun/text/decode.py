"""Bytes to characters: which encoding a text is in, and its text in that encoding.

Most texts are UTF-8, and a strict pass over all of it proves that. Everything
else is decided in a fixed order, so that the same bytes always give the same
text: byte order mark, UTF-16 without one, damaged UTF-8, then the older 8-bit
and Asian encodings.
"""

from __future__ import annotations

import codecs
import io
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace

from homespun.errors import TextUnreadable
from homespun.text.blob import SMALL, Blob, explained_errors
from homespun.text.document import Document, text_document

_MARKS = (  # UTF-32's begins like UTF-16's, so it comes first
    (codecs.BOM_UTF32_LE, "utf-32-le", "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32-be", "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig", "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "utf-16"),
)
_HEAD = 2**16  # bytes that show what kind of file it is
_SAMPLE = 2**16  # bytes on which an older encoding is recognised

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
}
_WAYS_OUT = {
    b"%PDF": "Give it the suffix .pdf.",
    b"PK\x03\x04": "If it is an archive, give it the suffix .zip; if it is a document, save it as plain text.",
    b"\x1f\x8b": "Give it the suffix .gz.",
    b"PAR1": "Give it the suffix .parquet.",
    b"\xd0\xcf\x11\xe0": "Save it as plain text first.",
}


class NotText(TextUnreadable):
    """Bytes that are no text in any encoding. In a folder they are passed over."""


@dataclass(frozen=True)
class Encoding:
    """`name` is for people, `codec` for Python; `damaged` places could not be decoded, the first at `first`."""

    name: str
    codec: str
    damaged: int = 0
    first: int = 0
    mixed: bool = False  # much of it looks like UTF-8 all the same


def decoded(blob: Blob, header: str = "") -> Document:
    """The text of these bytes as a document, after a `header` line. Raises NotText where it is none."""
    if 0 <= blob.size <= SMALL:
        content = blob.content()
        in_memory = Blob(blob.origin, blob.name, len(content), lambda: io.BytesIO(content))
        encoding = detect(in_memory)
        text = content.decode(encoding.codec, "replace" if encoding.damaged else "strict")
        document = text_document(blob.origin, header + text if text else "", encoding.name)
    else:
        encoding = detect(blob)
        remarks: set[str] = set()
        document = Document(blob.origin, encoding.name, lambda: _stream(blob, encoding, header, remarks), remarks)
    document.remarks.update(remarks_on(encoding, blob.origin))
    return document


def remarks_on(encoding: Encoding, origin: str) -> list[str]:
    """What is to be said of a text that was decoded so."""
    said = []
    if encoding.mixed:
        said.append(f"{origin} mixes encodings: all of it is read as {encoding.name}, but parts of it are UTF-8")
    if encoding.damaged:
        places = "1 damaged place" if encoding.damaged == 1 else f"{encoding.damaged:,} damaged places"
        where = f"the first at byte {encoding.first:,}, read as \ufffd"
        said.append(f"{origin}: {places} in its {encoding.name}, {where}")
    return said


def _stream(blob: Blob, encoding: Encoding, header: str, remarks: set[str]) -> Iterator[str]:
    errors = "replace" if encoding.damaged else "strict"
    bytes_decoder = codecs.getincrementaldecoder(encoding.codec)(errors)
    decoder = io.IncrementalNewlineDecoder(bytes_decoder, translate=True)
    if header:
        yield header
    with explained_errors(blob.origin):
        for block in blob.blocks():
            yield decoder.decode(block)
        yield decoder.decode(b"", final=True)
    met = decoder.newlines or ()
    if "\r\n" in met:
        remarks.add("windows newlines")
    if "\r" in (met if isinstance(met, tuple) else (met,)):
        remarks.add("old mac newlines")


def detect(blob: Blob) -> Encoding:
    """The encoding of a text, from all of its bytes. Raises NotText where it is none."""
    head = blob.head(_HEAD)
    for magic, what in _MAGIC.items():
        if head.startswith(magic) and not _reads_as_text(head):
            raise NotText(f"{blob.origin} is {what}, not text.", _WAYS_OUT.get(magic, "Give a text."))
    for mark, name, codec in _MARKS:
        if head.startswith(mark):
            return _checked(blob, name, codec)
    if b"\0" in head and (wide := _utf16_without_mark(head)):
        return _checked(blob, wide, wide)
    damage = _first_damage(blob, "utf-8")
    return Encoding("utf-8", "utf-8") if damage is None else _not_utf8(blob, damage)


def _reads_as_text(head: bytes) -> bool:
    """Whether a file that begins like something else ("MZ", "BZh") is text all the same."""
    return head.isascii() and b"\0" not in head and not head.startswith(b"%PDF")


def _checked(blob: Blob, name: str, codec: str) -> Encoding:
    """The encoding, with the damage there is in it."""
    first = _first_damage(blob, codec)
    if first is None:
        return Encoding(name, codec)
    return Encoding(name, codec, max(_count_damage(blob, codec)[1], 1), first)


def _first_damage(blob: Blob, codec: str) -> int | None:
    """The first byte that does not belong there, or None."""
    decoder = codecs.getincrementaldecoder(codec)()
    wide = codec.startswith(("utf-16", "utf-32"))
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
    control = sum(counts[:9]) + sum(counts[14:27]) + sum(counts[28:32])
    if control > 0.01 * size:
        raise _no_text(blob, f"{control:,} of its {size:,} bytes are control codes")
    intact, damaged = _count_damage(blob, "utf-8")
    if intact > 4 * damaged:
        return Encoding("utf-8", "utf-8", damaged, damage)
    name = _older_encoding(_sample(blob, damage))
    if name == "cp1252" and not any(counts[0x80:0xA0]):
        name = "latin-1"
    found = _checked(blob, name, name)
    return replace(found, mixed=name in ("cp1252", "latin-1") and intact > damaged // 4)


def _byte_counts(blob: Blob) -> list[int]:
    import numpy as np

    counts = np.zeros(256, dtype=np.int64)
    for block in blob.blocks():
        counts += np.bincount(np.frombuffer(block, dtype=np.uint8), minlength=256)
    return counts.tolist()


def _sample(blob: Blob, damage: int) -> bytes:
    """The lines around the first byte that is not UTF-8; where the ASCII part is long it tells nothing."""
    start = max(0, damage - _SAMPLE // 4)
    with blob.open() as file:
        skipped = 0
        while skipped < start and (block := file.read(min(2**20, start - skipped))):
            skipped += len(block)
        return file.read(_SAMPLE)


def _older_encoding(sample: bytes) -> str:
    """The likeliest encoding of a text from before Unicode: cp1252, the West's, unless another fits better."""
    from charset_normalizer import from_bytes

    matches = from_bytes(sample)
    best = matches.best()
    if best is None:
        return "cp1252"
    western = {"cp1252", "latin_1"}
    for match in matches:
        if western & {match.encoding, *match.could_be_from_charset} and match.chaos <= best.chaos:
            return "cp1252"
    return codecs.lookup(best.encoding).name


def _no_text(blob: Blob, why: str) -> NotText:
    return NotText(f"{blob.origin} is not text: {why}.", "Give a text, or save it as one (UTF-8) first.")
