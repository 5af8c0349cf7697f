"""Special tokens of the char and byte tokenizers: their ids follow those of the characters or bytes, in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from homespun.tokenizer.steps import steps_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


def special_tokens_from(first: int, added: list[dict[str, Any]]) -> list[str] | None:
    """Return the added tokens of a tokenizer.json if all are special, with ids from `first` on; else None.

    >>> special_tokens_from(65, [{"id": 65, "content": "<|endoftext|>", "special": True}])
    ['<|endoftext|>']
    """
    behind = sorted(added, key=lambda token: token["id"])
    in_order = [token["id"] for token in behind] == list(range(first, first + len(behind)))
    return [token["content"] for token in behind] if in_order and all(map(is_plain, behind)) else None


def is_plain(token: dict[str, Any]) -> bool:
    """Return whether a token is special and takes no characters from the text around it."""
    takes = ("lstrip", "rstrip", "single_word", "normalized")
    return len(token["content"]) > 1 and bool(token.get("special")) and not any(token.get(name) for name in takes)


def in_parts(
    ids: NDArray[Any], first: int, text_of: Callable[[NDArray[Any]], str], token_of: Callable[[int], str]
) -> str:
    """Return the text of ids (n,): `text_of` each run of ids below `first`, and the names of the other ids."""
    parts = []
    start = 0
    for place in np.flatnonzero(ids >= first).tolist():
        parts += [text_of(ids[start:place]), token_of(int(ids[place]))]
        start = place + 1
    return "".join([*parts, text_of(ids[start:])])


def adds_tokens(post_processor: Any) -> bool:
    """Whether this post_processor puts a token before or behind a text.

    >>> adds_tokens({"type": "ByteLevel", "trim_offsets": True}), adds_tokens({"type": "BertProcessing"})
    (False, True)
    """
    for step in steps_of(post_processor):
        if step.get("type") in ("BertProcessing", "RobertaProcessing"):
            return True
        parts = step.get("single")
        if isinstance(parts, list) and any("SpecialToken" in part for part in parts):
            return True
    return False
