"""A text for a model that knows few characters: look-alikes are read, a handful of others left out and counted.

Without this a single é in a book would keep a character model from being measured on it. Where the unknown
characters are more than a handful the text is in another alphabet, and the model has nothing to say of it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from homespun.tokenizer.lookalikes import adapted, shown
from homespun.tokenizer.unknown import lone_surrogate

if TYPE_CHECKING:
    from homespun.text.corpus import Corpus, Source
    from homespun.text.document import Document
    from homespun.text.formats import Request
    from homespun.text.notes import Tally
    from homespun.tokenizer.tokenizer import Tokenizer

MOST_UNKNOWN = 0.01  # of the characters of a text; with more it is an error, which names them
NAMED = 8  # characters in a note


@dataclass(frozen=True)
class Readable:
    """A source whose documents have only characters of an alphabet."""

    source: Source
    alphabet: str

    def documents(self, request: Request, tally: Tally) -> Iterator[Document]:
        for document in self.source.documents(request, tally):
            yield replace(document, chunks=Pieces(document, self.alphabet))

    def signature(self) -> Any:
        inner = self.source.signature()
        return None if inner is None else ["characters of", self.alphabet, inner]


@dataclass(frozen=True)
class Pieces:
    """The pieces of a document, with the characters of an alphabet alone."""

    document: Document
    alphabet: str

    def __call__(self) -> Iterator[str]:
        known = frozenset(self.alphabet)
        for piece in self.document.pieces():
            text, _ = adapted(piece, known)
            if unknown := set(text) - known:
                text = text.translate(dict.fromkeys(map(ord, unknown)))
            if text:
                yield text


def readable(corpus: Corpus, tokenizer: Tokenizer) -> tuple[Corpus, str]:
    """Return the corpus in characters that the tokenizer knows, and a line on what was done for it.

    The line is empty where it knows all of them. With more than MOST_UNKNOWN of others, those that have
    look-alikes aside, the corpus stays as it is: encoding it raises UnknownCharacter.
    """
    alphabet = getattr(tokenizer, "alphabet", None)
    if alphabet is None:
        return corpus, ""
    survey, known = corpus.survey(), frozenset(alphabet)
    unknown = {one: count for one, count in survey.alphabet.items() if one not in known}
    if not unknown or any(map(lone_surrogate, unknown)):
        return corpus, ""
    alike = {one: taken for one in unknown if (taken := replacement(one, alphabet)) is not None}
    others = {one: count for one, count in unknown.items() if one not in alike}
    if sum(others.values()) > MOST_UNKNOWN * survey.characters:
        return corpus, ""
    sources = [Readable(source, alphabet) for source in corpus.sources]
    return replace(corpus, sources=sources, notes=[], _survey=None), note(
        unknown, alike, others, survey.characters
    )


def replacement(character: str, alphabet: str) -> str | None:
    """What a character is read as; None where it has no look-alike."""
    if unicodedata.combining(character):  # an accent of its own: read with its letter, as one character
        return next((one for one in alphabet if character in unicodedata.normalize("NFD", one)[1:]), None)
    text, taken = adapted(character, alphabet)
    return text if taken else None


def note(unknown: Mapping[str, int], alike: Mapping[str, str], others: Mapping[str, int], characters: int) -> str:
    """One line on the characters that a model does not know.

    >>> note({"’": 9, "é": 2}, {"’": "'"}, {"é": 2}, 1000)
    "11 of 1,000 characters are unknown to the model: 9 are read as look-alikes (’ as '); 2 are left out: é (2)"
    """
    total = sum(unknown.values())
    parts = []
    if alike:
        read = ", ".join(
            f"{shown(one)} as {shown(other) or 'nothing'}" for one, other in list(alike.items())[:NAMED]
        )
        parts.append(f"{sum(unknown[one] for one in alike):,} are read as look-alikes ({read})")
    if others:
        most = sorted(others, key=lambda one: (-others[one], one))
        named = ", ".join(f"{shown(one)} ({others[one]:,})" for one in most[:NAMED])
        more = f" and {len(most) - NAMED:,} more" if len(most) > NAMED else ""
        parts.append(f"{sum(others.values()):,} are left out: {named}{more}")
    are = "character is" if total == 1 else "characters are"
    return f"{total:,} of {characters:,} {are} unknown to the model: {'; '.join(parts)}"
