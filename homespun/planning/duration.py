"""How long to train: what the user may ask for, and how much of it is left for training steps."""

from __future__ import annotations

from homespun.errors import UsageError

MOST_MINUTES = 60 * 24 * 365
LEAST_SHARE = 0.2  # of the minutes, for training steps, however much the rest is expected to take


def check_duration(steps: int | None, minutes: float | None) -> None:
    """Raise UsageError, whose hint says what to give instead, if that is no time to train in."""
    if steps is not None and minutes is not None:
        raise UsageError("--steps and --minutes both say how long to train.", "Give one of them.")
    if minutes is not None and not 0 < minutes <= MOST_MINUTES:
        raise UsageError(f"--minutes {minutes:g} is no time to train in.", "Give minutes, such as --minutes 5.")
    if steps is not None and steps < 1:
        raise UsageError(f"--steps {steps} trains nothing.", "Give at least one step.")


def seconds_to_train(minutes: float, *, share_aside: float, seconds_aside: float) -> float:
    """Seconds of a run of `minutes` that are left for training steps.

    share_aside, seconds_aside: of the time, for evaluations and samples, for start and end.

    >>> seconds_to_train(1.0, share_aside=0.1, seconds_aside=4.0)
    50.0
    """
    return max(LEAST_SHARE * 60 * minutes, (1 - share_aside) * 60 * minutes - seconds_aside)
