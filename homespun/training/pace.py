"""The pace of a run: how long a step takes, how many fit into the time, how long it still is to the end."""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from homespun.training.plan import Plan
from homespun.training.planner import MOST_EVALUATIONS, evaluation_interval, most_steps

TIMED_FROM = 3  # the first steps warm up caches and allocators
TIMED_UNTIL = 15  # well within the warmup, which does not depend on how many steps there will be
KEPT_BACK = 2.0  # seconds for the sample, the curve and the folder at the end
STEADY = 0.96  # share of the time that is planned for: machines slow down more often than they speed up


class Pace:
    """Measures while the run goes on. Where the plan has minutes and no steps, it settles the steps."""

    def __init__(self, started: float, train_tokens: int, val_tokens: int) -> None:
        """started: time.monotonic() when the command began; its minutes count from there."""
        self.started = started
        self.train_tokens = train_tokens
        self.val_tokens = val_tokens
        self.last = started
        self.step_seconds: deque[float] = deque(maxlen=50)
        self.evaluation_seconds = 0.0

    def training_starts(self) -> None:
        self.last = time.monotonic()

    def step_done(self, plan: Plan, step: int) -> Plan:
        """To be called after every step; returns the plan, with its number of steps as soon as that is known."""
        now = time.monotonic()
        if step > TIMED_FROM:
            self.step_seconds.append(now - self.last)
        self.last = now
        if plan.steps == 0 and (step >= TIMED_UNTIL or self.seconds() > plan.minutes * 30):
            settled = plan.with_(steps=self.steps_that_fit(plan, step))
            return settled.with_(evaluate_every=self.interval(settled))
        return plan

    def steps_that_fit(self, plan: Plan, step: int) -> int:
        """All steps of the run, those that are done included, so that it ends in time with its evaluations."""
        left = STEADY * (plan.minutes * 60 - self.seconds() - KEPT_BACK)
        evaluations, steps = MOST_EVALUATIONS, step
        for _ in range(3):  # fewer evaluations leave room for more steps, which may change the evaluations
            fitting = step + int((left - evaluations * self.evaluation_seconds) / self.one_step())
            steps = max(step, min(fitting, most_steps(plan, self.train_tokens)))
            evaluations = math.ceil(steps / self.interval(plan.with_(steps=steps)))
        return steps

    def interval(self, plan: Plan) -> int:
        return plan.evaluate_every or evaluation_interval(plan, self.val_tokens)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Time inside is not counted as training."""
        began = time.monotonic()
        yield
        self.evaluation_seconds = time.monotonic() - began
        self.last = time.monotonic()

    def one_step(self) -> float:
        """Seconds: the median of the last steps, or of what there is."""
        return (
            statistics.median(self.step_seconds) if self.step_seconds else max(1e-6, time.monotonic() - self.last)
        )

    def seconds(self) -> float:
        return time.monotonic() - self.started

    def tokens_per_second(self, plan: Plan) -> float:
        """Of training alone; 0 before it is known."""
        return plan.tokens_a_step / self.one_step() if self.step_seconds else 0.0

    def seconds_left(self, plan: Plan, step: int) -> float | None:
        if not plan.steps or not self.step_seconds:
            return None
        every = plan.evaluate_every or plan.steps
        evaluations = math.ceil(plan.steps / every) - step // every
        return (plan.steps - step) * self.one_step() + evaluations * self.evaluation_seconds
