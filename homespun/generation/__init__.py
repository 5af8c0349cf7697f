"""A model's probabilities become text: ids, then pieces in whole characters, then a string.

`settings` says how a token is chosen, `sampling` chooses it, `engine` asks the
model for one after the other, `stopping` ends the text before a string that
must not appear.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homespun.generation.engine import Pieces, generate, generate_ids, generate_pieces
    from homespun.generation.settings import Sampling

__all__ = ["Pieces", "Sampling", "generate", "generate_ids", "generate_pieces"]


def __getattr__(name: str) -> Any:
    """Imported when asked for: the settings are read by commands that shall not wait for torch."""
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = "settings" if name == "Sampling" else "engine"
    return getattr(import_module(f"{__name__}.{room}"), name)
