"""A few pages of ordinary English, which measure what a model forgets while it is fine-tuned.

They were written for this purpose, so no model was trained on them: prose, talk, a list, a letter, sums, code.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from homespun.errors import UnknownCharacter

if TYPE_CHECKING:
    from homespun.tokenizer.tokenizer import Tokenizer


def general_passages(tokenizer: Tokenizer | None = None) -> list[str]:
    """The passages, in order; with a tokenizer, only those it can encode: a char tokenizer may lack digits."""
    text = (files("homespun.finetuning") / "general.txt").read_text(encoding="utf-8")
    passages = [passage.strip("\n") for passage in text.split("\n~\n")]
    return passages if tokenizer is None else [one for one in passages if knows(tokenizer, one)]


def knows(tokenizer: Tokenizer, text: str) -> bool:
    """Whether the tokenizer can encode the whole text."""
    try:
        tokenizer.encode(text)
    except UnknownCharacter:
        return False
    return True


def general_text(tokenizer: Tokenizer | None = None) -> str:
    """All passages as one text, a blank line between them; with a tokenizer, only those that it can encode."""
    return "\n\n".join(general_passages(tokenizer))
