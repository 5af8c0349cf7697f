"""What a run folder records about its training: the plan and the metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from homespun.api.portrait import Training
from homespun.errors import CheckpointError, HomespunError

if TYPE_CHECKING:
    from homespun.planning.base_plan import BasePlan
    from homespun.training.watcher import Record

LARGEST_METRICS = 2**26  # bytes


def training_of(folder: Path) -> Training | None:
    """The contents of plan.toml and metrics.jsonl; None if the folder is not a run of homespun."""
    if not (folder / "plan.toml").is_file():
        return None
    try:
        plan = plan_of(folder / "plan.toml")
    except HomespunError as error:
        return Training((), 0.0, 0, {}, missing=f"{folder / 'plan.toml'}: {error.what}")
    try:
        records = records_of(folder / "metrics.jsonl")
    except CheckpointError as error:
        return training_from(plan, [], error.what)
    return training_from(plan, records, "" if records else f"{folder / 'metrics.jsonl'} is not there.")


def plan_of(path: Path) -> BasePlan:
    """The plan of a training or of a fine-tuning. Raises CheckpointError, UnknownSetting."""
    from homespun.planning.plan import Plan
    from homespun.planning.tuning_plan import TuningPlan

    try:
        return Plan.load(path)
    except HomespunError as error:
        try:
            return TuningPlan.load(path)
        except HomespunError:
            raise error from None


def training_from(plan: BasePlan, records: list[Record], missing: str) -> Training:
    best = min(records, key=lambda record: (-record.val_tokens, record.val_loss), default=None)
    return Training(
        text=plan.text,
        minutes=plan.minutes,
        steps=plan.steps,
        plan=vars(plan),
        loss=None if best is None else best.val_loss,
        bits_per_char=None if best is None else best.bits_per_char,
        bits_per_byte=None if best is None else best.bits_per_byte,
        seconds=max((record.seconds for record in records), default=None),
        tokens=max((record.tokens for record in records), default=None),
        curve=tuple((record.tokens, record.train_loss, record.val_loss) for record in records),
        missing=missing,
    )


def records_of(path: Path) -> list[Record]:
    """The records of metrics.jsonl; none if the file does not exist. CheckpointError if a line is no record."""
    if not path.is_file():
        return []
    if path.stat().st_size > LARGEST_METRICS:
        raise CheckpointError(f"{path} is larger than any such file.", "It is needed by nobody: delete it.")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [record_of(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def record_of(path: Path, number: int, line: str) -> Record:
    from homespun.training.watcher import Record

    try:
        said = json.loads(line)
        values = {part.name: said[part.name] for part in fields(Record)} if isinstance(said, Mapping) else {}
    except (ValueError, KeyError, RecursionError):
        values = {}
    numbers = [value for name, value in values.items() if name != "train_loss" or value is not None]
    if not values or not all(isinstance(value, (int, float)) and abs(value) < 1e18 for value in numbers):
        raise CheckpointError(
            f"{path}, line {number}: this is no record of a run.", "Nothing else needs that file."
        )
    return Record(**values)
