"""The blocks of the KV cache, under everything that sequences can do with them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from homespun.generation.kv_blocks import BLOCK, BlockManager, BlockTable, blocks_for
from homespun.generation.window import window_start

# Few different tokens, so that beginnings are often shared.
TEXT = st.lists(st.integers(0, 1), min_size=1, max_size=5).map(lambda runs: [b for b in runs for _ in range(13)])


@given(st.lists(st.tuples(TEXT, st.booleans(), st.integers(0, 9)), max_size=40))
def test_a_block_belongs_to_one_content_at_a_time(acts: list[tuple[list[int], bool, int]]) -> None:
    manager, live = BlockManager(10), []
    holds: dict[int, tuple[int, ...]] = {}  # what was written into each block, token by token

    def check(table: BlockTable, ids: list[int]) -> None:
        for number in range(table.computed // BLOCK):
            assert holds[table.blocks[number]] == tuple(ids[: (number + 1) * BLOCK])

    for ids, gives_back, which in acts:
        if gives_back and live:
            table, _ = live.pop(which % len(live))
            manager.free(table)
        taken = manager.allocate(ids, len(ids))
        if taken is None:
            assert manager.free_blocks() < blocks_for(len(ids))
            continue
        assert len(taken.blocks) == len(set(taken.blocks)) == blocks_for(len(ids)) and taken.computed < len(ids)
        check(taken, ids)
        for number in range(taken.computed // BLOCK, len(ids) // BLOCK):
            holds[taken.blocks[number]] = tuple(ids[: (number + 1) * BLOCK])
        manager.computed(taken, ids, len(ids))
        live.append((taken, ids))
        for table, text in live:
            check(table, text)
    for table, _ in live:
        manager.free(table)
    assert manager.free_blocks() == 10 and not any(manager.users)


@given(st.integers(1, 5000), st.integers(1, 300))
def test_the_window_is_never_too_long_and_never_less_than_half(tokens: int, context_length: int) -> None:
    start = window_start(tokens, context_length)
    seen = tokens - start
    assert 1 <= seen <= context_length
    assert start == 0 or seen > context_length // 2
    assert window_start(tokens + 1, context_length) >= start
