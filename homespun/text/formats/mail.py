"""Mail (.eml, .mbox): one document a message, what its writer wrote: no headers, no quoted reply, no
attachment."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator
from email.message import EmailMessage

from homespun.errors import MissingExtra, TextUnreadable
from homespun.text.blob import Blob, explained_errors
from homespun.text.document import Document, text_document
from homespun.text.formats import Request
from homespun.text.formats.page import readable
from homespun.text.notes import Tally

MAX_MESSAGE = 2**26  # bytes: its attachments are in memory, too
_MAX_LINE = 2**20  # bytes read at a time of a line
_FROM = re.compile(rb"From \S+.*\d{4}\s*$|From \S+@\S+|From -")  # what begins a message in an mbox
_FIELD = re.compile(rb"(?:[A-Za-z][A-Za-z-]*:[ \t]?.*|>?From .*)\r?\n?")
_ATTRIBUTION = re.compile(
    r"(?:On|Am|Le|El|Il|Em|Op|Den|Dnia|Dne|W dniu)\b.{5,200}(?:wrote|schrieb|écrit|escribió|scritto|escreveu"
    r"|schreef|skrev"
    r"|napsal\(?a?\)?|pisze|napisał\(?a?\)?)\b.{0,40}:\s*\Z",
    re.DOTALL,
)
_ATTRIBUTION_LINE = re.compile(
    r".{3,120}(?:wrote|schrieb|a écrit|пишет|написал\(?а?\)?)\s?:\s*\Z"
    r"|\d{1,2}[./]\d{1,2}[./]\d{2,4}.{0,100}<[^<>]+@[^<>]+>:?\s*\Z",
)
_FORWARDED = re.compile(
    r"\s*(?:-{2,}\s?(?:Original Message|Ursprüngliche Nachricht|Message d'origine|Mensaje original"
    r"|Messaggio originale"
    r"|Forwarded message|Weitergeleitete Nachricht|Пересылаемое сообщение)\s?-{2,}|_{20,}"
    r"|Begin forwarded message:)\s*",
    re.IGNORECASE,
)
_NEWS = {b"lines", b"organization", b"newsgroups", b"date", b"to"}  # beside From and Subject
_HEADER_LINE = re.compile(r"\s*(?:From|Von|De|Da|Van|Отправитель|От)\s?:\s.+")


def eml(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """The message in a file. Raises TextUnreadable, MissingExtra."""
    content = blob.whole(MAX_MESSAGE, "a mail", "Save its text without attachments.")
    if not _looks_like_mail(content):
        raise TextUnreadable(
            f"{blob.origin} is no mail: it does not begin with headers.",
            "Give the file the suffix .txt to read it as it stands.",
        )
    if content.startswith(b"From "):
        content = content.partition(b"\n")[2]
    _say(blob, tally)
    yield _document(content, blob.origin, tally)


def mbox(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """The messages in a mailbox, in their order. Raises TextUnreadable, MissingExtra."""
    _say(blob, tally)
    for number, content in enumerate(_messages(blob), start=1):
        yield _document(content, f"{blob.origin}:{number}", tally)


def _say(blob: Blob, tally: Tally) -> None:
    tally.say_of("mails", blob.origin, " is read as mail: headers, quoted replies and attachments are left out")


def _looks_like_mail(content: bytes) -> bool:
    first = content.lstrip(b"\xef\xbb\xbf\r\n").partition(b"\n")[0]
    return bool(_FIELD.fullmatch(first + b"\n"))


def is_mbox(head: bytes) -> bool:
    """Whether a file that begins so is a mailbox: a line "From somebody", and headers below it.

    >>> is_mbox(b"From anna@example.org Mon Jan  1 10:00:00 2024\\nSubject: Hens\\n")
    True
    """
    first, _, rest = head.partition(b"\n")
    second = rest.partition(b"\n")[0]
    return bool(_FROM.match(first)) and bool(re.match(rb"[A-Za-z][A-Za-z-]+:[ \t]", second))


def is_mail(head: bytes, *, named: bool) -> bool:
    """Whether a file that begins so is a mail, as in a Maildir. named: its suffix says that it is something else.

    >>> is_mail(b"Return-Path: <a@x>\\nFrom: a@x\\nMessage-ID: <1@x>\\n\\nHi\\n", named=True)
    True
    >>> is_mail(b"From: Anna\\nTo: Ben\\n\\nHi\\n", named=True)
    False
    """
    lines = re.split(rb"\r?\n", re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0])
    fields = [line for line in lines if not line.startswith((b" ", b"\t"))]
    if not all(re.match(rb"[A-Za-z][A-Za-z0-9-]*:", line) for line in fields):
        return False
    names = {line.split(b":", 1)[0].lower() for line in fields}
    if b"from" not in names:
        return False
    sent = names & {b"received", b"message-id", b"mime-version", b"return-path"}
    return bool(sent) or (not named and b"subject" in names and bool(names & _NEWS))


def saved_page(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """A web page that a browser saved as one file. Raises TextUnreadable, MissingExtra."""
    content = blob.whole(MAX_MESSAGE, "a saved page", "Save it as .html or plain text.")
    try:
        message = email.message_from_bytes(content, policy=email.policy.default)
        page = next((part for part in message.walk() if part.get_content_type() == "text/html"), None)
        markup = _decoded(page) if isinstance(page, EmailMessage) else ""
    except (ValueError, LookupError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise TextUnreadable(
            f"{blob.origin} is a saved page that cannot be read: {error}.", "Save it as .html or plain text."
        ) from error
    document = text_document(blob.origin, readable(markup, blob.origin))
    document.read_as = "a web page"
    yield document


def _messages(blob: Blob) -> Iterator[bytes]:
    lines: list[bytes] = []
    size = 0
    blank = True
    with explained_errors(blob.origin), blob.open() as file:
        while line := file.readline(_MAX_LINE):
            if blank and line.startswith(b"From ") and _FROM.match(line):
                if lines:
                    yield b"".join(lines)
                lines, size = [], 0
            else:
                size += len(line)
                if size <= MAX_MESSAGE:  # what is beyond that is an attachment
                    lines.append(line[1:] if line.startswith(b">From ") else line)
            blank = not line.strip()
    if lines:
        yield b"".join(lines)


def _document(content: bytes, origin: str, tally: Tally) -> Document:
    try:
        message = email.message_from_bytes(content, policy=email.policy.default)
        text = _body(message, origin)
    except MissingExtra:
        raise
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        IndexError,
        RecursionError,
        AssertionError,
    ) as error:
        # The standard library meets headers that it cannot parse.
        raise TextUnreadable(
            f"{origin} is a mail that cannot be read: {error}.", "Save its text as plain text."
        ) from error
    return text_document(origin, own_words(text))


def _body(message: EmailMessage, origin: str) -> str:
    """The text of a message: its plain part, or that of the page that it is."""
    parts = message.walk() if message.is_multipart() else [message]
    plain, pages = [], []
    for part in parts:
        if part.is_multipart() or part.get_content_disposition() == "attachment":
            continue
        kind = part.get_content_type()
        if kind == "text/plain":
            plain.append(_decoded(part))
        elif kind == "text/html":
            pages.append(_decoded(part))
    if any(text.strip() for text in plain):
        return "\n\n".join(text.strip("\r\n") for text in plain if text.strip()) + "\n"
    return "\n".join(readable(page, origin, kind="mail") for page in pages)


def _decoded(part: EmailMessage) -> str:
    """The text of a part in the character set that it names; where that is wrong, in the one that it looks
    like."""
    raw = part.get_payload(decode=True)
    if not isinstance(raw, bytes):
        return str(raw or "")
    for charset in (part.get_content_charset(), "utf-8"):
        try:
            return raw.decode(charset or "utf-8")
        except (LookupError, UnicodeDecodeError):
            continue
    from homespun.text.older import older_encoding

    return raw.decode(older_encoding(raw[: 2**16], has_c1=any(0x80 <= byte < 0xA0 for byte in raw)), "replace")


def own_words(text: str) -> str:
    """A message without the quoted replies, the line that announces them, and the signature.

    >>> own_words("Yes, tomorrow.\\n\\nOn Mon, Jan 1, 2024, Ben wrote:\\n> When?\\n")
    'Yes, tomorrow.\\n'
    """
    kept: list[str] = []
    lines = text.replace("\r\n", "\n").split("\n")
    for number, line in enumerate(lines):
        if line.rstrip() == "--" and line.startswith("--") and (line == "-- " or number > len(lines) - 12):
            break
        if _FORWARDED.fullmatch(line) and any(
            _HEADER_LINE.match(after) for after in lines[number + 1 : number + 6]
        ):
            break
        if line.startswith(">"):
            _drop_attribution(kept)
        else:
            kept.append(line)
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip("\n")
    return text + "\n" if text.strip() else ""


def _drop_attribution(kept: list[str]) -> None:
    """Take away the line, or the two, that announce a quotation."""
    end = len(kept)
    while end and not kept[end - 1].strip():
        end -= 1
    for count, pattern in ((3, _ATTRIBUTION), (2, _ATTRIBUTION), (1, _ATTRIBUTION), (1, _ATTRIBUTION_LINE)):
        if end >= count and pattern.fullmatch(" ".join(kept[end - count : end]).strip()):
            del kept[end - count :]
            return
