"""A long prompt holds up nobody who reads, on a machine of any speed."""

from __future__ import annotations

import doctest
from types import SimpleNamespace
from typing import Any

import pytest

from homespun.generation import prefill, runner
from homespun.generation.engine import Engine
from homespun.generation.request import Request
from tests.generation.models import prompt_of, sure_model
from tests.generation.test_engine import LIKELIEST, ids_of

LONG = 400


def test_the_worked_example_is_right() -> None:
    outcome = doctest.testmod(prefill)
    assert outcome.attempted and not outcome.failed


@pytest.mark.parametrize("seconds_each", [0.0001, 0.001, 0.03])
def test_a_step_takes_twice_the_usual_time_or_ten_milliseconds(
    seconds_each: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is that of a machine on which every token takes that long."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(runner, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    model = sure_model("modern", context_length=512)
    engine = Engine(model)
    readers = [
        engine.submit(Request([number], max_tokens=200, sampling=LIKELIEST, stop_ids=())) for number in range(4)
    ]
    assert isinstance(engine.runner, runner.PagedRunner)
    plain, times = engine.runner.step.logits, []

    def timed(slots: Any) -> Any:
        clock.now += seconds_each * len(slots.ids)
        times.append(seconds_each * len(slots.ids))
        return plain(slots)

    engine.runner.step.logits = timed  # type: ignore[method-assign]
    for _ in range(5):
        engine.step()
    late = engine.submit(Request(prompt_of(LONG), max_tokens=2, sampling=LIKELIEST))
    times.clear()
    counts = [len(reader.sequence.tokens) for reader in readers]
    while not late.ready():
        engine.step()
    assert [len(reader.sequence.tokens) for reader in readers] == [count + len(times) for count in counts]
    usual = 4 * seconds_each
    assert max(times[1:]) <= max(2 * usual, prefill.UNNOTICED) + seconds_each
    assert max(times[1:-1]) >= min(max(2 * usual, prefill.UNNOTICED), 256 * seconds_each) - 2 * seconds_each
    assert ids_of(late) == ids_of(Engine(model).submit(late.sequence.request))


def test_where_nobody_reads_a_prompt_is_computed_as_fast_as_it_can_be() -> None:
    engine = Engine(sure_model("modern", context_length=512))
    stream = engine.submit(Request(prompt_of(LONG), max_tokens=2, sampling=LIKELIEST))
    steps = 0
    while not stream.ready():
        engine.step()
        steps += 1
    assert steps == -(-LONG // runner.SLOTS_AT_ONCE)
