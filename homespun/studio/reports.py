"""What commands have printed as JSON, as the page gets it."""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import Any

from homespun.errors import HomespunError
from homespun.planning.plan import Plan
from homespun.studio.run_files import as_forecast
from homespun.studio.run_summary import plan_values
from homespun.studio.schema.acts import ExportReport, OtherSize, PlanReport
from homespun.studio.schema.runs import PlanValue
from homespun.studio.schema.texts import ExaminationReport, TextReport


def plan_report(said: dict[str, Any], *, lines: list[str], next_name: str, disturbed: str | None) -> PlanReport:
    """Of `homespun plan --json`. lines: what it has said meanwhile."""
    smaller, larger = (said[name] and OtherSize(**said[name]) for name in ("smaller", "larger"))
    return PlanReport(
        title=said["text"],
        train_tokens=said["train_tokens"],
        val_tokens=said["val_tokens"],
        vocab_size=said["vocab_size"],
        parameters=said["parameters"],
        plan=values_of(said["plan"]),
        forecast=as_forecast(said["forecast"]),
        memory=said["planned_memory"],
        memory_free=said["memory_free"],
        smaller=smaller,
        larger=larger,
        why=why(said, lines),
        notes=said["notes"],
        findings=said["findings"],
        next_name=next_name,
        disturbed=disturbed,
    )


def values_of(plan: dict[str, Any]) -> list[PlanValue]:
    """The numbers of a plan that was printed, with their help."""
    tuples = {name: tuple(map(as_tuple, value)) for name, value in plan.items() if isinstance(value, list)}
    return plan_values(Plan(**{**plan, **tuples}))


def as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def why(said: dict[str, Any], lines: list[str]) -> list[str]:
    """What was decided and why, a sentence each."""
    plan = said["plan"]
    found = [f"T{line[1:].rstrip('.')}." for line in lines if line.startswith("tokenizer ")]
    beside = [
        f"{article} model ({said[name]['parameters'] / 1e6:.1f} million parameters) is expected to end at "
        f"{said[name]['loss']:.2f}"
        for name, article in (("smaller", "a smaller"), ("larger", "a larger"))
        if said[name]
    ]
    if beside:
        found.append(f"The size has the lowest expected loss: in the same time, {' and '.join(beside)}.")
    epochs = said["epochs"]
    if epochs < 0.95:
        found.append(f"There is time for {epochs:.0%} of the text.")
    else:
        found.append(f"The model is trained on the text for {epochs:.1f} epochs.")
    if plan["dropout"]:
        found.append(f"Dropout of {plan['dropout']:g} delays overfitting: the text is short for the time.")
    if plan["compile"]:
        found.append("The step is compiled: the run is long enough to gain by it.")
    if plan["micro_batches"] > 1:
        found.append(f"Each step is computed in {plan['micro_batches']} micro-batches, to fit into memory.")
    return found


def text_report(shown: Any, examined: Any) -> TextReport:
    """Of `homespun data show --json` and `homespun data doctor --json`, each of which may have failed."""
    problem = None
    examination = None
    if isinstance(shown, HomespunError):
        problem, shown = str(shown), None
    elif shown.get("problem"):
        problem = f"{shown['problem']['what']}\n{shown['problem']['todo']}"
    if isinstance(examined, HomespunError):
        problem = problem or str(examined)
    else:
        examination = ExaminationReport.model_validate(examined)
    return TextReport(shown=shown, examination=examination, problem=problem)


def without_uploads(value: Any, folder: Path) -> Any:
    """The same, with uploaded files named as the page knows them, and not by where they lie in that folder.

    >>> without_uploads({"title": "/cache/up/0123456789abcdef/a.txt"}, Path("/cache/up"))
    {'title': 'a.txt'}
    """
    if isinstance(value, str):
        name = rf"{re.escape(str(folder))}[\\/][0-9a-f]{{16}}"
        return re.sub(name, "your files", re.sub(rf"{name}[\\/]", "", value))
    if isinstance(value, dict):
        return {key: without_uploads(one, folder) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_uploads(one, folder) for one in value]
    return value


def export_report(said: dict[str, Any], folder: Path) -> ExportReport:
    """Of `homespun export --json`. folder: that of the studio, which the place is named from."""
    names = {name: said[name] for name in ExportReport.model_fields if name in said}
    out = PurePath(said["out"])
    shown = out.relative_to(folder).as_posix() if out.is_relative_to(folder) else out.as_posix()
    files = [PurePath(file).name for file in said["files"]]
    return ExportReport(**{**names, "out": shown, "files": files})
