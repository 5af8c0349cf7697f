"""Pages, under everything that texts can do with them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from homespun.generation.pages import PAGE, Pages, Table, pages_for
from homespun.generation.window import window_start

# Few different tokens, so that beginnings are often shared.
TEXT = st.lists(st.integers(0, 1), min_size=1, max_size=5).map(
    lambda blocks: [b for b in blocks for _ in range(13)]
)


@given(st.lists(st.tuples(TEXT, st.booleans(), st.integers(0, 9)), max_size=40))
def test_a_page_belongs_to_one_content_at_a_time(acts: list[tuple[list[int], bool, int]]) -> None:
    pages, live = Pages(10), []
    holds: dict[int, tuple[int, ...]] = {}  # what was written into each page, token by token

    def check(table: Table, ids: list[int]) -> None:
        for number in range(table.known // PAGE):
            assert holds[table.numbers[number]] == tuple(ids[: (number + 1) * PAGE])

    for ids, gives_back, which in acts:
        if gives_back and live:
            table, _ = live.pop(which % len(live))
            pages.give_back(table)
        taken = pages.take(ids, len(ids))
        if taken is None:
            assert pages.free() < pages_for(len(ids))
            continue
        assert len(taken.numbers) == len(set(taken.numbers)) == pages_for(len(ids)) and taken.known < len(ids)
        check(taken, ids)
        for number in range(taken.known // PAGE, len(ids) // PAGE):
            holds[taken.numbers[number]] = tuple(ids[: (number + 1) * PAGE])
        pages.written(taken, ids, len(ids))
        live.append((taken, ids))
        for table, text in live:
            check(table, text)
    for table, _ in live:
        pages.give_back(table)
    assert pages.free() == 10 and not any(pages.users)


@given(st.integers(1, 5000), st.integers(1, 300))
def test_the_window_is_never_too_long_and_never_less_than_half(tokens: int, context_length: int) -> None:
    start = window_start(tokens, context_length)
    seen = tokens - start
    assert 1 <= seen <= context_length
    assert start == 0 or seen > context_length // 2
    assert window_start(tokens + 1, context_length) >= start
