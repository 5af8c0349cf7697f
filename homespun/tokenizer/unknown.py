"""The error for a character that a tokenizer has no id for: which one, where, and what to do."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Set

from homespun.errors import UnknownCharacter

# `tokenizers` silently drops characters that a byte-pair model has no id for. If the unknown token's name is not
# in the vocabulary, it raises an error instead, in transformers too, and quotes the name: so the name is the
# explanation.
UNKNOWN = "a character that is not in this model's alphabet"

WAY_OUT = "Leave it out, or train with --tokenizer byte or --tokenizer bpe: those know every character."
WAY_OUT_OF_A_SURROGATE = (
    "It is half of a character, and no text may have it: the text was cut or decoded wrongly before it came here."
)


def unknown_character(text: str, unknown: Set[str], *, known: int | None) -> UnknownCharacter:
    """Return the error for the first of the unknown characters in `text`; it names the others too.

    known: the number of characters that the tokenizer knows, if that is worth stating.
    """
    first = next(place for place, character in enumerate(text) if character in unknown)
    character = text[first]
    line, column = text.count("\n", 0, first) + 1, first - text.rfind("\n", 0, first)
    few = f"the {known} characters" if known is not None else "the characters"
    what = (
        f"{name(character)} at line {line}, column {column} is not among {few} that this tokenizer knows:"
        f" {excerpt(text, first)}"
    )
    others = sorted(unknown - {character})
    if others:
        shown = ", ".join(name(other) for other in others[:5])
        what += f"\nNor {'is' if len(others) == 1 else 'are'} {shown}"
        what += f" and {len(others) - 5} more." if len(others) > 5 else "."
    return UnknownCharacter(what, WAY_OUT_OF_A_SURROGATE if lone_surrogate(character) else WAY_OUT)


def name(character: str) -> str:
    """
    >>> name("é"), name(chr(7))
    ("'é' (U+00E9, LATIN SMALL LETTER E WITH ACUTE)", "'\\\\x07' (U+0007)")
    """
    called = "half of a surrogate pair" if lone_surrogate(character) else unicodedata.name(character, "")
    return f"{_quoted(character)} (U+{ord(character):04X}{', ' if called else ''}{called})"


def excerpt(text: str, place: int, width: int = 20) -> str:
    """Return the text around a place, on one line.

    >>> excerpt("one two three four five", 8, width=4)
    '"…two three…"'
    """
    start, end = max(0, place - width), min(len(text), place + width + 1)
    around = "".join(_quoted(character)[1:-1] for character in text[start:end])
    return f'"{"…" if start else ""}{around}{"…" if end < len(text) else ""}"'


def lone_surrogate(text: str) -> bool:
    """Return whether it has half of a surrogate pair, which is no character and cannot be encoded as UTF-8."""
    return re.search("[\ud800-\udfff]", text) is not None


def _quoted(character: str) -> str:
    if character.isprintable() and not unicodedata.combining(character):
        return f"'{character}'"
    return f"'{character.encode('unicode_escape').decode()}'"
