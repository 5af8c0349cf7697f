"""Everything that writes, starts or stops something: all below /api/act/, all POST, all with a session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse

from homespun.server.errors import ApiError
from homespun.studio import acting
from homespun.studio.jobs import TRAININGS
from homespun.studio.routes.streams import EVENTS, EventAnswer
from homespun.studio.schema.acts import (
    ExportRequest,
    ExtendRequest,
    FinetuneRequest,
    JobId,
    JobRequest,
    Jobs,
    LookRequest,
    PlanRequest,
    RunRequest,
    Started,
    StudioEvent,
    StudioJob,
    TrainRequest,
)
from homespun.studio.schema.texts import Uploaded
from homespun.studio.schema.values import Done
from homespun.studio.state import State
from homespun.studio.watching import folder_events

FileName = Annotated[str, Query(min_length=1, max_length=255, description="The file's own name.")]
IDLE = 60.0  # seconds
BYTES = {
    "requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string"}}}}
}


async def blocks(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes. Raises ApiError where nothing comes for long, or the client leaves."""
    stream = request.stream()
    while True:
        try:
            yield await asyncio.wait_for(anext(stream), IDLE)
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError:
            raise ApiError(f"Nothing came for {IDLE:g} s.", "Send the file again.", status=408) from None
        except ClientDisconnect:
            raise ApiError("The client left.", status=400) from None


def routes(state: State) -> APIRouter:
    router = APIRouter(tags=["acts"])

    @router.post("/api/act/upload", openapi_extra=BYTES)
    async def upload(
        request: Request,
        name: FileName,
        folder: Annotated[str, Query(max_length=1000, description="Its folder, in an upload of a folder.")] = "",
        upload: Annotated[str | None, Query(pattern="^[0-9a-f]{16}$")] = None,
    ) -> Uploaded:
        """Take a file into the cache, as a text to train on: the body is the file itself. upload: add it to that
        upload."""
        return await state.uploads.take(name, folder, upload, blocks(request))

    @router.post("/api/act/look")
    async def look(body: LookRequest) -> StudioJob:
        """Read a text as a training would, and examine it: a job."""
        return state.jobs.answer(acting.look(state, body))

    @router.post("/api/act/plan")
    async def plan(body: PlanRequest) -> StudioJob:
        """Plan a training: a job of some seconds, in which the computer is measured."""
        beside = await asyncio.to_thread(acting.is_disturbed, state)
        return state.jobs.answer(acting.plan(state, body, beside_training=beside))

    @router.post("/api/act/train")
    async def train(body: TrainRequest) -> Started:
        """Start the training that was planned, as a process of its own, which the studio's end does not touch."""
        return await asyncio.to_thread(acting.train, state, body)

    @router.post("/api/act/finetune")
    async def finetune(body: FinetuneRequest) -> Started:
        """Start a fine-tuning, as a process of its own."""
        return await asyncio.to_thread(acting.finetune, state, body)

    @router.post("/api/act/stop")
    async def stop(body: RunRequest) -> Done:
        """Stop a training as Ctrl-C does: the run is saved, and can be resumed."""
        acting.stop(state, body.run)
        return Done()

    @router.post("/api/act/resume")
    async def resume(body: RunRequest) -> Started:
        """Carry on a run that was stopped, to the bit."""
        return await asyncio.to_thread(acting.resume, state, body.run)

    @router.post("/api/act/extend")
    async def extend(body: ExtendRequest) -> Started:
        """Carry a finished run on, with a new schedule behind the old one."""
        return await asyncio.to_thread(acting.extend, state, body)

    @router.post("/api/act/export")
    async def export(body: ExportRequest) -> StudioJob:
        """Write a model for other programs, compared with the original: a job."""
        return state.jobs.answer(acting.export(state, body))

    @router.post("/api/act/cancel")
    async def cancel(body: JobRequest) -> Done:
        """End a job that looks, plans or exports. A training is stopped, which saves it."""
        record = state.jobs.get(body.job)
        if record.kind in TRAININGS:
            acting.stop(state, record.run or "")
        else:
            await state.jobs.cancel(record)
        return Done()

    @router.get("/api/jobs")
    async def jobs() -> Jobs:
        """What was started here, the newest first."""
        return Jobs(jobs=await asyncio.to_thread(state.jobs.all))

    @router.get("/api/job")
    async def job(job: Annotated[JobId, Query()]) -> StudioJob:
        """A job, with what it has found."""
        return state.jobs.answer(state.jobs.get(job))

    @router.get("/api/events", status_code=200, response_class=EventAnswer, responses=EVENTS(StudioEvent))
    async def studio_events() -> EventAnswer:
        """The runs and the jobs, and what changes among them: server-sent events."""
        return EventAnswer(folder_events(state.runs, state.jobs.all, state.ended))

    @router.get("/api/export", response_class=FileResponse)
    async def exported(job: Annotated[JobId, Query()], file: FileName) -> FileResponse:
        """A file that an export has written."""
        return FileResponse(acting.exported_file(state, job, file), filename=file)

    return router
