"""The files of a run as the page gets them: their lines, checked; the forecast."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from homespun.studio.schema.runs import (
    CurvePoint,
    ForecastReport,
    Lines,
    LogFile,
    MetricsLine,
    ProgressLine,
    SampleLine,
)
from homespun.studio.tail import Position, Tail, read_tail

FILES: dict[LogFile, str] = {"progress": "progress.jsonl", "metrics": "metrics.jsonl", "samples": "samples.jsonl"}
MODELS: dict[LogFile, type[BaseModel]] = {"progress": ProgressLine, "metrics": MetricsLine, "samples": SampleLine}
FORECAST = "forecast.json"
LARGEST_FORECAST = 2**20  # bytes

M = TypeVar("M", bound=BaseModel)


def parsed(lines: Iterable[bytes], model: type[M]) -> list[M]:
    """Lines of JSON as that model; what is no such line (a file that somebody has changed) is left out."""
    found = []
    for line in lines:
        try:
            found.append(model.model_validate(json.loads(line)))
        except (ValueError, ValidationError, RecursionError):
            continue
    return found


def lines_of(folder: Path, file: LogFile, position: Position) -> Lines:
    """What stands in a file of a run behind a position."""
    return as_lines(file, read_tail(folder / FILES[file], position))


def as_lines(file: LogFile, tail: Tail) -> Lines:
    said: dict[str, Any] = {file: parsed(tail.lines, MODELS[file])}
    return Lines(file=file, offset=tail.position.offset, mark=tail.position.mark, reset=tail.reset, **said)


def forecast_of_run(folder: Path) -> ForecastReport | None:
    """What was expected of the run; None where it has not written it."""
    path = folder / FORECAST
    try:
        if path.stat().st_size > LARGEST_FORECAST:
            return None
        return as_forecast(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return None


def as_forecast(said: Any) -> ForecastReport:
    """forecast.json, or the same in `homespun plan --json`. Raises ValueError where it is something else."""
    try:
        loss = said["loss"] or {"loss": None, "low": None, "high": None}
        return ForecastReport(
            loss=loss["loss"],
            low=loss["low"],
            high=loss["high"],
            curve=[CurvePoint(**point) for point in said["curve"]],
            ngrams=said["ngram_losses"],
            uniform=said["uniform_loss"],
            seconds=said["seconds"],
            memory=said["memory"],
            epochs=said["epochs"],
        )
    except (LookupError, TypeError, ValidationError) as error:
        raise ValueError(f"this is no forecast: {error}") from error
