"""Runs: the list, one run, what it writes as it goes, a comparison."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Header, Query

from homespun.studio.jobs import lines_of as output_of
from homespun.studio.places import place_below
from homespun.studio.routes.streams import EVENTS, EventAnswer
from homespun.studio.run_details import comparison_of, details_of
from homespun.studio.run_files import lines_of
from homespun.studio.schema.runs import Comparison, Lines, Log, LogFile, RunDetails, RunEvent, Runs
from homespun.studio.schema.values import RunPath
from homespun.studio.state import State
from homespun.studio.tail import Position
from homespun.studio.watching import run_events as events_of

Offset = Annotated[int, Query(ge=0, description="Where to begin to read: bytes, as an answer before said.")]
Mark = Annotated[int, Query(ge=0, description="What an answer before said of what stands before the offset.")]


def routes(state: State) -> APIRouter:
    router = APIRouter(tags=["runs"])

    @router.get("/api/runs")
    async def runs() -> Runs:
        """All runs below the folder, whoever started them."""
        return await asyncio.to_thread(state.runs)

    @router.get("/api/run")
    async def run(run: Annotated[RunPath, Query()]) -> RunDetails:
        """A run in full: its own plan, its model card, what was expected of it."""
        return await asyncio.to_thread(details_of, state, run)

    @router.get("/api/run/lines")
    async def lines(run: Annotated[RunPath, Query()], file: LogFile, offset: Offset = 0, mark: Mark = 0) -> Lines:
        """What stands in a file of the run from an offset on: whole lines only."""
        return await asyncio.to_thread(lines_of, state.run_list.place(run), file, Position(offset, mark))

    @router.get("/api/run/events", status_code=200, response_class=EventAnswer, responses=EVENTS(RunEvent))
    async def run_events(
        run: Annotated[RunPath, Query()], last_event_id: Annotated[str | None, Header()] = None
    ) -> EventAnswer:
        """Everything that the run writes, as it is written: server-sent events. The folder may appear, vanish, be
        extended or be written anew."""
        folder = place_below(state.folder, run, "run")
        if last_event_id is None:
            state.run(run)  # which says that there is none; one that was there may come again
        return EventAnswer(events_of(folder, last_event_id, lambda: state.run_if_there(run), state.ended))

    @router.get("/api/run/log")
    async def log(run: Annotated[RunPath, Query()]) -> Log:
        """The last lines that the process of a run has printed, where the studio started it."""
        record = state.jobs.of_run(run)
        return Log(lines=[] if record is None else output_of(state.jobs.log(record)))

    @router.get("/api/compare")
    async def compare(run: Annotated[list[RunPath], Query(min_length=1, max_length=6)]) -> Comparison:
        """The evaluations of up to six runs, and what sets them apart."""
        return await asyncio.to_thread(comparison_of, state, run)

    return router
