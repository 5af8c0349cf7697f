"""The one way in which a module of a model is exchanged for another.

Kernels, LoRA, NF4, rounded weights, casts and recomputation all take it:

    exchange(model, replacement)               in place
    exchange(model, replacement, copy=True)    on a copy that shares the weights; the model stays as it is

`replacement(name, module)` gives the module that takes the place of another, or None where that stays.
"""

from __future__ import annotations

import copy as copying
from collections.abc import Callable
from itertools import chain
from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)
Replacement = Callable[[str, nn.Module], nn.Module | None]


def exchange(model: M, replacement: Replacement, *, copy: bool = False) -> M:
    """Asks for a replacement of every module, those inside of another first; of the model itself last, as "".

    >>> layers = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    >>> exchange(layers, lambda name, module: nn.GELU() if isinstance(module, nn.ReLU) else None)[1]
    GELU(approximate='none')
    """
    model = sharing_weights(model) if copy else model
    exchange_below(model, replacement, "")
    other = replacement("", model)
    if other is None:
        return model
    assert isinstance(other, type(model)), "what takes the place of a model is one"
    return other


def exchange_below(module: nn.Module, replacement: Replacement, prefix: str) -> None:
    for name, child in list(module.named_children()):
        path = prefix + name
        exchange_below(child, replacement, f"{path}.")
        other = replacement(path, child)
        if other is not None:
            setattr(module, name, other)


def sharing_weights(model: M) -> M:
    """A model of the same modules on the same weights and buffers. What is exchanged there, the other keeps."""
    shared = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    return copying.deepcopy(model, shared)


class Exchanged(nn.Module):
    """To be inherited before a module's class: has all that the original has, and computes in another way."""

    def __init__(self, original: nn.Module) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(original.__dict__)
