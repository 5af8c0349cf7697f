"""What is done for the page: a command line for each, and what has to hold before it is started."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

from homespun.errors import HomespunError
from homespun.machine.activity import needs_quiet
from homespun.server.errors import ApiError
from homespun.studio import command_lines
from homespun.studio.jobs import Record, lines_of
from homespun.studio.places import existing_below, name_below, place_below
from homespun.studio.processes import Started, interrupt
from homespun.studio.reports import export_report, plan_report, text_report
from homespun.studio.run_summary import plan_of
from homespun.studio.schema.acts import (
    ExportRequest,
    ExtendRequest,
    FinetuneRequest,
    LookRequest,
    PlanRequest,
    TrainRequest,
)
from homespun.studio.schema.acts import Started as StartedAnswer
from homespun.studio.schema.texts import NamedText, PathText, TextChoice, UploadText
from homespun.studio.state import State
from homespun.training.lock import holder_of

DISTURBED = (
    "A training is going on, and this computer was measured beside it: the plan takes it for slower than it is. "
    "Plan again when the training has ended."
)


def text_of(state: State, text: TextChoice) -> str:
    """As a command line names it: a path in full, or the name of a corpus. Raises ApiError."""
    if isinstance(text, PathText):
        place = existing_below(state.folder, text.path)
        if not (place.is_file() or place.is_dir()):
            raise ApiError(f"{text.path[:200]!r} is neither a file nor a folder.", param="path")
        return str(place)
    if isinstance(text, UploadText):
        return str(state.uploads.place(text.upload))
    from homespun.text.named import named_corpora

    assert isinstance(text, NamedText)
    names = [corpus.name for corpus in named_corpora()]
    if text.name not in names:
        raise ApiError(
            f"There is no corpus {text.name!r}.", f"There are: {', '.join(names)}.", param="name", status=404
        )
    return text.name


def name_of(state: State, text: TextChoice) -> str:
    """What a run on that text may be called. Raises ApiError."""
    return state.uploads.name(text.upload) if isinstance(text, UploadText) else Path(text_of(state, text)).stem


def look(state: State, body: LookRequest) -> Record:
    text = text_of(state, body.text)
    commands = [command_lines.show(body, text, body.answers), command_lines.doctor(body, text)]

    def finish(found: list[Any]) -> dict[str, Any]:
        return {"look": text_report(*found).model_dump()}

    return state.jobs.start("look", commands, finish, request=body.model_dump())


def plan(state: State, body: PlanRequest, *, beside_training: bool) -> Record:
    """beside_training: one goes on now."""
    text = text_of(state, body.text)
    disturbed = DISTURBED if beside_training else None

    def finish(found: list[Any]) -> dict[str, Any]:
        (said,) = found
        if isinstance(said, HomespunError):
            raise said
        report = plan_report(
            said,
            lines=lines_of(state.jobs.log(record)),
            next_name=free_name(state.folder, name_of(state, body.text)),
            disturbed=disturbed or (DISTURBED if is_training(state) else None),
        )
        return {"plan": report.model_dump()}

    record = state.jobs.start("plan", [command_lines.plan(body, text)], finish, request=body.model_dump())
    return record


def train(state: State, body: TrainRequest) -> StartedAnswer:
    planned = state.jobs.get(body.plan)
    if planned.kind != "plan" or "plan" not in planned.result:
        raise ApiError("That job is no plan, or not a whole one.", "Plan the training first.", param="plan")
    asked = PlanRequest.model_validate(planned.request)
    text = text_of(state, asked.text)
    shown = {value["name"]: value["value"] for value in planned.result["plan"]["plan"]}
    out = folder_for(state, body.name, planned.result["plan"]["next_name"])
    return started(state, "train", command_lines.train(asked, text, shown, out), out, planned.request)


def finetune(state: State, body: FinetuneRequest) -> StartedAnswer:
    text, model = text_of(state, body.text), model_of(state, body.run)
    out = folder_for(state, body.name, free_name(state.folder, f"{model.name}-{name_of(state, body.text)}"))
    return started(state, "finetune", command_lines.finetune(body, text, model, out), out, body.model_dump())


def resume(state: State, run: str) -> StartedAnswer:
    folder, summary = state.run_list.place(run), state.run(run)
    if not summary.can_resume:
        raise ApiError(
            f"{run} is {summary.state}: there is nothing to resume.", status=409, code="state", param="run"
        )
    return started(state, summary.verb, command_lines.resume(summary.verb, folder), folder, {})


def extend(state: State, body: ExtendRequest) -> StartedAnswer:
    folder, summary = state.run_list.place(body.run), state.run(body.run)
    if not summary.can_extend:
        raise ApiError(
            f"{body.run} is {summary.state}: it cannot be extended.",
            "A training that has come to its end can, while its resume points are there.",
            status=409,
            code="state",
            param="run",
        )
    return started(state, "train", command_lines.extend(body, folder), folder, body.model_dump())


def started(state: State, kind: Any, arguments: list[str], folder: Path, request: dict[str, Any]) -> StartedAnswer:
    """One training at a time: two would take each other's processor, and end later than either says."""
    run = name_below(state.folder, folder)
    if run is None:
        raise ApiError(f"{folder} cannot be named.", param="run")
    with state.starting:
        check_free(state)
        record = state.jobs.start_training(kind, arguments, run, request)
    return StartedAnswer(run=run, job=record.job)


def check_free(state: State) -> None:
    busy = [run.run for run in state.runs().runs if run.state in ("training", "preparing")]
    if busy:
        raise ApiError(
            f"{busy[0]} is being trained.",
            "Stop it, or wait for its end: a second training would take its processor.",
            status=409,
            code="busy",
        )


def stop(state: State, run: str) -> None:
    """As Ctrl-C, once, to the process that trains there and to no other one. Raises ApiError."""
    preparing = state.jobs.preparing().get(run)
    folder = place_below(state.folder, run, "run")
    holder = holder_of(folder)
    alive = holder.is_alive() if holder is not None else False
    if alive is None and holder is not None:
        raise ApiError(
            f"{run} is trained on another computer, {holder.computer}.",
            "Stop it there: Ctrl-C, or another studio.",
            status=409,
            code="elsewhere",
        )
    process = Started(holder.process, holder.began) if alive and holder is not None else None
    process = process or (preparing.process if preparing is not None else None)
    if process is None:
        state.run_list.place(run)
        raise ApiError(f"{run} is not being trained.", status=409, code="state", param="run")
    if (process.number, process.began) in state.stopping:
        return  # it saves itself: a second Ctrl-C would not let it
    if not interrupt(process):
        raise ApiError(f"The process of {run} cannot be reached.", "It may have ended just now.", status=409)
    state.stopping.add((process.number, process.began))


def export(state: State, body: ExportRequest) -> Record:
    model = model_of(state, body.run)
    suffix = {"gguf": f"-{body.quantize or 'f16'}.gguf", "page": ".html", "merged": ""}[body.to]
    out = place_below(state.folder, f"exports/{model.name}{suffix}")

    def finish(found: list[Any]) -> dict[str, Any]:
        (said,) = found
        if isinstance(said, HomespunError):
            raise said
        return {"export": export_report(said, state.folder).model_dump()}

    arguments = command_lines.export(body, model, out)
    return state.jobs.start("export", [arguments], finish, run=body.run, request=body.model_dump())


def exported_file(state: State, job: str, name: str) -> Path:
    """A file that an export has written. Raises ApiError."""
    report = state.jobs.get(job).result.get("export")
    if report is None or name not in report["files"]:
        raise ApiError(f"That export has no file {name[:200]!r}.", status=404, code="not_found", param="file")
    place = existing_below(state.folder, report["out"])
    found = place / name if place.is_dir() else place.with_name(name)
    if not found.is_file():
        raise ApiError(f"{found.name} is not there any more.", "Export it again.", status=404, code="not_found")
    return found


def model_of(state: State, run: str) -> Path:
    """The folder of a run that has weights. Raises ApiError."""
    folder, summary = state.run_list.place(run), state.run(run)
    if not summary.has_model:
        raise ApiError(
            f"{run} has no model yet.", "It has one after its first evaluation.", status=409, code="no_model"
        )
    return folder


def is_training(state: State) -> bool:
    """Whether a training of this folder goes on. Reads the runs: not for asyncio's thread."""
    return any(run.state in ("training", "preparing") for run in state.runs().runs)


def is_disturbed(state: State) -> bool:
    """Whether a measurement of this computer would be: also by a training of another folder."""
    return is_training(state) or needs_quiet()


def folder_for(state: State, name: str | None, otherwise: str) -> Path:
    """A new folder in runs/. Raises ApiError where there is something of that name."""
    run = f"runs/{(name or otherwise).strip(' .')}"
    place = place_below(state.folder, run, "name")
    if place.exists() or run in state.jobs.preparing():
        raise ApiError(
            f"There is {run!r} already.", "Nothing is written over: choose another name.", status=409, param="name"
        )
    try:
        plan_of(place.parent)
    except HomespunError:
        return place
    raise ApiError(f"{place.parent} is a run itself.", "Start the studio in another folder.", status=409)


def free_name(folder: Path, name: str) -> str:
    """name, or name-2, … as `homespun train` calls its folders."""
    clean = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:50] or "run"
    names = itertools.chain([clean], (f"{clean}-{number}" for number in itertools.count(2)))
    return next(one for one in names if not (folder / "runs" / one).exists())
