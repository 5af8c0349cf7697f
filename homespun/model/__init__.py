"""The model: a GPT in four families that are only settings of it, and the bigram it grew from.

The ladder, simplest first: `bigram`, `attention`, `block`, `gpt`. `config` holds
every number that a model is made of; `norm`, `rotary`, `cache` and `size` stand beside it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homespun.model.bigram import Bigram
    from homespun.model.cache import KVCache
    from homespun.model.config import FAMILIES, BigramConfig, GPTConfig
    from homespun.model.gpt import GPT, build
    from homespun.model.size import flops_per_token, number_of_parameters

_WHERE = {
    "Bigram": "bigram",
    "BigramConfig": "config",
    "FAMILIES": "config",
    "GPT": "gpt",
    "GPTConfig": "config",
    "KVCache": "cache",
    "build": "gpt",
    "flops_per_token": "size",
    "number_of_parameters": "size",
}

__all__ = [
    "FAMILIES",
    "GPT",
    "Bigram",
    "BigramConfig",
    "GPTConfig",
    "KVCache",
    "build",
    "flops_per_token",
    "number_of_parameters",
]


def __getattr__(name: str) -> Any:  # a plan is made of configs, without torch
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
