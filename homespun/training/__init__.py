"""Training: a plan is made, and carried out, and a run folder is what remains.

`planner` decides, `plan` is what it decided, `loop` is the training itself, `run`
fills the folder. `muon`, `optimizer`, `schedule` and `compiled` are what the loop is
made of; `watcher` is how a terminal or a notebook looks on.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homespun.training.plan import Plan, parse_settings, settable
    from homespun.training.planner import SIZES, Facts, Wishes, decide
    from homespun.training.run import Run
    from homespun.training.watcher import Progress, Record, Result, Watcher

_WHERE = {
    "Plan": "plan",
    "parse_settings": "plan",
    "settable": "plan",
    "SIZES": "planner",
    "Facts": "planner",
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
    "Plan",
    "Progress",
    "Record",
    "Result",
    "Run",
    "Watcher",
    "Wishes",
    "decide",
    "parse_settings",
    "settable",
]


def __getattr__(name: str) -> Any:  # torch is loaded for the loop only
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
