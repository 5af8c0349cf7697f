from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from homespun.training.schedule import learning_rate_at


@given(st.integers(1, 5000), st.integers(0, 500), st.floats(0, 1))
def test_the_share_is_always_a_share_and_ends_small(steps: int, warmup: int, decay: float) -> None:
    shares = [
        learning_rate_at(s, steps=steps, warmup_steps=warmup, decay=decay)
        for s in range(0, steps, 1 + steps // 50)
    ]
    assert all(0.0 < share <= 1.0 for share in shares)
    last = learning_rate_at(steps - 1, steps=steps, warmup_steps=warmup, decay=1.0)
    assert last <= 1 / steps or steps == 1


def test_without_warmup_and_decay_it_is_level() -> None:
    assert {learning_rate_at(s, steps=100, warmup_steps=0, decay=0.0) for s in range(100)} == {1.0}


def test_while_it_climbs_it_does_not_depend_on_the_number_of_steps() -> None:
    for step in range(15):  # so that the number of steps can be found out while the run is on its way
        shares = {learning_rate_at(step, steps=steps, warmup_steps=50, decay=1.0) for steps in (100, 1000, 10**6)}
        assert len(shares) == 1
