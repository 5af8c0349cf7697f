"""A few pages of ordinary English, to see what a model forgets while it learns something else.

They were written for this purpose, so no model has them from anywhere: prose, talk, a list, a letter, sums, code.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from homespun.errors import UnknownCharacter

if TYPE_CHECKING:
    from homespun.tokenizer.tokenizer import Tokenizer


def general_passages(tokenizer: Tokenizer | None = None) -> list[str]:
    """The passages, in order; with a tokenizer, those that it can write: one of characters may know no digits."""
    text = (files("homespun.finetuning") / "general.txt").read_text(encoding="utf-8")
    passages = [passage.strip("\n") for passage in text.split("\n~\n")]
    return passages if tokenizer is None else [one for one in passages if knows(tokenizer, one)]


def knows(tokenizer: Tokenizer, text: str) -> bool:
    """Whether the tokenizer has ids for all of a text."""
    try:
        tokenizer.encode(text)
    except UnknownCharacter:
        return False
    return True


def general_text(tokenizer: Tokenizer | None = None) -> str:
    """All passages as one text, a blank line between them; with a tokenizer, those that it can write."""
    return "\n\n".join(general_passages(tokenizer))
