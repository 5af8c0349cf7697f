"""Fine-tuning: a model that is there learns a text of yours, or to answer as your conversations do.

What is learnt: `lora` (small matrices beside the model's), `nf4` (the model itself in four bits), `growing` (rows
for new tokens). From what: `conversations`, `found`, `rendering`, `encoding`, `preparing`, `packing`. How:
`planner` makes a `plan` of `facts` (`speed` measures, `memory` counts), `learner` and `head_loss` compute, and
`loop` and `run` are those of training with this inside. `general_text` shows what was forgotten.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homespun.finetuning.facts import TuningFacts
    from homespun.finetuning.found import recognise
    from homespun.finetuning.plan import TuningPlan, parse_settings, settable
    from homespun.finetuning.planner import TuningWishes, decide, forecast
    from homespun.finetuning.run import TuningResult, TuningRun

# Where each name lives. Looked up on first use: a plan takes no torch.
LIVES_IN = {
    "TuningFacts": "facts",
    "TuningPlan": "plan",
    "TuningResult": "run",
    "TuningRun": "run",
    "TuningWishes": "planner",
    "decide": "planner",
    "forecast": "planner",
    "parse_settings": "plan",
    "recognise": "found",
    "settable": "plan",
}

__all__ = [
    "TuningFacts",
    "TuningPlan",
    "TuningResult",
    "TuningRun",
    "TuningWishes",
    "decide",
    "forecast",
    "parse_settings",
    "recognise",
    "settable",
]


def __getattr__(name: str) -> Any:
    if name not in LIVES_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{LIVES_IN[name]}"), name)
