"""A run that has ended is carried on: the same model, and a new schedule after the old one."""

from __future__ import annotations

import math
from pathlib import Path

from homespun.errors import CheckpointError, UsageError
from homespun.planning.base_plan import NOT_YET
from homespun.planning.plan import Plan
from homespun.planning.planner import WARMUP_STEPS, seconds_to_train
from homespun.training.resume import Point, newest_point


def extended_plan(run: Path, plan: Plan, *, minutes: float | None, steps: int | None) -> Plan:
    """The plan of the run in that folder with `minutes` or `steps` more; UsageError where it has not ended yet.

    The learning rate climbs again and falls to nothing at the new end. What has been is kept in the
    plan, so that it still replays the whole run.
    """
    found = newest_point(run)
    if found is None:
        raise CheckpointError(
            f"{run} has no resume point, so nobody knows what its optimizer was doing.",
            "Its resume folder is needed to carry it on. To train anew, choose another --out.",
        )
    point = found[0]
    assert isinstance(point.plan, Plan)
    if len(plan.extended) <= len(point.plan.extended):
        plan = point.plan
    if point.step < plan.steps:
        raise UsageError(
            f"{run} has not ended yet: {point.step:,} of {plan.steps:,} steps are done.",
            f"Let it come to its end first:  homespun train --out {run} --resume",
        )
    if plan.compile_from == NOT_YET and minutes is None:
        plan = plan.with_(compile_from=point.step)  # where no clock counts, it is compiled before the next step
    more = steps if steps is not None else steps_in(minutes or 0.0, point, plan)
    return plan.with_(
        steps=plan.steps + more,
        extended=(*plan.extended, plan.steps),
        warmup_steps=plan.warmup_steps or min(WARMUP_STEPS, more // 10),
        # The minutes of a run count from its beginning, whenever it was carried on.
        minutes=0.0 if minutes is None else point.seconds / 60 + minutes,
    )


def steps_in(minutes: float, point: Point, plan: Plan) -> int:
    """Steps that fit into so many minutes at the pace that the run had; it is timed again on the way."""
    if not 0 < minutes < math.inf:
        raise UsageError(f"--minutes {minutes:g} is no time to train in.", "Give minutes, such as --minutes 20.")
    tokens_per_second = point.records[-1].tokens_per_second if point.records else 0.0
    return max(1, int(seconds_to_train(minutes) * tokens_per_second / plan.tokens_per_step))
