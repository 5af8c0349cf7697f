"""The dataset: documents become ids in memory-mapped shards, two splits, and batches.

`splits` decides what is learnt from, `pipeline` turns text into ids, `shards`
keeps them, `preparation` puts the three together, and `batches` takes examples
out again, in the order that `shuffle` gives. `doctor` says what is wrong with a text before all of that.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homespun.dataset.batches import Batches, get_batch
    from homespun.dataset.doctor import Examination, briefly, examine, too_little
    from homespun.dataset.finding import Finding
    from homespun.dataset.overlap import leakage
    from homespun.dataset.preparation import Dataset, prepare, prepare_text, reopen
    from homespun.dataset.shards import Split
    from homespun.dataset.splits import SplitPlan, check_learnable, fit_context, plan_splits

_WHERE = {
    "Batches": "batches",
    "get_batch": "batches",
    "Dataset": "preparation",
    "Examination": "doctor",
    "Finding": "finding",
    "briefly": "doctor",
    "examine": "doctor",
    "leakage": "overlap",
    "too_little": "doctor",
    "prepare": "preparation",
    "prepare_text": "preparation",
    "reopen": "preparation",
    "Split": "shards",
    "SplitPlan": "splits",
    "check_learnable": "splits",
    "fit_context": "splits",
    "plan_splits": "splits",
}

__all__ = [
    "Batches",
    "Dataset",
    "Examination",
    "Finding",
    "Split",
    "SplitPlan",
    "briefly",
    "check_learnable",
    "examine",
    "fit_context",
    "get_batch",
    "leakage",
    "plan_splits",
    "prepare",
    "prepare_text",
    "reopen",
    "too_little",
]


def __getattr__(name: str) -> Any:  # torch is loaded for batches only
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
