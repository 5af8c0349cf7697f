"""NF4: a matrix in four bits a number, in blocks of 64 with a scale each (Dettmers et al. 2023, arXiv 2305.14314).

`bitsandbytes` packs and unpacks. A product unpacks its matrix first, uses it and lets it go, so that one
matrix at a time is there in full.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from torch import Tensor

from homespun.errors import MissingExtra
from homespun.finetuning.lora import Frozen

BLOCK = 64


class FrozenNF4(Frozen):
    """A matrix (out, in) that does not learn, kept in four bits; `weight()` unpacks it."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, bias)
        del self.matrix
        self.packed, self.state = library().quantize_4bit(
            weight.detach().contiguous(), blocksize=BLOCK, quant_type="nf4"
        )

    def weight(self) -> Tensor:
        return library().dequantize_4bit(self.packed, self.state)


@cache
def library() -> Any:
    """The part of bitsandbytes that packs. Raises MissingExtra."""
    try:
        with without_looking_for_kernels():
            from bitsandbytes import functional
    except ImportError as error:
        raise MissingExtra("--qlora", "finetune") from error
    return functional


@contextmanager
def without_looking_for_kernels() -> Iterator[None]:
    """While bitsandbytes is imported it looks for faster products on the hub. It shall not: a command that
    has what it needs asks no network, and a product of ours is one of unpacked matrices anyway.
    """
    name = "kernels"
    logger = logging.getLogger("bitsandbytes")
    level, before = logger.level, sys.modules.get(name, ...)
    sys.modules[name] = None  # type: ignore[assignment]  # "not installed"
    logger.setLevel(logging.ERROR)  # it would tell the user what it did not find
    try:
        yield
    finally:
        logger.setLevel(level)
        if before is ...:
            del sys.modules[name]
        else:
            sys.modules[name] = before
