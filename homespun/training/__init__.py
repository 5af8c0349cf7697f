"""Training: a plan is made, and carried out, and a run folder is what remains.

`planner` decides, `plan` is what it decided (`course` is what it shares with other plans), `loop` is
the training itself, `run` fills the folder. `muon`, `optimizer`, `schedule` and `compiled` are what the
loop is made of; `watcher` is how a terminal or a notebook looks on.

What the planner goes by: `facts` about text and machine (`calibrate` measures it), `cost` says what
a step takes, `expectation` what loss comes of it, `search` weighs the shapes, `forecast` sums it up.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homespun.training.facts import Facts
    from homespun.training.forecast import Forecast, forecast_of
    from homespun.training.plan import Plan, parse_settings, settable
    from homespun.training.planner import Wishes, decide
    from homespun.training.run import Run
    from homespun.training.search import SIZES, Size
    from homespun.training.watcher import Progress, Record, Result, Watcher

_WHERE = {
    "Plan": "plan",
    "parse_settings": "plan",
    "settable": "plan",
    "SIZES": "search",
    "Size": "search",
    "Facts": "facts",
    "Forecast": "forecast",
    "forecast_of": "forecast",
    "Wishes": "planner",
    "decide": "planner",
    "Run": "run",
    "Progress": "watcher",
    "Record": "watcher",
    "Result": "watcher",
    "Watcher": "watcher",
}

__all__ = [
    "SIZES",
    "Facts",
    "Forecast",
    "Plan",
    "Progress",
    "Record",
    "Result",
    "Run",
    "Size",
    "Watcher",
    "Wishes",
    "decide",
    "forecast_of",
    "parse_settings",
    "settable",
]


def __getattr__(name: str) -> Any:  # torch is loaded for the loop only
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
