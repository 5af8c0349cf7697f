"""Everything that writes, starts or stops something: all below /api/act/, all POST, all with a session."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import FileResponse

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
from homespun.studio.state import State, later

FileName = Annotated[str, Query(min_length=1, max_length=255, description="The file's own name.")]
BYTES = {
    "requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string"}}}}
}


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
        raise later()

    @router.post("/api/act/look")
    async def look(body: LookRequest) -> StudioJob:
        """Read a text as a training would, and examine it: a job."""
        raise later()

    @router.post("/api/act/plan")
    async def plan(body: PlanRequest) -> StudioJob:
        """Plan a training: a job of some seconds, in which the computer is measured."""
        raise later()

    @router.post("/api/act/train")
    async def train(body: TrainRequest) -> Started:
        """Start the training that was planned, as a process of its own, which the studio's end does not touch."""
        raise later()

    @router.post("/api/act/finetune")
    async def finetune(body: FinetuneRequest) -> Started:
        """Start a fine-tuning, as a process of its own."""
        raise later()

    @router.post("/api/act/stop")
    async def stop(body: RunRequest) -> Done:
        """Stop a training as Ctrl-C does: the run is saved, and can be resumed."""
        raise later()

    @router.post("/api/act/resume")
    async def resume(body: RunRequest) -> Started:
        """Carry on a run that was stopped, to the bit."""
        raise later()

    @router.post("/api/act/extend")
    async def extend(body: ExtendRequest) -> Started:
        """Carry a finished run on, with a new schedule behind the old one."""
        raise later()

    @router.post("/api/act/export")
    async def export(body: ExportRequest) -> StudioJob:
        """Write a model for other programs, compared with the original: a job."""
        raise later()

    @router.post("/api/act/cancel")
    async def cancel(body: JobRequest) -> Done:
        """End a job that looks, plans or exports. A training is stopped, which saves it."""
        raise later()

    @router.get("/api/jobs")
    async def jobs() -> Jobs:
        """What was started here, the newest first."""
        raise later()

    @router.get("/api/job")
    async def job(job: Annotated[JobId, Query()]) -> StudioJob:
        """A job, with what it has found."""
        raise later()

    @router.get("/api/events", status_code=200, response_class=EventAnswer, responses=EVENTS(StudioEvent))
    async def studio_events() -> EventAnswer:
        """The runs and the jobs, and what changes among them: server-sent events."""
        raise later()

    @router.get("/api/export", response_class=FileResponse)
    async def exported(job: Annotated[JobId, Query()], file: FileName) -> FileResponse:
        """A file that an export has written."""
        raise later()

    return router
