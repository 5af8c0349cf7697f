"""The learning rate over a run: up, level, and down to nothing."""

from __future__ import annotations


def learning_rate_at(step: int, *, steps: int, warmup_steps: int, decay: float = 1.0) -> float:
    """The share of the learning rate that step number `step` (from 0) uses: between 0 and 1.

    It climbs in a straight line over `warmup_steps`, stays, and over the last `decay` of
    the run falls in a straight line to zero. Ending at zero is what makes the last part of a
    run worth the most (Bergsma et al. 2025, arXiv 2502.15938).

    >>> [learning_rate_at(s, steps=10, warmup_steps=2, decay=0.5) for s in (0, 1, 4, 6, 9)]
    [0.5, 1.0, 1.0, 0.8, 0.2]
    """
    climb = min(1.0, (step + 1) / max(1, warmup_steps))
    decaying = max(1.0, decay * steps)
    fall = min(1.0, (steps - step) / decaying)
    return min(climb, fall)
