"""The models of the runs, for the endpoints of homespun serve.

Each is opened when it is first asked for, and again when training has written better weights. A run is named as
everywhere: runs/shakespeare. runs/shakespeare@int8 is the same model with its weights rounded, to be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from homespun.server.engines import Engines
from homespun.server.errors import ApiError
from homespun.server.models import Entry, Models
from homespun.server.served import Served
from homespun.studio.run_list import RunList
from homespun.studio.run_summary import WEIGHTS, stamp

if TYPE_CHECKING:
    from homespun.generation.engine import Engine
    from homespun.model.causal_lm import CausalLM

MOST_OPEN = 4  # models that are kept open
ROUNDED = ("bfloat16", "int8")  # kinds of weights that a name can ask for


def parted(name: str) -> tuple[str, str]:
    """The run that a name means, and the kind of weights.

    >>> parted("runs/book"), parted("runs/book@int8"), parted("runs/me@home")
    (('runs/book', 'float32'), ('runs/book', 'int8'), ('runs/me@home', 'float32'))
    """
    run, at, weights = name.rpartition("@")
    return (run, weights) if at and weights in ROUNDED else (name, "float32")


def model_itself(served: Served) -> CausalLM:
    """The model behind a name, for questions about its inside. Raises ApiError where its weights are rounded."""
    if served.engine.weights != "float32":
        run, weights = parted(served.id)
        raise ApiError(
            f"{served.id} is {run} with its weights in {weights}: it reads and writes, and no more.",
            f"Ask this of {run}.",
            param="run",
            code="rounded",
        )
    return served.engine.model


class RunModels(Models):
    """Models whose names are those of runs, which come and go."""

    def __init__(self, run_list: RunList, engines: Engines, settings: Mapping[str, Any]) -> None:
        super().__init__([], engines, settings)
        self.run_list = run_list
        self.stamps: dict[str, object] = {}
        self.rounded: WeakKeyDictionary[Engine, CausalLM] = WeakKeyDictionary()

    def describe(self) -> list[dict[str, Any]]:
        runs = [run.run for run in self.run_list.all({}).runs if run.has_model]
        return [self.entry(run).describe(run) for run in runs]

    def entry(self, name: str | None) -> Entry:
        """Raises ApiError for what is no run, or has no weights yet."""
        if name is None:
            raise ApiError(
                "No run was named.", 'Name it: "model": "runs/…", as /api/runs lists it.', param="model"
            )
        run, weights = parted(name)
        if weights != "float32" and self.run_list.has(name):
            run, weights = name, "float32"  # a folder of that name goes first
        folder = self.run_list.place(run)
        now = tuple(stamp(folder / file) for file in (*WEIGHTS, "config.json"))
        if not any(now[:-1]):
            raise ApiError(
                f"{run} has no model yet.",
                "It has one after its first evaluation.",
                status=409,
                param="model",
                code="no_model",
            )
        if self.stamps.get(name) != now:
            self.forget(name)
            self.stamps[name] = now
            self.by_name[name] = Entry(folder, [name], settings={"weights": weights})
            self.entries.append(self.by_name[name])
        return self.by_name[name]

    def as_it_writes(self, served: Served) -> CausalLM:
        """The model with its weights rounded where the engine rounds them. Raises ModelError for a bigram."""
        from homespun.generation.decoding import decoded

        engine = served.engine
        if engine.weights == "float32":
            return engine.model
        if engine not in self.rounded:
            # It is called as a model is, and has no more of one.
            self.rounded[engine] = cast("CausalLM", decoded(engine.model, engine.weights, wait=engine.wait))
        return self.rounded[engine]

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
