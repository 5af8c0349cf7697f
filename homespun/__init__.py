"""homespun: train a GPT on your own text, on the computer you have.

run = homespun.train("book.txt", steps=500)
print(run.generate("Once"))

model = homespun.load("runs/book")
print(model.generate("Once", max_tokens=200, temperature=0.8, top_k=40, seed=1))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homespun.api.export import export
    from homespun.api.finetune import TunedModel, finetune
    from homespun.api.import_model import import_model
    from homespun.api.language_model import LanguageModel, TrainedModel, load
    from homespun.api.plan import Planned, plan
    from homespun.api.serve import serve
    from homespun.api.show import show
    from homespun.api.studio import open_studio
    from homespun.api.train import train

__version__ = "0.1.0"
__all__ = [
    "LanguageModel",
    "Planned",
    "TrainedModel",
    "TunedModel",
    "__version__",
    "export",
    "finetune",
    "import_model",
    "load",
    "open_studio",
    "plan",
    "serve",
    "show",
    "train",
]

_MODULES = {
    "LanguageModel": "language_model",
    "Planned": "plan",
    "TrainedModel": "language_model",
    "TunedModel": "finetune",
    "load": "language_model",
    "open_studio": "studio",
}


def __getattr__(name: str) -> Any:  # nothing is imported before it is used
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.api.{_MODULES.get(name, name)}"), name)
