"""The models of the runs, for the endpoints of homespun serve.

Each is opened when it is first asked for, and again when training has written better weights. A run is named as
everywhere: runs/shakespeare.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homespun.server.engines import Engines
from homespun.server.errors import ApiError
from homespun.server.models import Entry, Models
from homespun.server.served import Served
from homespun.studio.run_list import RunList
from homespun.studio.run_summary import WEIGHTS, stamp

MOST_OPEN = 4  # models that are kept open


class RunModels(Models):
    """Models whose names are those of runs, which come and go."""

    def __init__(self, run_list: RunList, engines: Engines, settings: Mapping[str, Any]) -> None:
        super().__init__([], engines, settings)
        self.run_list = run_list
        self.stamps: dict[str, object] = {}

    def describe(self) -> list[dict[str, Any]]:
        runs = [run.run for run in self.run_list.all({}).runs if run.has_model]
        return [self.entry(run).describe(run) for run in runs]

    def entry(self, name: str | None) -> Entry:
        """Raises ApiError for what is no run, or has no weights yet."""
        if name is None:
            raise ApiError(
                "No run was named.", 'Name it: "model": "runs/…", as /api/runs lists it.', param="model"
            )
        folder = self.run_list.place(name)
        now = tuple(stamp(folder / file) for file in (*WEIGHTS, "config.json"))
        if not any(now[:-1]):
            raise ApiError(
                f"{name} has no model yet.",
                "It has one after its first evaluation.",
                status=409,
                param="model",
                code="no_model",
            )
        if self.stamps.get(name) != now:
            self.forget(name)
            self.stamps[name] = now
            self.by_name[name] = Entry(folder, [name])
            self.entries.append(self.by_name[name])
        return self.by_name[name]

    def forget(self, name: str) -> None:
        if (entry := self.by_name.pop(name, None)) is not None:
            self.entries.remove(entry)

    async def get(self, name: str | None) -> Served:
        served = await super().get(name)
        opened = sorted((entry for entry in self.entries if entry.views), key=lambda entry: entry.used)
        for entry in opened[:-MOST_OPEN]:
            if not self.engines.is_writing(entry.views[0].engine):
                entry.views = []
        return served
