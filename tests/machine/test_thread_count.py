"""The number of threads that is fastest, on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from homespun.machine.thread_count import ThreadCount


class Computer:
    """A step takes `seconds(threads)`."""

    def __init__(self, most: int, seconds: Callable[[int], float]) -> None:
        self.now = 0.0
        self.seconds = seconds
        self.count = ThreadCount(most, clock=lambda: self.now)
        self.used: list[int] = []

    def steps(self, number: int, busy: bool = False) -> None:
        for _ in range(number):
            with self.count.timed(busy) as threads:
                self.used.append(threads)
                self.now += self.seconds(threads)


def test_alone_it_stays_with_all_threads_and_trials_cost_next_to_nothing() -> None:
    computer = Computer(8, lambda threads: 0.01 / threads)
    computer.steps(20_000)
    assert computer.count.chosen == 8
    lost = computer.now - 20_000 * 0.01 / 8
    assert 0 < lost < 0.06 * computer.now


@pytest.mark.parametrize("most", [2, 8, 12])
def test_where_threads_wait_for_each_other_one_is_taken_within_few_steps(most: int) -> None:
    computer = Computer(most, lambda threads: 0.005 if threads == 1 else 0.5 * threads)
    computer.steps(60, busy=True)
    assert computer.count.chosen == 1
    computer.steps(1000, busy=True)
    assert computer.used[-1000:].count(1) > 950


def test_the_best_may_lie_in_between() -> None:
    computer = Computer(16, lambda threads: 0.02 / threads if threads <= 4 else 0.05)
    computer.steps(3000, busy=True)
    assert computer.count.chosen == 4


def test_when_the_others_have_ended_all_threads_are_taken_again() -> None:
    computer = Computer(4, lambda threads: 0.005 if threads == 1 else 0.3)
    computer.steps(100, busy=True)
    computer.seconds = lambda threads: 0.01 / threads
    computer.steps(100, busy=False)
    assert computer.count.chosen == 4


def test_one_thread_is_never_asked_to_be_another_number() -> None:
    computer = Computer(1, lambda threads: 1.0)
    computer.steps(50, busy=True)
    assert set(computer.used) == {1}
