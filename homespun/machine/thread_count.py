"""The number of threads with which a step is fastest, found by timing while the work goes on.

Only for what computes the same to the bit with any number of threads. Beside other programs fewer threads are
faster: the threads of a step wait for each other, and so for the one whose core another program has. 10.7 M
parameters, two cores, one sequence, tokens a second with one and with two threads: 433 and 638 alone, 189 and 162
beside three busy programs (which of the two it is cannot be known beforehand, nor how long it stays so).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TRIAL = 0.05  # seconds of steps with another number, …
FEWEST = 4  # … and steps, at least: single ones are a matter of luck beside other programs
HOPELESS = 3.0  # times as long as it should take: a trial is broken off
GAIN = 0.05  # share of the time that another number has to save
BETWEEN = 5.0  # seconds between two trials, …
BETWEEN_BUSY = 1.0  # … while other programs are busy, …
SHARE = 0.05  # … and more, so that what trials cost is at most this share of the time
LATELY = 1 / 16  # weight of a step in the mean


class ThreadCount:
    """From `most` threads by halves down to one.

        with count.timed(busy) as threads:
            step(threads)

    clock: seconds. Begins with the most; the others are tried in turn, the next ones down first.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self.numbers = [most]
        while self.numbers[-1] > 1:
            self.numbers.append(self.numbers[-1] // 2)
        self.clock = clock
        self.chosen = most
        self.mean = 0.0  # seconds of a step with the chosen number, lately
        self.steps = 0  # since it was chosen
        self.tried = most
        self.trial: list[float] | None = None  # seconds of the steps of the trial that is going on
        self.next_trial = clock() + BETWEEN
        self.was_busy = False

    @contextmanager
    def timed(self, busy: bool) -> Iterator[int]:
        """Around a step, to be taken with so many threads. busy: whether other programs want the cores."""
        self.begin(busy)
        began = self.clock()
        yield self.chosen if self.trial is None else self.tried
        self.took(self.clock() - began, busy)

    def begin(self, busy: bool) -> None:
        """Starts a trial where one is due: at once when other programs have begun or ended."""
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
