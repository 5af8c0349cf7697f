"""The run_clock, on a clock of the test's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from homespun.dataset.preparation import Dataset
from homespun.planning.evaluations import evaluation_is_due
from homespun.planning.plan import Plan
from homespun.training import clock as clock_module
from homespun.training.clock import KEPT_BACK, RunClock
from tests.training.conftest import small_plan


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(clock_module, "time", clock)
    return clock


def walk(
    run_clock: RunClock,
    clock: Clock,
    plan: Plan,
    seconds_a_step: Callable[[int], float],
    look: float,
    aside: float = 0.0,
) -> Plan:
    """Trains as the loop would, on the clock; returns the plan as it is at the end."""
    with run_clock.evaluating():
        clock.now += look
    run_clock.training_starts()
    step = 0
    while step < plan.steps:
        run_clock.step_starts()
        clock.now += seconds_a_step(step)
        step += 1
        plan = run_clock.step_done(plan, step)
        if evaluation_is_due(plan, step):
            with run_clock.evaluating():
                clock.now += look
        clock.now += aside
    clock.now += KEPT_BACK
    return plan


@pytest.mark.parametrize("minutes", [1.0, 5.0, 30.0])
@pytest.mark.parametrize("seconds_a_step", [0.02, 0.3])
@pytest.mark.parametrize("look", [0.01, 1.0])
@pytest.mark.parametrize("planned", [0.3, 1.0, 4.0])
def test_the_run_ends_in_time_however_wrong_the_plan_was(
    minutes: float, seconds_a_step: float, look: float, planned: float, clock: Clock, dataset: Dataset
) -> None:
    run_clock = RunClock(clock.now - 7.0)  # reading the text took 7 s
    steps = max(1, int(planned * minutes * 60 / seconds_a_step))
    plan = small_plan(dataset, steps=steps).with_(minutes=minutes)
    plan = walk(run_clock, clock, plan, lambda step: seconds_a_step, look, aside=0.03 * seconds_a_step)
    assert run_clock.seconds() == pytest.approx(minutes * 60, rel=0.05)
    assert plan.progress(plan.steps) == pytest.approx(1.0)


@pytest.mark.parametrize(("before", "after"), [(0.1, 0.3), (0.3, 0.1), (0.1, 0.14)])
@pytest.mark.parametrize("moment", [0.2, 0.5, 0.8])
def test_a_machine_that_changes_its_speed_does_not_move_the_end(
    before: float, after: float, moment: float, clock: Clock, dataset: Dataset
) -> None:
    run_clock = RunClock(clock.now)
    began = clock.now
    plan = small_plan(dataset, steps=int(180 / before)).with_(minutes=3.0)

    def seconds_a_step(step: int) -> float:
        return before if clock.now - began < moment * 180 else after

    plan = walk(run_clock, clock, plan, seconds_a_step, 0.5)
    assert run_clock.seconds() == pytest.approx(180, rel=0.1)
    assert plan.rescheduled and plan.learning_rate_share(plan.steps - 1) < 0.03


def test_a_pace_that_is_as_planned_moves_nothing(clock: Clock, dataset: Dataset) -> None:
    plan = small_plan(dataset, steps=995).with_(minutes=5.0)
    assert walk(RunClock(clock.now), clock, plan, lambda step: 0.3, 0.01) == plan


def test_steps_that_were_asked_for_are_not_touched(clock: Clock, dataset: Dataset) -> None:
    plan = small_plan(dataset, steps=500)
    assert walk(RunClock(clock.now), clock, plan, lambda step: 60.0, 1.0) == plan


def test_a_text_is_not_read_more_often_than_it_is_good_for(clock: Clock, dataset: Dataset) -> None:
    plan = small_plan(dataset, steps=300).with_(minutes=60.0)
    assert walk(RunClock(clock.now, most_steps=800), clock, plan, lambda step: 0.01, 0.01).steps == 800


def test_time_that_is_over_before_training_begins_still_ends_the_run(clock: Clock, dataset: Dataset) -> None:
    plan = small_plan(dataset, steps=1000).with_(minutes=1.0)
    assert walk(RunClock(clock.now - 300.0), clock, plan, lambda step: 1.0, 1.0).steps <= 3


def test_what_comes_once_is_not_taken_for_what_comes_again(clock: Clock, dataset: Dataset) -> None:
    run_clock = RunClock(clock.now)
    run_clock.training_starts()
    with run_clock.interruption():  # compiling
        clock.now += 40.0
    for step in range(30):
        run_clock.step_starts()
        clock.now += 0.1
        run_clock.step_done(small_plan(dataset, steps=500), step)
    assert run_clock.share_aside() == pytest.approx(0.0, abs=1e-6)
    assert run_clock.one_step() == pytest.approx(0.1)
