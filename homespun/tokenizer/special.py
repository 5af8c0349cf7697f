"""Special tokens of the tokenizers whose other ids are characters or bytes: they stand behind those, in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def special_tokens_from(first: int, added: list[dict[str, Any]]) -> list[str] | None:
    """The added tokens of a tokenizer.json, if they are special and have the ids from `first` on; else None.

    >>> special_tokens_from(65, [{"id": 65, "content": "<|endoftext|>", "special": True}])
    ['<|endoftext|>']
    """
    behind = sorted(added, key=lambda token: token["id"])
    in_order = [token["id"] for token in behind] == list(range(first, first + len(behind)))
    return [token["content"] for token in behind] if in_order and all(map(is_plain, behind)) else None


def is_plain(token: dict[str, Any]) -> bool:
    """Whether a token is special and takes nothing of the text around it."""
    takes = ("lstrip", "rstrip", "single_word", "normalized")
    return len(token["content"]) > 1 and bool(token.get("special")) and not any(token.get(name) for name in takes)


def in_parts(
    ids: NDArray[Any], first: int, text_of: Callable[[NDArray[Any]], str], token_of: Callable[[int], str]
) -> str:
    """The text of ids (n,): `text_of` what lies below `first`, stretch by stretch, and the names of the others."""
    parts = []
    start = 0
    for place in np.flatnonzero(ids >= first).tolist():
        parts += [text_of(ids[start:place]), token_of(int(ids[place]))]
        start = place + 1
    return "".join([*parts, text_of(ids[start:])])
