"""Which blocks of the KV cache hold which tokens: 16 tokens a block, shared by sequences with the same prefix.

A block that is full never changes, so any sequence with the same prefix can use it: it is found by its own 16
tokens and the block before it. A block that no sequence uses any more can still be found until its place is
needed, the least recently used first. This is bookkeeping alone: block numbers, no tensors.
"""

from __future__ import annotations

from collections.abc import Sequence

from homespun.kernels.decoding.slots import BLOCK

# The content of a full block: the block before it in the sequence, by its serial number, and its own tokens.
Content = tuple[int, tuple[int, ...]]
BEGINNING = 0


def blocks_for(tokens: int) -> int:
    """How many blocks that many tokens need.

    >>> blocks_for(16), blocks_for(17)
    (1, 2)
    """
    return -(-tokens // BLOCK)


class BlockManager:
    """`number` blocks, which are allocated and freed.

    >>> manager = BlockManager(4)
    >>> first = manager.allocate(range(40), tokens=40)    # three blocks for 40 tokens
    >>> first.blocks, first.computed
    ([0, 1, 2], 0)
    >>> manager.computed(first, range(40), 40)
    >>> second = manager.allocate(range(36), tokens=36)   # the first two hold its prefix
    >>> second.blocks, second.computed
    ([0, 1, 3], 32)
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.users = [0] * number
        self.serials = [BEGINNING] * number  # of what the block holds; given anew whenever it is filled
        self.found: dict[Content, int] = {}
        self.contents: dict[int, Content] = {}  # the other way round
        # Blocks without users, the least recently used first: a dictionary keeps that order.
        self.idle: dict[int, None] = dict.fromkeys(range(number))
        self.filled = BEGINNING

    def allocate(
        self, ids: Sequence[int], tokens: int, *, root: int = BEGINNING, share: bool = True
    ) -> BlockTable | None:
        """Blocks for a sequence of up to `tokens` tokens that begins with ids; None where too few are free now.

        Of ids at least the last one is left to be computed: its logits are wanted. root: sequences with different
        roots share nothing (0 and below: serial numbers of blocks are above). share: False has all ids computed.
        """
        shared = self.cached_prefix(ids, root) if share else []
        fresh = blocks_for(tokens) - len(shared)
        if fresh > len(self.idle) - sum(block in self.idle for block in shared):
            return None
        for block in shared:
            self.use(block)
        new = [self.evict() for _ in range(fresh)]
        return BlockTable(shared + new, computed=len(shared) * BLOCK, root=root)

    def cached_prefix(self, ids: Sequence[int], root: int = BEGINNING) -> list[int]:
        """The blocks that hold the beginning of ids, as far as there are some."""
        blocks: list[int] = []
        before = root
        for end in range(BLOCK, len(ids), BLOCK):
            block = self.found.get((before, tuple(ids[end - BLOCK : end])))
            if block is None:
                break
            blocks.append(block)
            before = self.serials[block]
        return blocks

    def use(self, block: int) -> None:
        self.users[block] += 1
        self.idle.pop(block, None)

    def evict(self) -> int:
        """The block that has been idle for longest, empty."""
        block = next(iter(self.idle))
        self.forget(block)
        self.use(block)
        return block

    def forget(self, block: int) -> None:
        """Its content is not found any more."""
        if (content := self.contents.pop(block, None)) is not None:
            del self.found[content]
        self.serials[block] = BEGINNING

    def computed(self, table: BlockTable, ids: Sequence[int], tokens: int) -> None:
        """The first `tokens` of ids are in the table's blocks now: those that have become full can be found."""
        for number in range(table.findable, tokens // BLOCK):
            block, before = table.blocks[number], table.blocks[number - 1]
            own = tuple(ids[number * BLOCK : (number + 1) * BLOCK])
            content = (self.serials[before] if number else table.root, own)
            if self.serials[block] == BEGINNING:
                self.filled += 1
                self.serials[block] = self.filled
                if content not in self.found:  # two sequences may have computed the same at once; one is enough
                    self.found[content], self.contents[block] = block, content
        table.computed = tokens
        table.findable = tokens // BLOCK

    def free(self, table: BlockTable) -> None:
        """The sequence uses its blocks no more; the last ones are evicted first."""
        for block in reversed(table.blocks):
            self.users[block] -= 1
            assert self.users[block] >= 0, "a block was freed more often than it was allocated"
            if not self.users[block]:
                self.idle[block] = None
        table.blocks = []

    def free_blocks(self) -> int:
        """How many blocks no sequence uses."""
        return len(self.idle)


class BlockTable:
    """The blocks of one sequence, in order. computed: how many of its tokens have keys and values in them."""

    def __init__(self, blocks: list[int], computed: int, root: int = BEGINNING) -> None:
        self.blocks = blocks
        self.computed = computed
        self.root = root
        self.findable = computed // BLOCK
