from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from homespun.planning.schedule import learning_rate_at, progress_at


@given(st.integers(1, 5000), st.integers(0, 500), st.floats(0, 1))
def test_the_share_is_always_a_share_and_ends_small(steps: int, warmup: int, decay: float) -> None:
    shares = [
        learning_rate_at(s, progress_at(s, steps), warmup_steps=warmup, decay=decay)
        for s in range(0, steps, 1 + steps // 50)
    ]
    assert all(0.0 < share <= 1.0 for share in shares)
    last = learning_rate_at(steps - 1, progress_at(steps - 1, steps), warmup_steps=warmup)
    assert last <= 1.001 / steps or steps == 1


def test_without_warmup_and_decay_it_is_level() -> None:
    shares = {learning_rate_at(s, progress_at(s, 100), warmup_steps=0, decay=0.0) for s in range(100)}
    assert shares == {1.0}


@st.composite
def runs(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """A number of steps, and ends that the run had before, as a machine that changes its speed makes them."""
    moments = sorted(draw(st.sets(st.integers(1, 200), max_size=5)))
    rescheduled = [(at, at + draw(st.integers(1, 400))) for at in moments]
    return (moments[-1] if moments else 0) + draw(st.integers(1, 400)), rescheduled


@given(runs())
def test_progress_goes_from_nothing_to_all_whatever_was_retimed(run: tuple[int, list[tuple[int, int]]]) -> None:
    steps, rescheduled = run
    progress = [progress_at(step, steps, rescheduled) for step in range(steps + 1)]
    assert progress[0] == 0.0 and abs(progress[-1] - 1.0) < 1e-9
    assert all(before < after for before, after in pairwise(progress))


@given(runs())
def test_what_comes_later_does_not_change_what_has_been(run: tuple[int, list[tuple[int, int]]]) -> None:
    steps, rescheduled = run
    for number, (at, until) in enumerate(rescheduled):  # the run as it was before it was rescheduled for that time
        for step in range(0, at + 1, 7):
            assert progress_at(step, steps, rescheduled) == progress_at(step, until, rescheduled[:number])
