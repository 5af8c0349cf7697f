"""Extend a run that has ended: the same model continues with a new schedule after the old one."""

from __future__ import annotations

import math
from pathlib import Path

from homespun.errors import CheckpointError, UsageError
from homespun.planning.base_plan import NOT_YET
from homespun.planning.plan import Plan
from homespun.planning.planner import WARMUP_STEPS, time_for_steps
from homespun.training.resume import Point, newest_point


def extended_plan(run: Path, plan: Plan, *, minutes: float | None, steps: int | None) -> Plan:
    """Return the plan of the run in that folder with `minutes` or `steps` more; UsageError if it has not ended.

    The learning rate warms up again and decays to zero at the new end. The plan keeps the earlier
    segments, so that it still replays the whole run.
    """
    found = newest_point(run, Plan)
    if found is None:
        raise CheckpointError(
            f"{run} has no resume point, so nobody knows what its optimizer was doing.",
            "Its resume folder is needed to carry it on. To train anew, choose another --out.",
        )
    point = found[0]
    if len(plan.extended) <= len(point.plan.extended):
        plan = point.plan
    if point.step < plan.steps:
        raise UsageError(
            f"{run} has not ended yet: {point.step:,} of {plan.steps:,} steps are done.",
            f"Let it come to its end first:  homespun train --out {run} --resume",
        )
    if plan.compile_from == NOT_YET and minutes is None:
        plan = plan.with_(compile_from=point.step)  # without a time limit, it is compiled before the next step
    more = steps if steps is not None else steps_in(minutes or 0.0, point, plan)
    return plan.with_(
        steps=plan.steps + more,
        extended=(*plan.extended, plan.steps),
        warmup_steps=plan.warmup_steps or min(WARMUP_STEPS, more // 10),
        # The minutes of a run count from its start, over all its segments.
        minutes=0.0 if minutes is None else point.seconds / 60 + minutes,
    )


def steps_in(minutes: float, point: Point[Plan], plan: Plan) -> int:
    """Steps that fit into that many minutes at the run's last throughput; they are rescheduled during the run."""
    if not 0 < minutes < math.inf:
        raise UsageError(f"--minutes {minutes:g} is no time to train in.", "Give minutes, such as --minutes 20.")
    tokens_per_second = point.records[-1].tokens_per_second if point.records else 0.0
    return max(1, int(time_for_steps(minutes) * tokens_per_second / plan.tokens_per_step))
