"""What a person typed, as ids: with look-alikes for unknown characters, and special tokens on request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from homespun.errors import warn
from homespun.tokenizer.lookalikes import adapted, described

if TYPE_CHECKING:
    from homespun.tokenizer.tokenizer import Tokenizer


def encode_prompt(tokenizer: Tokenizer, text: str, *, special_tokens: bool = False) -> list[int]:
    """Return the ids of what a person typed for the model to go on from.

    special_tokens: names of special tokens in the text are these tokens. Raises UnknownCharacter, TokenizerError.
    """
    if not special_tokens or not tokenizer.special_tokens:
        return tokenizer.encode(readable(tokenizer, text))
    ids: list[int] = []
    for part in re.split(f"({special_pattern(tokenizer)})", text):
        known = tokenizer.special_tokens.get(part)
        ids += tokenizer.encode(readable(tokenizer, part)) if known is None else [known]
    return ids


def readable(tokenizer: Tokenizer, text: str) -> str:
    """Return a text as the tokenizer can read it: with look-alikes, and a warning, if it is one of characters."""
    alphabet = getattr(tokenizer, "alphabet", None)
    if alphabet is None:
        return text
    found, taken = adapted(text, alphabet)
    if taken:
        warn(f"the model does not know every character of this: it reads {described(taken)}")
    return found


def special_tokens_in(tokenizer: Tokenizer, text: str) -> list[str]:
    """Return the names of special tokens that are spelled out in a text, each once."""
    if not tokenizer.special_tokens:
        return []
    return list(dict.fromkeys(re.findall(special_pattern(tokenizer), text)))


def special_pattern(tokenizer: Tokenizer) -> str:
    return "|".join(map(re.escape, sorted(filter(None, tokenizer.special_tokens), key=len, reverse=True)))
