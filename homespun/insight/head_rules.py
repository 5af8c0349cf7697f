"""The roles that a head may have, and which places of a text each of them names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from homespun.insight.passes import Characters

if TYPE_CHECKING:
    from numpy.typing import NDArray

PREVIOUS, BACK, ITSELF, FIRST = "previous token", "k tokens back", "itself", "first token"
WORD, NEWLINE, SAME, INDUCTION = "beginning of the word", "last newline", "same token before", "induction"
ROLES = (PREVIOUS, BACK, ITSELF, FIRST, WORD, NEWLINE, SAME, INDUCTION)
BY_THE_TEXT = (WORD, NEWLINE, SAME, INDUCTION)  # roles that the distance alone does not decide


class Rules:
    """Which places each role names, for all roles but two: "k tokens back" is read off the distances."""

    NAMES = (PREVIOUS, ITSELF, FIRST, WORD, NEWLINE, SAME)

    def __init__(self, ids: NDArray[np.int64], characters: Characters) -> None:
        self.ids = ids
        text, ends = characters.text, characters.ends
        begins = np.concatenate([[0], ends[:-1]])
        last = np.maximum(ends - 1, 0)  # the character that a token ends with
        token_at = np.searchsorted(ends, np.arange(len(text)), side="right")  # the token of each character
        begin_of_word = np.full(len(text), -1)
        newline_before = np.full(len(text) + 1, -1)
        for at, character in enumerate(text):
            if in_a_word(character):
                inside = at > 0 and in_a_word(text[at - 1])
                begin_of_word[at] = begin_of_word[at - 1] if inside else at
            newline_before[at + 1] = at if character == "\n" else newline_before[at]
        nothing = np.full(len(ids), -1)
        found = begin_of_word[last] if len(text) else nothing
        self.word = np.where((found >= 0) & (ends > begins), token_at[np.maximum(found, 0)], -1)
        found = newline_before[begins] if len(text) else nothing
        self.newline = np.where(found >= 0, token_at[np.maximum(found, 0)], -1)

    def window(self, start: int, length: int) -> Tensor:
        """(R, T, T) float32: 1 where the query in the row is to attend to the key in the column."""
        rules = np.zeros((len(self.NAMES), length, length), np.float32)
        queries = np.arange(1, length)
        rules[0, queries, queries - 1] = 1
        rules[1, queries, queries] = 1
        rules[2, queries, 0] = 1
        for n, targets in ((3, self.word), (4, self.newline)):
            keys = targets[start : start + length] - start
            rows = np.flatnonzero((keys >= 0) & (keys < np.arange(length)))
            rules[n, rows, keys[rows]] = 1
        window = self.ids[start : start + length]
        rules[5] = np.tril(window[:, None] == window[None, :], -1)
        return torch.from_numpy(rules)


def in_a_word(character: str) -> bool:
    return character.isalnum() or character in "'’"
