"""The learning rate over a run: warmup, constant, linear decay to zero, even if the end of the run is moved."""

from __future__ import annotations

from collections.abc import Sequence


def progress_at(step: int, steps: int, rescheduled: Sequence[tuple[int, int]] = ()) -> float:
    """The share of the run that is done when step number `step` (from 0) begins: between 0 and 1.

    rescheduled: one (at, until) for every time the end was moved. At step `at` the run was rescheduled;
    before that it was to end after `until` steps. The share that was left then is spread evenly
    over the steps that are left now, so progress has no jump and always ends at 1.

    >>> [progress_at(step, 8) for step in (0, 4, 8)]
    [0.0, 0.5, 1.0]
    >>> [progress_at(step, 8, rescheduled=[(4, 16)]) for step in (0, 4, 6, 8)]
    [0.0, 0.25, 0.625, 1.0]
    """
    done, since = 0.0, 0
    for at, until in (*rescheduled, (step, steps)):
        done += (1.0 - done) * (min(at, step) - since) / max(1, until - since)
        since = min(at, step)
    return min(1.0, done)


def learning_rate_at(step: int, progress: float, *, warmup_steps: int, decay: float = 1.0) -> float:
    """The share of the learning rate that step number `step` (from 0) uses: between 0 and 1.

    It rises linearly over `warmup_steps`, stays constant, and over the last `decay` of the run
    falls linearly to zero. Decay to zero is what lowers the loss most at the end of a run
    (Bergsma et al. 2025, arXiv 2502.15938).

    >>> [learning_rate_at(s, s / 8, warmup_steps=2, decay=0.5) for s in (0, 1, 4, 6, 7)]
    [0.5, 1.0, 1.0, 0.5, 0.25]
    """
    climb = min(1.0, (step + 1) / max(1, warmup_steps))
    fall = min(1.0, (1.0 - progress) / decay) if decay else 1.0
    return min(climb, fall)
