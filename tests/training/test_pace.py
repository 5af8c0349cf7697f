"""The pace, on a clock of the test's."""

from __future__ import annotations

import pytest

from homespun.dataset import Dataset
from homespun.training import pace as pace_module
from homespun.training.pace import KEPT_BACK, TIMED_UNTIL, Pace
from tests.training.conftest import small_plan


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace_module, "time", clock)
    return clock


def walk(
    pace: Pace, clock: Clock, dataset: Dataset, minutes: float, seconds_a_step: float, evaluation: float
) -> int:
    """Trains as the loop would, on the clock; returns the number of steps that was settled."""
    plan = small_plan(dataset, steps=None).with_(minutes=minutes)
    with pace.evaluating():
        clock.now += evaluation
    pace.training_starts()
    step = 0
    while plan.steps == 0 or step < plan.steps:
        clock.now += seconds_a_step
        step += 1
        plan = pace.step_done(plan, step)
        if plan.steps and step % plan.evaluate_every == 0:
            with pace.evaluating():
                clock.now += evaluation
    return plan.steps


@pytest.mark.parametrize("minutes", [1.0, 5.0, 30.0])
@pytest.mark.parametrize("seconds_a_step", [0.02, 0.3])
@pytest.mark.parametrize("evaluation", [0.01, 2.0])
def test_the_run_ends_in_time(
    minutes: float, seconds_a_step: float, evaluation: float, clock: Clock, dataset: Dataset
) -> None:
    pace = Pace(clock.now - 7.0, train_tokens=10**9, val_tokens=dataset.val.tokens)  # reading the text took 7 s
    steps = walk(pace, clock, dataset, minutes, seconds_a_step, evaluation)
    assert steps > TIMED_UNTIL
    # What is kept back is for the sample and the folder; of the evaluations one may be left over.
    assert pace.seconds() <= minutes * 60 - KEPT_BACK
    assert pace.seconds() + KEPT_BACK + evaluation > 0.9 * minutes * 60


def test_a_text_is_not_read_more_often_than_it_is_good_for(clock: Clock, dataset: Dataset) -> None:
    pace = Pace(clock.now, train_tokens=dataset.train.tokens, val_tokens=dataset.val.tokens)
    steps = walk(pace, clock, dataset, 60.0, 0.001, 0.0)
    assert steps * 8 * 16 <= 16 * dataset.train.tokens


def test_time_that_is_over_before_training_begins_still_ends_the_run(clock: Clock, dataset: Dataset) -> None:
    pace = Pace(clock.now - 300.0, train_tokens=10**9, val_tokens=dataset.val.tokens)
    assert walk(pace, clock, dataset, 1.0, 1.0, 1.0) == 1
