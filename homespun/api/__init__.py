"""The verbs as functions: what the commands do, for a program or a notebook.

>>> import homespun
>>> run = homespun.train("book.txt", steps=500)       # doctest: +SKIP
>>> print(run.generate("Once"))                       # doctest: +SKIP

`language_model` is what there is to do with a model, `making` makes one, `planning` says what
that would be, and `preparing` is the way from what was asked for to what a run needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homespun.api.exporting import export
    from homespun.api.language_model import LanguageModel, TrainedModel, load
    from homespun.api.making import train
    from homespun.api.planning import Planned, plan
    from homespun.api.showing import show
    from homespun.api.tuning import TunedModel, finetune

_WHERE = {
    "export": "exporting",
    "LanguageModel": "language_model",
    "TrainedModel": "language_model",
    "load": "language_model",
    "train": "making",
    "Planned": "planning",
    "plan": "planning",
    "TunedModel": "tuning",
    "finetune": "tuning",
    "show": "showing",
}

__all__ = [
    "LanguageModel",
    "Planned",
    "TrainedModel",
    "TunedModel",
    "export",
    "finetune",
    "load",
    "plan",
    "show",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
