"""What a step computes: rows, each of which is a token at its position in a text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

PAGE = 16  # tokens whose keys and values stand together; `step.cpp` knows it, too


@dataclass
class Rows:
    """N tokens of several texts. Tokens of one text stand together, in the order of their positions.

    ids        (N) the tokens
    positions  (N) where each stands in its text's window
    texts      (N) whose table is theirs
    tables     for each text, the pages that hold its keys and values
    wanted     the rows after which it is to be known what comes next
    """

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    texts: list[int] = field(default_factory=list)
    tables: list[list[int]] = field(default_factory=list)
    wanted: list[int] = field(default_factory=list)

    def add(self, ids: list[int], position: int, table: list[int], wants: bool) -> None:
        """Tokens of one text, from that position on; wants: the logits after the last of them."""
        self.texts += [len(self.tables)] * len(ids)
        self.tables.append(table)
        self.ids += ids
        self.positions += range(position, position + len(ids))
        if wants:
            self.wanted.append(len(self.ids) - 1)


class Step(Protocol):
    """A way to compute rows. `pages` of them hold 16 tokens each, in all layers."""

    pages: int
    is_compiled: bool

    def logits(self, rows: Rows) -> Tensor:
        """The logits (W, V) after the W wanted rows, in float32 on the CPU; keys and values go into the pages.

        A row sees the rows of its text at its own and earlier positions, those of this call included.
        """
        ...
