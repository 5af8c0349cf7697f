"""All that the studio's routes need."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field
from pathlib import Path

from homespun.server.answering import Server
from homespun.server.errors import ApiError
from homespun.studio.jobs import Jobs
from homespun.studio.models import RunModels
from homespun.studio.processes import Launcher
from homespun.studio.run_list import RunList
from homespun.studio.schema.runs import Runs, RunSummary
from homespun.studio.uploads import MOST_BYTES, Uploads


@dataclass
class State:
    """
    folder     the one that the studio shows; nothing outside of it is read or written, but the cache
    static     the built page
    server     of the models, as homespun serve has it
    token      that opens a session; cookie: its secret, which is another one
    models     those of the runs: the server's
    stopping   processes that were asked to stop, and when they began: a second SIGINT would not let them save
    starting   held while a training is started, so that two requests do not start two
    """

    folder: Path
    static: Path
    server: Server
    launcher: Launcher = field(default_factory=Launcher)
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    most_bytes: int = MOST_BYTES
    models: RunModels = field(init=False)
    stopping: set[tuple[int, float | None]] = field(default_factory=set)
    starting: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.folder = self.folder.resolve()
        self.run_list = RunList(self.folder)
        self.jobs = Jobs(self.folder, self.launcher)
        self.uploads = Uploads(self.most_bytes)

    def ended(self) -> bool:
        """Whether streams shall end: the studio is being stopped."""
        return self.server.is_stopping

    def runs(self) -> Runs:
        return self.run_list.all({run: record.begun for run, record in self.jobs.preparing().items()})

    def run(self, run: str) -> RunSummary:
        """Raises ApiError. A run that is being prepared has no folder yet, perhaps."""
        record = self.jobs.preparing().get(run)
        if record is not None and not (self.folder / run / "plan.toml").is_file():
            return RunSummary(run=run, name=Path(run).name, verb="train", state="preparing")
        return self.run_list.one(run, None if record is None else record.begun)

    def run_if_there(self, run: str) -> RunSummary | None:
        try:
            return self.run(run)
        except ApiError:
            return None

    async def close(self) -> None:
        """Ends what works for the studio; trainings go on."""
        await self.jobs.close()
        self.launcher.close()
