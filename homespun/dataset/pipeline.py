"""Encode documents to ids, in order, with little of the text in memory at any time.

One thread encodes while another reads and writes. There is only one encoding thread: tokenizers keep caches of
the words they have encoded, and those that can use several CPU cores do so themselves, on the texts of one batch.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from homespun.dataset.shards import id_type
from homespun.errors import TextUnreadable, UnknownCharacter

if TYPE_CHECKING:
    from homespun.text.corpus import Corpus
    from homespun.text.document import Document
    from homespun.text.survey import Survey
    from homespun.tokenizer.tokenizer import Tokenizer

# Batch size of the tokenizer. Sub-word tokenizers use over 100 bytes of memory per character while they work.
BUNDLE_CHARACTERS = 2**22


class Part(NamedTuple):
    """A text chunk of a document, on one side of its train/validation cut."""

    split: int  # 0 before the cut, 1 after it
    text: str
    ends: bool  # this is the document's last part on this side
    origin: str  # the document's
    line: int  # line of the document where the text starts


class EncodedPart(NamedTuple):
    """A part as ids (n,), and the size of its text."""

    split: int
    ids: np.ndarray
    characters: int
    bytes: int
    ends: bool


def end_between_documents(survey: Survey, tokenizer: Tokenizer) -> np.ndarray | None:
    """The end-of-text token (1,) that follows each document; None for one document, and without such a token."""
    several = sum(1 for characters in survey.document_characters if characters) > 1
    if not several or tokenizer.end_of_text is None:
        return None
    return np.array([tokenizer.end_of_text], id_type(tokenizer.vocab_size))


def parts(corpus: Corpus, survey: Survey, cuts: Sequence[int]) -> Iterator[Part]:
    """Yield the documents of the corpus chunk by chunk, each divided at its cut. Parts are never empty.

    cuts: for each document, the number of characters before the cut.
    Raises TextUnreadable if the corpus has changed since it was surveyed.
    """
    number = -1
    for number, document in enumerate(corpus.documents()):
        if number >= len(cuts):
            raise changed(corpus.title, f"it had {len(cuts):,} documents, and now has more")
        for _, part in document_parts(corpus.title, document, number, survey, cuts):
            yield part
    if number + 1 != len(cuts):
        raise changed(corpus.title, f"it had {len(cuts):,} documents, and now has {number + 1:,}")


def document_parts(
    title: str, document: Document, number: int, survey: Survey, cuts: Sequence[int]
) -> Iterator[tuple[int, Part]]:
    """Yield the parts of a document, each with the place in the document where it begins, in characters.

    Raises TextUnreadable at its end if it has changed since it was surveyed.
    """
    cut, length = cuts[number], survey.document_characters[number]
    at, line, digest = 0, 1, hashlib.sha256()
    for piece in document.pieces():
        digest.update(piece.encode())
        begin = at
        before, behind = piece[: max(0, cut - at)], piece[max(0, cut - at) :]
        at += len(piece)
        if before:
            yield begin, Part(0, before, at >= cut, document.origin, line)
            line += before.count("\n")
        if behind:
            yield begin + len(before), Part(1, behind, at >= length, document.origin, line)
            line += behind.count("\n")
    if at != length or not digest.hexdigest().startswith(survey.document_keys[number]):
        raise changed(title, how_document_changed(number, len(cuts), document.origin, length, at))


def how_document_changed(number: int, documents: int, origin: str, before: int, now: int) -> str:
    """Describe how a document changed.

    If one of several documents vanished, the next one has its number, so no cause is stated then.
    """
    if documents > 1:
        return f"its document {number + 1:,} of {documents:,}, {origin}, is not the one that was there before"
    if before == now:
        return f"it still has {now:,} characters, but other ones"
    return f"it had {before:,} characters, and now has {now:,}"


def changed(what: str, how: str) -> TextUnreadable:
    return TextUnreadable(
        f"{what} changed while it was read: {how}.",
        "Run the same command again once nothing writes to it, or give a copy of it.",
    )


def encode_in_order(all_parts: Iterable[Part], tokenizer: Tokenizer) -> Iterator[EncodedPart]:
    """Yield the parts as ids, in input order; while the caller uses them, the next ones are encoded."""
    encoder = ThreadPoolExecutor(1, thread_name_prefix="homespun-encoder")
    waiting: deque[Future[list[EncodedPart]]] = deque()
    try:
        for bundle in bundles(all_parts):
            waiting.append(encoder.submit(encode_bundle, bundle, tokenizer))
            if len(waiting) > 2:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        encoder.shutdown(cancel_futures=True)


def bundles(all_parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Group parts into batches of BUNDLE_CHARACTERS."""
    bundle: list[Part] = []
    characters = 0
    for part in all_parts:
        bundle.append(part)
        characters += len(part.text)
        if characters >= BUNDLE_CHARACTERS:
            yield bundle
            bundle, characters = [], 0
    if bundle:
        yield bundle


def encode_bundle(bundle: list[Part], tokenizer: Tokenizer) -> list[EncodedPart]:
    """Return the parts as ids. Raises UnknownCharacter, which names the document."""
    try:
        encoded = tokenizer.encode_batch([part.text for part in bundle])
    except UnknownCharacter:
        for part in bundle:
            encode_alone(part, tokenizer)
        raise
    return [
        EncodedPart(part.split, ids, len(part.text), utf8_bytes(part.text), part.ends)
        for part, ids in zip(bundle, encoded, strict=True)
    ]


def encode_alone(part: Part, tokenizer: Tokenizer) -> None:
    """Raise UnknownCharacter with the place if this part has the unknown character."""
    try:
        tokenizer.encode_array(part.text)
    except UnknownCharacter as error:
        where = part.origin if part.line == 1 else f"{part.origin}, counted from its line {part.line:,}"
        raise UnknownCharacter(f"In {where}: {error.what}", error.todo) from error


def utf8_bytes(text: str) -> int:
    """Return the length of the text in UTF-8, in bytes."""
    return len(text) if text.isascii() else len(text.encode())
