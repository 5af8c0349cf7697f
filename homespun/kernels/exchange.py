"""Models that compute what another one does, on its weights, in another way."""

from __future__ import annotations

import copy
from itertools import chain

from torch import nn

from homespun.model.gpt import GPT


def twin_of(model: GPT) -> GPT:
    """A model of the same layers on the same weights. What is put in a layer's place there, the other keeps."""
    shared = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    return copy.deepcopy(model, shared).train()


class InPlaceOf(nn.Module):
    """To be inherited before a layer's class: has all that the plain layer has, and computes otherwise."""

    def __init__(self, plain: nn.Module) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(plain.__dict__)
