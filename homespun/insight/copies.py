"""Which pieces of a text stand in the training text word for word, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from homespun.dataset.copies import copied_passages, least_length, longest_copy
from homespun.errors import UsageError
from homespun.insight.passes import characters_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from homespun.tokenizer.tokenizer import Tokenizer

AROUND = 40  # tokens of the training text on either side


@dataclass(frozen=True)
class CopiedPiece:
    """A piece of the text that stands in the training text.

    start, length  in tokens of the text; characters: the same from, and up to
    place          in the training text, in tokens; one of several, where it stands there more than once
    before, after  what stands around it there
    """

    start: int
    length: int
    characters: tuple[int, int]
    place: int
    before: str
    after: str


@dataclass(frozen=True)
class CopiedPieces:
    """The pieces of a text that stand in the training text, in the order of the text; they may overlap.

    text     in characters, as the tokenizer decodes it; tokens: how many it has
    pieces   each of `least` tokens or more, and as long as it can be
    share    of the tokens that are in a piece
    longest  tokens of the longest copy of all, which may be shorter than `least`
    expected the share of a text to compare with, which the model did not write; None where none was given
    expected_longest, in that text
    """

    text: str
    tokens: int
    least: int
    pieces: tuple[CopiedPiece, ...]
    share: float
    longest: int
    expected: float | None
    expected_longest: int | None

    def as_object(self) -> dict[str, Any]:
        """The pieces as JSON."""
        pieces = [{**vars(piece), "characters": list(piece.characters)} for piece in self.pieces]
        return {**vars(self), "pieces": pieces}


def copied_pieces(
    train: NDArray[Any],
    tokenizer: Tokenizer,
    text: str | Sequence[int] | NDArray[Any],
    *,
    least: int | None = None,
    held_out: NDArray[Any] | None = None,
) -> CopiedPieces:
    """The pieces of a text that stand in the training text.

    train: ids (N) of the training text (`load(RUN).dataset().train.ids`). text: a string or ids. least: how many
    tokens make a piece; None: 13 tokens or 50 characters, whichever is more: shorter ones are common phrases.
    held_out: ids to compare with: as many of them as the text has are searched for, too.
    Raises UnknownCharacter, UsageError for an empty text or a `least` below 1.
    """
    ids = (tokenizer.encode_array(text) if isinstance(text, str) else np.asarray(text)).astype(np.int64)
    if not len(ids):
        raise UsageError("The text is empty.", "Give a text that the model has written.")
    characters = characters_of(tokenizer, ids)
    if least is None:
        least = least_length(max(1.0, len(characters.text) / len(ids)))
    if least < 1:
        raise UsageError(f"least is {least}.", "A piece has one token or more.")
    pieces = []
    for passage in copied_passages(train, ids, least):
        end = passage.place + passage.length
        pieces.append(
            CopiedPiece(
                start=passage.start,
                length=passage.length,
                characters=(
                    characters.span(passage.start)[0],
                    characters.span(passage.start + passage.length - 1)[1],
                ),
                place=passage.place,
                before=tokenizer.decode(train[max(0, passage.place - AROUND) : passage.place]),
                after=tokenizer.decode(train[end : end + AROUND]),
            )
        )
    expected, expected_longest = None, None
    if held_out is not None and len(held_out):
        other = np.asarray(held_out[: len(ids)]).astype(np.int64)
        expected = share_of(copied_passages(train, other, least), len(other))
        expected_longest = longest_copy(train, other, least).length
    return CopiedPieces(
        text=characters.text,
        tokens=len(ids),
        least=least,
        pieces=tuple(pieces),
        share=share_of(pieces, len(ids)),
        longest=longest_copy(train, ids, least).length,
        expected=expected,
        expected_longest=expected_longest,
    )


def share_of(pieces: Sequence[Any], tokens: int) -> float:
    """The share of the tokens that are in a piece; pieces may overlap."""
    covered = np.zeros(tokens, bool)
    for piece in pieces:
        covered[piece.start : piece.start + piece.length] = True
    return float(covered.mean())
