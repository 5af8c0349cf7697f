"""The clock of a run: how long a step takes, how many still fit into the time, how long until the end."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from homespun.planning.base_plan import BasePlan, C
from homespun.planning.evaluations import evaluations_to_come

TIMED_FROM = 3  # the first steps warm up caches and allocators
REMEMBERED = 200  # steps whose mean is the step time: the speed of a machine changes, and changes back

# The run is rescheduled when its end would be off by this share of the steps that are left, …
TOLERANCE = 0.02
# … and by at least this share of all steps: …
TOLERANCE_AT_THE_END = 0.005
# … not before this many steps are timed, and then at most once per this share of the whole time.
TIMED_BEFORE_RESCHEDULING = 20
SHARE_BETWEEN = 0.02

KEPT_BACK = 1.5  # seconds for the curve, the model card and the folder at the end

SHARE_OF_SAMPLES = 0.02  # of the time, for samples from the model during the run
BETWEEN_SAMPLES = 15.0  # seconds: nobody reads samples more often


class RunClock:
    """Times a run while it goes on. If the plan has minutes, it changes the number of steps to end on time.

    started         time.monotonic() when the command began; its minutes count from there
    final_evaluations   time of the final evaluation, in units of one evaluation during the run
    final_samples number of samples that are generated at the end
    most_steps      limit on steps that the text is long enough for, however much time there is
    """

    def __init__(
        self,
        started: float,
        *,
        final_evaluations: float = 1.0,
        final_samples: int = 1,
        most_steps: float = math.inf,
    ) -> None:
        self.started = started
        self.final_samples = final_samples
        self.final_evaluations = final_evaluations
        self.most_steps = most_steps
        self.step_seconds: deque[float] = deque(maxlen=REMEMBERED)
        self.evaluation_seconds = 0.0
        self.sample_seconds = self.all_samples_seconds = 0.0
        self.sampled = started
        self.timed = 0  # steps
        self.began = self.last = started
        self.end_checked = -math.inf
        self.stepping = 0.0  # seconds in steps, since training began
        self.foreseen = 0.0  # seconds in evaluations, which are planned for, and in what happens only once

    def training_starts(self) -> None:
        self.began = self.last = time.monotonic()
        self.stepping = self.foreseen = 0.0

    def step_starts(self) -> None:
        self.last = time.monotonic()

    def step_done(self, plan: C, step: int) -> C:
        """Call after every step; returns the plan, with another number of steps if the run is rescheduled."""
        now = time.monotonic()
        self.stepping += now - self.last
        self.timed += 1
        if self.timed > TIMED_FROM:
            self.step_seconds.append(now - self.last)
        if not plan.minutes or step >= plan.steps or not self.rescheduling_is_due(plan, now):
            return plan
        self.end_checked = now
        steps = self.steps_that_fit(plan, step)
        if abs(steps - plan.steps) <= max(TOLERANCE * (plan.steps - step), TOLERANCE_AT_THE_END * plan.steps):
            return plan
        return plan.with_(steps=steps, rescheduled=(*plan.rescheduled, (step, plan.steps)))

    def speed_changed(self) -> None:
        """Discard the measured step times, because steps take a different time from here on."""
        self.step_seconds.clear()
        self.timed = 0
        self.end_checked = -math.inf

    @contextmanager
    def interruption(self) -> Iterator[None]:
        """A context for what happens only once, such as compiling; its time does not count as overhead."""
        began = time.monotonic()
        yield
        self.foreseen += time.monotonic() - began

    def rescheduling_is_due(self, plan: BasePlan, now: float) -> bool:
        """Whether to check the end now. At once if time is up: a run may end before twenty steps are timed."""
        total = plan.minutes * 60
        if now - self.started > total - self.closing():
            return True
        return self.timed >= TIMED_BEFORE_RESCHEDULING and now - self.end_checked > SHARE_BETWEEN * total

    def steps_that_fit(self, plan: BasePlan, step: int) -> int:
        """Total steps of the run, including those done, with which it ends on time with its evaluations."""
        fitting = int(self.left(plan, step) * (1.0 - self.share_aside()) / self.one_step())
        return step + max(1, int(min(fitting, self.most_steps - step)))

    def left(self, plan: BasePlan, step: int) -> float:
        """Seconds that are left for steps; infinite if the plan has no minutes."""
        if not plan.minutes:
            return math.inf
        evaluations = evaluations_to_come(plan, step) * self.evaluation_seconds
        return plan.minutes * 60 - self.seconds() - self.closing() - evaluations

    def closing(self) -> float:
        """Seconds needed after the last step: the final evaluation, samples, and writing the folder."""
        return (
            self.final_evaluations * self.evaluation_seconds + self.final_samples * self.sample_seconds + KEPT_BACK
        )

    def share_aside(self) -> float:
        """Share of the time since training began in neither steps nor evaluations: resume points, samples."""
        passed = time.monotonic() - self.began - self.foreseen
        return max(0.0, 1.0 - self.stepping / passed) if passed > 0 and self.stepping else 0.0

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.evaluation_seconds = time.monotonic() - began
        self.foreseen += self.evaluation_seconds

    @contextmanager
    def sampling(self) -> Iterator[None]:
        self.sampled = time.monotonic()
        yield
        self.sample_seconds = time.monotonic() - self.sampled
        self.all_samples_seconds += self.sample_seconds

    def affords_a_sample(self) -> bool:
        if time.monotonic() - self.sampled < BETWEEN_SAMPLES:
            return False
        return self.all_samples_seconds + self.sample_seconds <= SHARE_OF_SAMPLES * self.seconds()

    def one_step(self) -> float:
        """Seconds of one step: the mean of the last steps, or of all so far."""
        if self.step_seconds:
            return math.fsum(self.step_seconds) / len(self.step_seconds)
        return max(1e-6, self.stepping / max(1, self.timed))

    def seconds(self) -> float:
        return time.monotonic() - self.started

    def tokens_per_second(self, plan: BasePlan) -> float:
        """Throughput of training alone; 0 before it is known."""
        return plan.tokens_per_step / self.one_step() if self.step_seconds else 0.0

    def seconds_left(self, plan: BasePlan, step: int) -> float | None:
        if not self.step_seconds:
            return None
        evaluations = evaluations_to_come(plan, step) * self.evaluation_seconds
        return (
            (plan.steps - step) * self.one_step() / (1.0 - self.share_aside() + 1e-9)
            + evaluations
            + self.closing()
        )
