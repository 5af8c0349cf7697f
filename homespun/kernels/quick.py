"""Attention and SwiGLU by the compiled operations of training, where this processor has what they need."""

from __future__ import annotations

import math

from homespun.kernels.training.operations import available
from homespun.kernels.training.twin import quicken_blocks
from homespun.model.gpt import GPT

WORTH_IT = 10_000_000  # parameters: a smaller model is tuned before the operations are compiled


def can_be_quick(device: str, dtype: str, parameters: int, at_most: float = math.inf) -> bool:
    """Whether the operations pay, and are there; where they can be had they are compiled now.

    That takes seconds, and minutes beside other programs. at_most: seconds to wait for it.
    """
    pays = device == "cpu" and dtype == "bfloat16" and parameters >= WORTH_IT
    return pays and available(wait=True, at_most=at_most)


def quicken(model: GPT, context_length: int) -> None:
    """Lets the blocks compute with them, in place. Rows of several documents take the plain attention."""
    if not available(wait=True):
        return  # the plan is of another machine: the plain way computes the same, to rounding
    quicken_blocks(model, context_length)
