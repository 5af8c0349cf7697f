"""What a decoding step computes: batch slots, each of which is a token at its position in a sequence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

BLOCK = 16  # tokens whose keys and values are stored together; `step.cpp` has the same number


@dataclass
class Slots:
    """N tokens of several sequences. Tokens of one sequence stand together, in the order of their positions.

    ids           (N) the tokens
    positions     (N) the position of each in its sequence's window
    sequences     (N) whose block table is theirs
    block_tables  for each sequence, the blocks of the KV cache that hold its keys and values
    wanted        the slots whose logits are wanted
    adapters      for each sequence, the adapter that it is computed with, or None
    """

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    sequences: list[int] = field(default_factory=list)
    block_tables: list[list[int]] = field(default_factory=list)
    wanted: list[int] = field(default_factory=list)
    adapters: list[str | None] = field(default_factory=list)

    def add(
        self,
        ids: list[int],
        position: int,
        block_table: list[int],
        wants: bool = False,
        *,
        wants_all: bool = False,
        adapter: str | None = None,
    ) -> None:
        """Tokens of one sequence, from that position on; wants: the logits after the last of them, or all."""
        self.sequences += [len(self.block_tables)] * len(ids)
        self.block_tables.append(block_table)
        self.adapters.append(adapter)
        first = len(self.ids)
        self.ids += ids
        self.positions += range(position, position + len(ids))
        if wants_all:
            self.wanted += range(first, len(self.ids))
        elif wants:
            self.wanted.append(len(self.ids) - 1)


class DecodeStep(Protocol):
    """Computes slots. It has room for `blocks` blocks of 16 tokens each, in all layers."""

    blocks: int
    is_compiled: bool

    def logits(self, slots: Slots) -> Tensor:
        """The logits (W, V) of the W wanted slots, in float32; keys and values go into the blocks.

        A slot sees the slots of its sequence at its own and earlier positions, those of this call included.
        """
        ...
