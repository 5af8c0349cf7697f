"""Jobs: processes that were started here, each with a record and its output in the cache.

A training is a job that the studio only starts: its record lets another studio over the same folder find it again.
What looks, plans or exports works for the studio, one after the other, and ends with it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from homespun.errors import HomespunError
from homespun.fetch.cache import cache_folder
from homespun.machine.atomic import write_json
from homespun.server.errors import ApiError
from homespun.studio.processes import COLUMNS, Launcher, Started, end, is_alive
from homespun.studio.reports import without_uploads
from homespun.studio.schema.acts import Kind, StudioJob
from homespun.studio.tail import last_lines

TRAININGS = ("train", "finetune")
MOST_KEPT = 200  # records
LOG_BYTES = 2**15  # of the output, that are shown
POLL = 0.1  # seconds
PATIENCE = 1.0  # seconds from being asked to end until it is ended
INTERRUPTED = 130  # the exit code of a training that was stopped


class CommandFailed(HomespunError):
    """What a command of homespun that the studio started ended with: its own message, which was told there."""


@dataclass
class Record:
    """What is kept of a job. request: what the page asked for. result: what it found, by field of the answer."""

    job: str
    kind: Kind
    state: str = "waiting"
    run: str | None = None
    begun: float = field(default_factory=time.time)
    ended: float | None = None
    problem: str | None = None
    number: int = 0
    process_began: float | None = None
    request: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def process(self) -> Started:
        return Started(self.number, self.process_began)

    @property
    def is_over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")


class Jobs:
    """The jobs of one folder. All but `start_training` belongs to asyncio's thread."""

    def __init__(self, folder: Path, launcher: Launcher) -> None:
        name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
        self.folder = folder
        self.launcher = launcher
        self.place = cache_folder("studio", name)
        self.records = self.kept()
        self.turn = asyncio.Lock()
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.answers: dict[str, StudioJob] = {}  # of jobs that are over

    # ---- records ----

    def kept(self) -> dict[str, Record]:
        """Those of an earlier studio. What it worked on itself has ended with it."""
        names = {part.name for part in fields(Record)}
        found = {}
        for path in sorted(self.place.glob("*.json"), key=lambda path: path.stat().st_mtime)[-MOST_KEPT:]:
            try:
                said = json.loads(path.read_text(encoding="utf-8"))
                record = Record(**{name: value for name, value in said.items() if name in names})
            except (OSError, ValueError, TypeError):
                continue  # of another version, or damaged: nothing depends on it
            if record.kind not in TRAININGS and not record.is_over:
                record.state, record.problem = "failed", "The studio ended before this did."
            found[record.job] = record
        return found

    def save(self, record: Record) -> None:
        write_json(self.place / f"{record.job}.json", asdict(record))

    def log(self, record: Record) -> Path:
        return self.place / f"{record.job}.log"

    def output(self, record: Record) -> Path:
        return self.place / f"{record.job}.out"

    def get(self, job: str) -> Record:
        """Raises ApiError."""
        if job not in self.records:
            raise ApiError(f"There is no job {job}.", status=404, param="job", code="job_not_found")
        return self.records[job]

    def answer(self, record: Record) -> StudioJob:
        """As the page gets it; a training is looked after first."""
        if (known := self.answers.get(record.job)) is not None:
            return known
        self.look_after(record)
        names = ("job", "kind", "state", "run", "begun", "ended", "problem")
        said: dict[str, Any] = {name: getattr(record, name) for name in names}
        said |= {**record.result, "lines": lines_of(self.log(record))}
        answer = StudioJob.model_validate(without_uploads(said, cache_folder("studio", "uploads")))
        if record.is_over and record.ended is not None:
            self.answers[record.job] = answer  # nothing of it changes any more
        return answer

    def all(self) -> list[StudioJob]:
        newest = sorted(self.records.values(), key=lambda record: -record.begun)[:50]
        return [self.answer(record) for record in newest]

    # ---- trainings ----

    def start_training(self, kind: Kind, arguments: Sequence[str], run: str, request: dict[str, Any]) -> Record:
        """Starts a training as a process that outlives the studio."""
        record = Record(os.urandom(8).hex(), kind, state="running", run=run, request=request)
        log = self.log(record)
        self.begin(record, arguments, output=log, errors=log)
        return record

    def begin(self, record: Record, arguments: Sequence[str], *, output: Path, errors: Path) -> None:
        try:
            process = self.launcher.start(arguments, folder=self.folder, output=output, errors=errors)
        except OSError as error:
            raise ApiError(
                f"The process cannot be started: {error.strerror}.", status=500, kind="server_error"
            ) from error
        record.number, record.process_began, record.state = process.number, process.began, "running"
        self.records[record.job] = record
        self.save(record)

    def look_after(self, record: Record) -> None:
        """Notices that a training has ended, also one that another studio has started."""
        if record.kind not in TRAININGS or record.state != "running" or self.is_going_on(record):
            return
        code = self.launcher.code_of(record.number)
        problem = problem_in(self.log(record))
        failed = problem is not None if code is None else code not in (0, INTERRUPTED)
        record.state, record.ended = ("failed" if failed else "done"), time.time()
        record.problem = (problem or f"The process ended with code {code}.") if failed else None
        self.save(record)

    def is_going_on(self, record: Record) -> bool:
        return self.launcher.code_of(record.number) is None and is_alive(record.process)

    def preparing(self) -> dict[str, Record]:
        """Runs that a process of a job here will go on with, or does."""
        alive = [record for record in self.records.values() if record.kind in TRAININGS and not record.is_over]
        return {record.run: record for record in alive if record.run is not None and self.is_going_on(record)}

    def of_run(self, run: str) -> Record | None:
        """The last process that was started for a run here."""
        own = [record for record in self.records.values() if record.run == run and record.kind in TRAININGS]
        return max(own, key=lambda record: record.begun, default=None)

    # ---- what works for the studio ----

    def start(
        self,
        kind: Kind,
        commands: Sequence[Sequence[str]],
        finish: Callable[[list[Any]], dict[str, Any]],
        *,
        run: str | None = None,
        request: dict[str, Any] | None = None,
    ) -> Record:
        """Runs the commands, and keeps what `finish` makes of the JSON that they print.

        What a command has failed with is there as a CommandFailed.
        """
        record = Record(os.urandom(8).hex(), kind, run=run, request=request or {})
        self.records[record.job] = record
        self.save(record)
        task = asyncio.ensure_future(self.work(record, commands, finish))
        self.tasks[record.job] = task
        task.add_done_callback(lambda done: self.tasks.pop(record.job, None))
        return record

    async def work(
        self, record: Record, commands: Sequence[Sequence[str]], finish: Callable[[list[Any]], dict[str, Any]]
    ) -> None:
        try:
            async with self.turn:
                found = [await self.result_of(record, arguments) for arguments in commands]
            record.result = await asyncio.to_thread(finish, found)
            record.state = "done"
        except HomespunError as error:
            record.state, record.problem = "failed", str(error)
        except asyncio.CancelledError:
            record.state = "cancelled"
            await asyncio.shield(self.end(record))
        except Exception as error:  # noqa: BLE001  told to whoever waits for the job
            record.state, record.problem = "failed", f"The studio made a mistake: {type(error).__name__}: {error}"
        record.ended = time.time()
        self.save(record)

    async def result_of(self, record: Record, arguments: Sequence[str]) -> Any:
        """The JSON that a command prints, or a CommandFailed, which is returned and not raised."""
        output = self.output(record)
        output.unlink(missing_ok=True)
        self.begin(record, arguments, output=output, errors=self.log(record))
        while (code := self.launcher.code_of(record.number)) is None:
            await asyncio.sleep(POLL)
        try:
            if code == 0:
                return json.loads(output.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            return CommandFailed(f"What homespun {arguments[0]} printed cannot be read: {error}")
        return CommandFailed(problem_in(self.log(record)) or f"The process ended with code {code}.")

    async def end(self, record: Record) -> None:
        """Ends the process of a job, and waits for that."""
        if not record.number:
            return
        end(record.process)
        until = time.monotonic() + PATIENCE
        while self.is_going_on(record) and time.monotonic() < until:
            await asyncio.sleep(POLL / 2)
        end(record.process, at_once=True)
        self.launcher.code_of(record.number)

    async def cancel(self, record: Record) -> None:
        if (task := self.tasks.get(record.job)) is not None:
            task.cancel()
            await asyncio.wait({task})

    async def close(self) -> None:
        """Ends what works for the studio; trainings go on."""
        for task in (tasks := list(self.tasks.values())):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def lines_of(log: Path) -> list[str]:
    return [line.decode("utf-8", "replace") for line in last_lines(log, LOG_BYTES)][-400:]


def problem_in(log: Path) -> str | None:
    """What a command has said of its failure: what is wrong, and on the lines behind it what to do.

    The lines from the last one on that begins with "error:".
    """
    lines = lines_of(log)
    begin = max((number for number, line in enumerate(lines) if line.startswith("error: ")), default=None)
    if begin is None:
        return None
    return "\n".join(unfolded(lines[begin:], COLUMNS)).removeprefix("error: ")


def unfolded(lines: Sequence[str], width: int) -> list[str]:
    """Lines as they were before they were folded between words; commands keep their indent, and a line each.

    >>> unfolded(["error: Nothing is in", "the file.", "  Give another one:", "  homespun train TEXT"], 21)
    ['error: Nothing is in the file.', 'Give another one:', '  homespun train TEXT']
    """
    found: list[str] = []
    last = ""
    for line in lines:
        is_command = line.lstrip().startswith(("homespun ", "pip ", "HOMESPUN_"))
        word = line.split(maxsplit=1)[:1]
        if last and word and not is_command and len(last) + 1 + len(word[0]) > width:
            found[-1] += f" {line.strip()}"
        else:
            found.append(f"  {line.strip()}" if is_command else line.strip())
        last = "" if is_command else line
    return found
