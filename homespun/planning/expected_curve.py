"""The expected loss over the course of a run, before the run: what its curve is compared with while it goes on.

The law of the expected loss (`expectation`) is about a run that ends: its learning rate has fallen to
zero. In the middle of a run the learning rate is still high, and the loss is above what a run that ends there
would reach. In two runs (1 and 3 minutes on tiny Shakespeare, 517 and 727 steps, Muon) it was 5 to 8% above after
a fifth of the steps, 3 to 6% after half of them, 0 to 2% after three quarters, and not in the first steps, in
which the model learns how often each token occurs. So the excess is taken to be proportional to the learning rate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from homespun.planning.expectation import Expectation, expectation
from homespun.planning.facts import Facts
from homespun.planning.first_steps import share_of_the_law, steps_as_with_muon
from homespun.planning.plan import Plan

EXCESS = 0.08  # share of the loss at the full learning rate; the two runs above leave 1.5% (standard deviation)
POINTS = 48


@dataclass(frozen=True)
class ExpectedPoint:
    """The expected loss after `step` steps of the run, and how many tokens these are."""

    step: int
    tokens: int
    expected: Expectation


def expected_curve(plan: Plan, facts: Facts) -> tuple[ExpectedPoint, ...]:
    """Points from step 0 to the end of the plan, denser at its beginning; none where no loss can be expected.

    The last point is the forecast of the plan. A pure function.
    """
    config = plan.config(facts.vocab_size)
    uniform = facts.uniform_loss  # of a model that was not trained
    points = [ExpectedPoint(0, 0, Expectation(uniform, uniform, uniform))]
    shares = [0.0]
    for step in steps_of_curve(plan.steps)[1:]:
        expected = expectation(plan.with_(steps=step, rescheduled=(), extended=()), config, facts)
        if expected is None or not config.n_layer:
            return ()
        steps = steps_as_with_muon(step, plan.optimizer)
        shares.append(share_of_the_law(steps, plan.tokens_per_step, config.number_of_parameters()))
        rate = plan.learning_rate_share(step) if step < plan.steps else 0.0
        points.append(
            ExpectedPoint(step, step * plan.tokens_per_step, raised(expected, 1 + EXCESS * rate * shares[-1]))
        )
    return tuple(never_below_what_follows(points, shares))


def never_below_what_follows(points: list[ExpectedPoint], shares: list[float]) -> list[ExpectedPoint]:
    """Before the law alone counts, a loss is not below later ones: only overfitting raises it.

    What holds for the first steps knows nothing of the size of a step, and expects too much of small ones.
    """
    found = [points[-1]]
    for point, share in zip(points[-2::-1], shares[-2::-1], strict=True):
        least = found[-1].expected.loss
        if share < 1 and point.expected.loss < least:
            point = replace(point, expected=raised(point.expected, least / point.expected.loss))
        found.append(point)
    return found[::-1]


def raised(expected: Expectation, factor: float) -> Expectation:
    return replace(expected, loss=expected.loss * factor, low=expected.low * factor, high=expected.high * factor)


def steps_of_curve(steps: int) -> list[int]:
    """From 0 to `steps`: most of them early, where the loss falls fast.

    >>> steps_of_curve(1), steps_of_curve(4), steps_of_curve(1000)[:8], len(steps_of_curve(10**6))
    ([0, 1], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 6, 9, 12], 52)
    """
    last = POINTS - 1
    return sorted({round(steps * (point / last) ** 2.5) for point in range(POINTS)} | {0, *range(min(5, steps))})
