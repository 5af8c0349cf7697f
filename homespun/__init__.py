"""homespun: train a GPT on your own text, on the computer you have.

run = homespun.train("book.txt", steps=500)
print(run.generate("Once"))

model = homespun.load("runs/book")
print(model.generate("Once", max_tokens=200, temperature=0.8, top_k=40, seed=1))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homespun.api import (
        LanguageModel,
        Planned,
        TrainedModel,
        TunedModel,
        export,
        finetune,
        load,
        plan,
        show,
        train,
    )

__version__ = "0.1.0"
__all__ = [
    "LanguageModel",
    "Planned",
    "TrainedModel",
    "TunedModel",
    "__version__",
    "export",
    "finetune",
    "load",
    "plan",
    "show",
    "train",
]


def __getattr__(name: str) -> Any:  # nothing is imported before it is used
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from homespun import api

    return getattr(api, name)
