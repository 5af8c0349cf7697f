"""A model's probabilities become text: ids, then pieces in whole characters, then a string.

The ladder, simplest first:

    settings, request   what is asked for
    sampling            choosing a token: plain functions of logits
    window, pages       what of a long text the model sees; where keys and values are kept
    reading             how the logits come: from the whole window, or from what was kept
    torch_step, native  a step for many texts at once, in PyTorch and in C++
    stepping            the quicker of them, and a whole model computed by it
    writing, engine     a text on its way; many of them at once
    stopping, text      strings that must not appear; pieces and strings
    constraint          what a text may be: a regular expression, a JSON schema
    background          the engine for several threads
    chat                a talk, or a text written in turns
    insight             how sure the model was of each token, and what it looked at
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homespun.generation.background import Background
    from homespun.generation.chat import Conversation, Manuscript
    from homespun.generation.constraint import json_schema, pattern
    from homespun.generation.engine import Engine, Stream
    from homespun.generation.insight import attention_of, looked_at, token_probabilities
    from homespun.generation.request import Request
    from homespun.generation.settings import Sampling
    from homespun.generation.text import Pieces, generate, generate_ids, generate_pieces
    from homespun.generation.writing import Token

_LIVES_IN = {
    "Background": "background",
    "Conversation": "chat",
    "Engine": "engine",
    "Manuscript": "chat",
    "Pieces": "text",
    "Request": "request",
    "Sampling": "settings",
    "Stream": "engine",
    "Token": "writing",
    "attention_of": "insight",
    "generate": "text",
    "generate_ids": "text",
    "generate_pieces": "text",
    "json_schema": "constraint",
    "looked_at": "insight",
    "pattern": "constraint",
    "token_probabilities": "insight",
}

__all__ = [
    "Background",
    "Conversation",
    "Engine",
    "Manuscript",
    "Pieces",
    "Request",
    "Sampling",
    "Stream",
    "Token",
    "attention_of",
    "generate",
    "generate_ids",
    "generate_pieces",
    "json_schema",
    "looked_at",
    "pattern",
    "token_probabilities",
]


def __getattr__(name: str) -> Any:
    """Imported when asked for: the settings are read by commands that shall not wait for torch."""
    from importlib import import_module

    if name not in _LIVES_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LIVES_IN[name]}"), name)
