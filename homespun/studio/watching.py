"""Streams of events: what a run writes, and what changes in the folder. Files are asked; nothing is remembered.

The id of an event says how far each file was sent. A browser that comes back names the last one that it has got.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from pydantic import BaseModel

from homespun.server.events import comment
from homespun.studio.run_files import FILES, as_lines
from homespun.studio.run_summary import PLAN
from homespun.studio.schema.acts import StudioEvent, StudioJob
from homespun.studio.schema.runs import LogFile, RunEvent, Runs, RunSummary
from homespun.studio.tail import START, Position, read_tail

PAUSE = 0.4  # seconds between two looks at a run that trains, …
LONGER = 2.0  # … and at one that does not
BEAT = 15.0  # seconds of silence after which a stream says that it is alive
LETTERS: dict[LogFile, str] = {"progress": "p", "metrics": "m", "samples": "s"}
PLACE = re.compile(r"([pms])(\d{1,15})-(\d{1,10})")


def as_event(name: str, data: BaseModel, id: str | None = None) -> bytes:
    head = "" if id is None else f"id: {id}\n"
    return f"{head}event: {name}\ndata: {data.model_dump_json(exclude_none=False)}\n\n".encode()


def positions_of(id: str | None) -> dict[LogFile, Position]:
    """Where an id says that the files were: at their beginning, where it is none of ours.

    >>> positions_of("p120-77.m0-0")["progress"], positions_of("anything")["metrics"]
    (Position(offset=120, mark=77), Position(offset=0, mark=0))
    """
    found = {letter: Position(int(offset), int(mark)) for letter, offset, mark in PLACE.findall(id or "")}
    return {file: found.get(letter, START) for file, letter in LETTERS.items()}


def id_of(positions: dict[LogFile, Position]) -> str:
    return ".".join(f"{LETTERS[file]}{place.offset}-{place.mark}" for file, place in positions.items())


async def run_events(
    folder: Path, last_id: str | None, summary: Callable[[], RunSummary | None], ended: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """What the run in that folder has written behind `last_id`, and what it writes, until `ended`.

    The folder may vanish, and come again: then what it holds is sent anew.
    """
    positions, is_there = positions_of(last_id), last_id is not None or (folder / PLAN).is_file()
    shown: RunSummary | None = None
    looked = spoke = time.monotonic()
    while not ended():
        was_there, is_there = is_there, (folder / PLAN).is_file()
        if was_there and not is_there:
            yield as_event("gone", RunEvent())
            positions, shown = dict.fromkeys(FILES, START), None
        came = False
        for file in FILES if is_there else ():
            while True:
                tail = read_tail(folder / FILES[file], positions[file])
                positions[file] = tail.position
                if not tail.lines and not tail.reset:
                    break
                came = True
                yield as_event("lines", RunEvent(lines=as_lines(file, tail)), id_of(positions))
                if not tail.lines:
                    break
        if came or shown is None or time.monotonic() - looked > LONGER:
            looked = time.monotonic()
            now = await asyncio.to_thread(summary)
            is_known = now is not None and (is_there or now.state == "preparing")
            if now is not None and is_known and now != shown:
                shown, came = now, True
                yield as_event("state", RunEvent(summary=now), id_of(positions))
        if came:
            spoke = time.monotonic()
        elif time.monotonic() - spoke > BEAT:
            spoke = time.monotonic()
            yield comment("still here")
        is_going_on = shown is not None and shown.state in ("training", "preparing")
        await pause(PAUSE if is_going_on else LONGER, ended)


async def folder_events(
    runs: Callable[[], Runs], jobs: Callable[[], list[StudioJob]], ended: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """The list of runs, and every job, now and when they change."""
    shown: Runs | None = None
    known: dict[str, StudioJob] = {}
    spoke = time.monotonic()
    while not ended():
        now = await asyncio.to_thread(runs)
        if now != shown:
            shown, spoke = now, time.monotonic()
            yield as_event("runs", StudioEvent(runs=now.runs))
        for job in await asyncio.to_thread(jobs):
            if known.get(job.job) != job:
                known[job.job], spoke = job, time.monotonic()
                yield as_event("job", StudioEvent(job=job))
        if time.monotonic() - spoke > BEAT:
            spoke = time.monotonic()
            yield comment("still here")
        await pause(1.0, ended)


async def pause(seconds: float, ended: Callable[[], bool]) -> None:
    """Sleeps, but not past the end."""
    until = time.monotonic() + seconds
    while not ended() and (left := until - time.monotonic()) > 0:
        await asyncio.sleep(min(left, 0.2))
