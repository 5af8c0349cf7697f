"""A run in a few numbers, read from its folder. What is damaged or missing there is null here."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homespun.errors import CheckpointError, HomespunError
from homespun.planning.base_plan import BasePlan, in_order
from homespun.planning.plan import Plan
from homespun.planning.tuning_plan import TuningPlan
from homespun.studio.run_files import FILES, forecast_of_run, parsed
from homespun.studio.schema.runs import MetricsLine, PlanValue, ProgressLine, RunSummary, State
from homespun.studio.tail import MOST, last_lines

PLAN = "plan.toml"
RESUME = "resume"
WEIGHTS = ("model.safetensors", "adapter_model.safetensors")
WATCHED = (PLAN, *FILES.values(), "config.json", "forecast.json", *WEIGHTS, f"{RESUME}/holder.json")
RECENT = 90.0  # seconds: a run on another computer that wrote so recently goes on there


@dataclass(frozen=True)
class Seen:
    """What the last lines of progress.jsonl say. begun, ended: of the last process. stepped: the last step."""

    begun: ProgressLine | None = None
    stepped: ProgressLine | None = None
    ended: ProgressLine | None = None


def plan_of(folder: Path) -> BasePlan:
    """Of a training or a fine-tuning. Raises CheckpointError, UnknownSetting."""
    try:
        return Plan.load(folder / PLAN)
    except HomespunError as error:
        try:
            return TuningPlan.load(folder / PLAN)
        except HomespunError:
            raise error from None


def plan_values(plan: BasePlan) -> list[PlanValue]:
    """Every number of the plan, in the order of its file, with its help."""
    return [
        PlanValue(
            name=part.name,
            value=getattr(plan, part.name),
            help=part.metadata["help"],
            settable=part.metadata["settable"],
        )
        for part in in_order(type(plan))
    ]


def seen_in(folder: Path) -> Seen:
    begun = stepped = ended = None
    for line in parsed(last_lines(folder / FILES["progress"]), ProgressLine):
        if line.type == "begin":
            begun, ended = line, None
        elif line.type == "step":
            stepped = line
        elif line.type == "end":
            ended = line
    return Seen(begun, stepped, ended)


def metrics_of(folder: Path) -> list[MetricsLine]:
    """All evaluations of the run: a file of metrics is small."""
    return parsed(last_lines(folder / FILES["metrics"], 16 * MOST), MetricsLine)


def summary_of(folder: Path, run: str, *, since: float | None = None) -> RunSummary:
    """run: its name below the studio's folder. since: when a process was started that will go on with it."""
    try:
        plan = plan_of(folder)
    except HomespunError as error:
        state: State = "failed" if since is None else "preparing"
        problem = f"{PLAN} cannot be read: {error.what}" if since is None else None
        return RunSummary(run=run, name=folder.name, verb="train", state=state, problem=problem)
    seen, metrics = seen_in(folder), metrics_of(folder)
    state, process = state_of(folder, plan, seen, metrics)
    is_here = process is not None
    has_begun = since is None or (seen.begun is not None and seen.begun.time >= since)
    if state != "training" and not has_begun:
        state = "preparing"
    final = max(metrics, key=lambda line: (line.val_tokens, -(line.val_loss or 0.0)), default=None)
    last = metrics[-1] if metrics else None
    during = seen.stepped
    step = max([line.step or 0 for line in (during, last) if line is not None], default=None)
    best = min(
        (line for line in metrics if line.val_loss is not None),
        key=lambda line: line.val_loss or 0.0,
        default=None,
    )
    is_training = state == "training"
    has_points = any((folder / RESUME).glob("step-*/point.json"))
    forecast = forecast_of_run(folder)
    return RunSummary(
        run=run,
        name=folder.name,
        verb="finetune" if isinstance(plan, TuningPlan) else "train",
        state=state,
        problem=problem_of(seen, state),
        text=", ".join(map(last_name, plan.text)) or None,
        family=plan.model if isinstance(plan, Plan) else None,
        tuned_from=last_name(plan.base) if isinstance(plan, TuningPlan) else None,
        method=plan.method if isinstance(plan, TuningPlan) else None,
        parameters=parameters_of(folder, plan),
        context_length=plan.context_length,
        step=step,
        steps=during.steps if is_training and during and during.steps else plan.steps,
        minutes=plan.minutes or None,
        tokens=None if step is None else step * plan.tokens_per_step,
        train_loss=during.loss if during else (last.train_loss if last else None),
        loss=last.val_loss if last else None,
        best_loss=final.val_loss if final and state == "finished" else (best.val_loss if best else None),
        best_step=best.step if best else None,
        bits_per_char=(final or last).bits_per_char if final and last else None,
        seconds=max((line.seconds or 0.0 for line in (during, last) if line is not None), default=None),
        seconds_left=during.seconds_left if is_training and during else None,
        tokens_per_second=during.tokens_per_second if during else (last.tokens_per_second if last else None),
        expected_loss=forecast.loss if forecast and not plan.extended else None,
        process=process,
        can_stop=is_training and is_here,
        can_resume=state in ("stopped", "planned", "failed"),
        can_extend=state == "finished" and isinstance(plan, Plan) and has_points,
        has_model=any((folder / name).is_file() for name in WEIGHTS),
        changed=changed(folder),
    )


def state_of(folder: Path, plan: BasePlan, seen: Seen, metrics: list[MetricsLine]) -> tuple[State, int | None]:
    """The state, and the process that trains, where it is one of this computer."""
    from homespun.training.lock import holder_of

    holder = holder_of(folder)
    alive = holder.is_alive() if holder is not None else False
    if holder is not None and alive:
        return "training", holder.process
    if alive is None and time.time() - changed(folder) < RECENT:
        return "training", None
    if seen.ended is not None and seen.ended.how is not None:
        return seen.ended.how, None
    done = max((line.step for line in metrics), default=0)
    if seen.begun is None and done >= plan.steps:
        return "finished", None  # by an earlier version, which wrote no progress
    if done == 0 and not any((folder / RESUME).glob("step-*/point.json")):
        return "planned", None
    return "stopped", None  # it was killed


def problem_of(seen: Seen, state: State) -> str | None:
    if state in ("failed", "diverged"):
        return seen.ended.text if seen.ended else None
    if state == "stopped" and seen.begun is not None and seen.ended is None:
        return "The process ended without a word: it was killed, or the computer was switched off."
    return None


def parameters_of(folder: Path, plan: BasePlan) -> int | None:
    """Of the whole model; of an adapter those that are trained."""
    from homespun.checkpoint.folder import load_config

    try:
        return load_config(folder).number_of_parameters()
    except CheckpointError:
        return plan.trainable_parameters or None if isinstance(plan, TuningPlan) else None
    except HomespunError:
        return None


def shape_of(folder: Path) -> dict[str, Any] | None:
    """The config of the model in our names."""
    from homespun.checkpoint.folder import load_config

    try:
        return vars(load_config(folder))
    except HomespunError:
        return None


def changed(folder: Path) -> float:
    """When one of its files was written to last, seconds since 1970."""
    return max((found[0] / 1e9 for found in stamps(folder) if found is not None), default=0.0)


def stamps(folder: Path) -> tuple[tuple[int, int] | None, ...]:
    """Time and size of the files that a summary is made from: where they are the same, so is the summary."""
    return tuple(stamp(folder / name) for name in WATCHED)


def stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def last_name(text: str) -> str:
    """The last part of a path or an address.

    >>> last_name("/home/anna/letters/1987.txt"), last_name("shakespeare"), last_name("org/model")
    ('1987.txt', 'shakespeare', 'model')
    """
    return text.replace("\\", "/").rstrip("/").rpartition("/")[2] or text
