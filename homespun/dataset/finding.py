"""What the data doctor finds, as plain values: a finding, and a place in the text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from homespun.dataset.pipeline import Part

Severity = Literal["stop", "warn", "note"]
SEVERITIES: tuple[Severity, ...] = ("stop", "warn", "note")


@dataclass(frozen=True)
class Finding:
    """One fact about a text that a user should know before training on it.

    kind: one of `doctor.LOOKED_FOR`.
    severity: "stop" if training would fail or be useless, "warn" if the model will be visibly worse, "note" for
    what may well be intended.
    what: the problem, with numbers and, if there is one, an example and its place.
    todo: what to do about it; after a line end, commands that do it, one per line.
    """

    kind: str
    severity: Severity
    what: str
    todo: str


class Place(NamedTuple):
    """A place in the text: the document's origin and the line number, from 1."""

    origin: str
    line: int

    def __str__(self) -> str:
        return f"{self.origin}, line {self.line:,}"


def numbered(parts: Iterator[Part], document_characters: Sequence[int]) -> Iterator[tuple[int, Part]]:
    """Yield the parts of a corpus, each with the number of its document, from 0."""
    number = characters = 0
    for part in parts:
        yield number, part
        characters += len(part.text)
        if characters == document_characters[number]:
            number, characters = number + 1, 0


def place_of(part: Part, position: int) -> Place:
    """Return the place of a character of a part."""
    return Place(part.origin, part.line + part.text.count("\n", 0, position))


def percent(share: float) -> str:
    """A share from 0 to 1 as a person reads it: never 0% or 100% of what is only nearly that.

    >>> percent(0.1234), percent(0.056), percent(0.00004), percent(0.9956), percent(0.99999), percent(1.0)
    ('12%', '5.6%', '<0.1%', '99.6%', '>99.9%', '100%')
    """
    if 0 < share < 0.0005:
        return "<0.1%"
    if 0.9995 <= share < 1:
        return ">99.9%"
    is_whole = 0.0995 <= share < 0.995 or share in (0, 1)
    return f"{100 * share:.0f}%" if is_whole else f"{100 * share:.1f}%"


def times(count: int) -> str:
    """
    >>> times(1), times(2), times(1200)
    ('once', 'twice', '1,200 times')
    """
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")


def quoted(text: str, most: int = 60) -> str:
    """Return a passage on one line, truncated if it is too long.

    >>> quoted("To be,\\n  or not to be", most=12)
    '"To be, or n…"'
    """
    flat = " ".join(text.split())
    return f'"{flat[: most - 1]}…"' if len(flat) > most else f'"{flat}"'
