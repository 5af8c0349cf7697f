"""The number of threads with which a step is fastest, found by timing steps during the work.

Only for computations whose result is the same to the bit with any number of threads. Next to other programs, fewer
threads are faster: the threads of a step wait for each other, and so for the one whose core another program uses.
10.7 M parameters, two cores, one sequence, tokens per second with one and with two threads: 433 and 638 alone, 189
and 162 next to three busy programs. Which of the two is faster cannot be predicted, nor how long that lasts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TRIAL = 0.05  # seconds of steps with another number of threads, …
FEWEST = 4  # … and at least this many steps: next to other programs single steps vary a lot
HOPELESS = 3.0  # times the expected time: the trial is stopped
GAIN = 0.05  # share of the time that another number of threads has to save
BETWEEN = 5.0  # seconds between two trials, …
BETWEEN_BUSY = 1.0  # … while other programs are busy, …
SHARE = 0.05  # … and longer, so that trials cost at most this share of the time
LATELY = 1 / 16  # weight of a step in the running mean


class ThreadCount:
    """Chooses the number of threads among `most`, its half, and so on down to one.

        with count.timed(busy) as threads:
            step(threads)

    clock: returns seconds. It starts with `most` threads; trials cycle through the other numbers, downwards.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self.numbers = [most]
        while self.numbers[-1] > 1:
            self.numbers.append(self.numbers[-1] // 2)
        self.clock = clock
        self.chosen = most
        self.mean = 0.0  # running mean of the seconds of a step with the chosen number
        self.steps = 0  # since it was chosen
        self.tried = most
        self.trial: list[float] | None = None  # seconds of the steps of the current trial
        self.next_trial = clock() + BETWEEN
        self.was_busy = False

    @contextmanager
    def timed(self, busy: bool) -> Iterator[int]:
        """A context around one step, to be computed with so many threads. busy: other programs use the cores."""
        self.begin(busy)
        began = self.clock()
        yield self.chosen if self.trial is None else self.tried
        self.took(self.clock() - began, busy)

    def begin(self, busy: bool) -> None:
        """Start a trial if one is due: immediately when other programs become busy or idle."""
        if busy != self.was_busy:
            self.was_busy, self.next_trial = busy, self.clock()
        due = self.trial is None and len(self.numbers) > 1 and self.clock() >= self.next_trial
        if due and self.steps >= FEWEST:
            others = [number for number in self.numbers if number != self.chosen]
            self.tried = next((number for number in others if number < self.tried), others[0])
            self.trial = []

    def took(self, seconds: float, busy: bool) -> None:
        if self.trial is None:
            weight = max(LATELY, 1 / (self.steps + 1))
            self.mean += weight * (seconds - self.mean)
            self.steps += 1
            return
        self.trial.append(seconds)
        total, expected = sum(self.trial), self.mean * len(self.trial)
        hopeless = total > HOPELESS * max(expected, self.mean * FEWEST)
        if hopeless or (len(self.trial) >= FEWEST and total >= TRIAL):
            self.conclude(total, len(self.trial), busy)

    def conclude(self, total: float, steps: int, busy: bool) -> None:
        lost = total - self.mean * steps
        pause = BETWEEN_BUSY if busy else BETWEEN
        if total / steps < (1 - GAIN) * self.mean:
            self.chosen, self.mean, self.steps = self.tried, total / steps, steps
        self.next_trial = self.clock() + max(pause, lost / SHARE)
        self.trial = None
