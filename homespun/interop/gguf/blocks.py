"""Numbers of few bits, back to floats: a block of them shares a scale (and an offset), stored beside them.

The three plain kinds are computed here, on all cores: a model of 135 million numbers takes half a second
instead of three. The others are the library's. Both give the same to the bit (a test holds them to it).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from homespun.errors import MissingExtra


def floats(stored: Tensor, type: str) -> Tensor:
    """Rows of blocks, uint8 (…, bytes) -> float32 (…, numbers), as ggml computes them. Raises MissingExtra."""
    if type not in PLAIN_BLOCKS:
        return from_library(stored, type)
    width, read = PLAIN_BLOCKS[type]
    return read(stored.view(-1, width)).view(*stored.shape[:-1], -1)


def q8_0(blocks: Tensor) -> Tensor:
    """(n, 34): a scale in float16 and 32 numbers of 8 bits, -128 to 127."""
    return blocks[:, 2:].view(torch.int8).float().mul_(half(blocks, 0))


def q4_0(blocks: Tensor) -> Tensor:
    """(n, 18): a scale and 32 numbers of 4 bits, of which 8 is zero."""
    return nibbles(blocks[:, 2:]).sub_(8).mul_(half(blocks, 0))


def q4_1(blocks: Tensor) -> Tensor:
    """(n, 20): a scale, an offset and 32 numbers of 4 bits."""
    return nibbles(blocks[:, 4:]).mul_(half(blocks, 0)).add_(half(blocks, 2))


PLAIN_BLOCKS = {"Q8_0": (34, q8_0), "Q4_0": (18, q4_0), "Q4_1": (20, q4_1)}


def half(blocks: Tensor, at: int) -> Tensor:
    """The float16 at that byte of each block, as float32 (n, 1)."""
    return blocks[:, at : at + 2].contiguous().view(torch.float16).float()


def nibbles(pairs: Tensor) -> Tensor:
    """(n, 16) bytes -> (n, 32): first the lower halves of all of them, then the upper ones.

    >>> nibbles(torch.tensor([[0x21, 0x43]], dtype=torch.uint8)).tolist()
    [[1.0, 3.0, 2.0, 4.0]]
    """
    pairs = pairs.contiguous()
    return torch.cat((pairs & 15, pairs >> 4), dim=1).float()


def from_library(stored: Tensor, type: str) -> Tensor:
    try:
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize
    except ImportError as error:
        raise MissingExtra(f"A GGUF file with weights in {type}", "gguf") from error
    with np.errstate(all="ignore"):  # a damaged scale is not a number, and that is no reason for a warning
        return torch.from_numpy(dequantize(stored.numpy(), GGMLQuantizationType[type]))
