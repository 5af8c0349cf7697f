"""All models of a server, by the names that clients call them; each is loaded when it is first asked for.

One that was loaded stays, until another needs its memory: then the one that was used least recently goes.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from homespun.errors import CheckpointError
from homespun.server.engines import Engines
from homespun.server.errors import ApiError
from homespun.server.limited import settling
from homespun.server.served import Served, serve

log = logging.getLogger("homespun.serve")
T = TypeVar("T")
MEMORY_OF_WEIGHTS = 2.5  # times the size of its file: the weights, and the engine's own order of them


@dataclass(eq=False)
class Entry:
    """A model that is there, loaded or not.

    place     a folder, a .gguf file, a hub id, or the name of a known model
    names     what clients may call it; the first is its own
    adapters  names and folders of its adapters
    settings  of its own, before those that all models have
    """

    place: str | Path
    names: list[str]
    adapters: Mapping[str, Path] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    created: int = field(default_factory=lambda: int(time.time()))
    views: list[Served] = field(default_factory=list)
    loading: asyncio.Task[None] | None = None
    used: float = 0.0

    def all_names(self) -> list[str]:
        return [*self.names, *self.adapters]

    def view(self, name: str | None) -> Served:
        """What a client means by that name: an adapter, or the model itself."""
        return next((view for view in self.views if view.id == name), self.views[0])

    def describe(self, name: str) -> dict[str, Any]:
        """As an entry of /v1/models."""
        meta = self.view(name).describe() if self.views else {"loaded": False}
        return {"id": name, "object": "model", "created": self.created, "owned_by": "homespun", "meta": meta}


class Models:
    """
    entries   in the order in which they are listed
    settings  of Engine, device and weights: see `served.serve`
    """

    def __init__(self, entries: Sequence[Entry], engines: Engines, settings: Mapping[str, Any]) -> None:
        self.entries = list(entries)
        self.engines = engines
        self.settings = dict(settings)
        self.by_name = {name: entry for entry in entries for name in entry.all_names()}

    @property
    def loaded(self) -> list[Served]:
        return [served for entry in self.entries for served in entry.views]

    def describe(self) -> list[dict[str, Any]]:
        return [entry.describe(name) for entry in self.entries for name in entry.all_names()]

    def entry(self, name: str | None) -> Entry:
        """Raises ApiError model_not_found."""
        if name is None:
            return self.entries[0]
        if name not in self.by_name:
            names = list(self.by_name)
            shown = ", ".join(names[:20]) + (f" and {len(names) - 20:,} more" if len(names) > 20 else "")
            raise ApiError(
                f"There is no model {name[:200]!r}.",
                f"There are: {shown}. homespun serve --name gives a model another name.",
                status=404,
                param="model",
                code="model_not_found",
            )
        return self.by_name[name]

    async def get(self, name: str | None) -> Served:
        """The model, loaded. Raises ApiError, CheckpointError and its kin."""
        entry = self.entry(name)
        entry.used = time.monotonic()
        if not entry.views:
            if entry.loading is None or entry.loading.done():
                entry.loading = asyncio.ensure_future(self.load(entry))
            await asyncio.shield(entry.loading)  # others may wait for it, too
        return entry.view(name)

    async def load(self, entry: Entry) -> None:
        await self.make_room(entry)
        started = time.monotonic()
        options = {**self.settings, **entry.settings}
        entry.views = await in_thread(
            lambda: serve(entry.place, entry.names[0], options=options, adapters=entry.adapters)
        )
        log.info("loaded %s in %.1f s", entry.names[0], time.monotonic() - started)

    async def make_room(self, entry: Entry) -> None:
        """Lets go of those that were used least recently, and that write nothing now, until there is room."""
        from homespun.machine.device import choose_device, memory_free

        needed = size_of(entry.place) * MEMORY_OF_WEIGHTS
        device = choose_device(self.settings.get("device", "auto"))
        idle = [
            other
            for other in self.entries
            if other.views and other is not entry and not self.engines.is_writing(other.views[0].engine)
        ]
        for other in sorted(idle, key=lambda other: other.used):
            if memory_free(device) >= needed:
                return
            log.info("let go of %s, for %s", other.names[0], entry.names[0])
            other.views = []


async def in_thread(function: Callable[[], T]) -> T:
    """What it returns or raises, from a thread that does not keep the process from ending."""
    result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    threading.Thread(target=settling(result, function), name="homespun-loading", daemon=True).start()
    return await result


def size_of(place: str | Path) -> int:
    """Bytes of the weights on disk; 0 where that is not known yet."""
    path = Path(place)
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.glob("*.safetensors")) if path.is_dir() else 0


def entries_of(model: str, names: Sequence[str], adapters: Mapping[str, Path]) -> list[Entry]:
    """The model that is meant, or all models of a folder. Raises CheckpointError where there is none."""
    from homespun.checkpoint.adapter import is_adapter
    from homespun.interop.find import find_model

    folder = Path(model).expanduser()
    if folder.is_dir() and not (folder / "config.json").exists() and not is_adapter(folder):
        inside = sorted(path for path in folder.iterdir() if is_model(path))
        if not inside:
            raise CheckpointError(
                f"{folder} is no model, and has none in it.",
                "Name the folder that training wrote, or one that has such folders in it.",
            )
        if names or adapters:
            raise CheckpointError(
                f"{folder} has {len(inside)} models in it; --name and --adapter are for one.",
                f"Name it:  homespun serve {inside[0]} …",
            )
        return [Entry(path, [path.stem if path.is_file() else path.name]) for path in inside]
    place = find_model(model)
    if not place.exists():
        from homespun.checkpoint.place import model_folder

        model_folder(place)  # which says what is wrong
    own = model.rsplit("/", 1)[-1] if not folder.exists() else (folder.stem if folder.is_file() else folder.name)
    return [Entry(place, list(dict.fromkeys([*names, own or folder.resolve().name])), adapters)]


def is_model(path: Path) -> bool:
    from homespun.checkpoint.adapter import is_adapter

    if path.is_file():
        return path.suffix.lower() == ".gguf"
    return not path.name.startswith(".") and ((path / "config.json").is_file() or is_adapter(path))
