"""NF4: four bits per parameter, in blocks of 64 with one scale each (Dettmers et al. 2023, arXiv 2305.14314).

`bitsandbytes` packs and unpacks. A product unpacks its matrix, uses it and frees it, so only one
matrix at a time is in memory at full size.
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
    """A frozen matrix (out, in) stored in four bits; `weight()` unpacks it."""

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
    """The part of bitsandbytes that packs and unpacks. Raises MissingExtra."""
    try:
        with without_looking_for_kernels():
            from bitsandbytes import functional
    except ImportError as error:
        raise MissingExtra("--qlora", "finetune") from error
    return functional


@contextmanager
def without_looking_for_kernels() -> Iterator[None]:
    """Stop bitsandbytes from looking for faster kernels on the hub while it is imported: a command that has
    everything it needs must not use the network, and our products use unpacked matrices anyway.
    """
    name = "kernels"
    logger = logging.getLogger("bitsandbytes")
    level, before = logger.level, sys.modules.get(name, ...)
    sys.modules[name] = None  # type: ignore[assignment]  # "not installed"
    logger.setLevel(logging.ERROR)  # it would warn the user about the missing package
    try:
        yield
    finally:
        logger.setLevel(level)
        if before is ...:
            del sys.modules[name]
        else:
            sys.modules[name] = before
