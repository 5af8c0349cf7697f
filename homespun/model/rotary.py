"""Rotary position embedding (RoPE): queries and keys are rotated by an angle that grows with the position.

The score of a query and a key then depends on how far apart they stand and not
on where (Su et al. 2021, arXiv 2104.09864). The halves of a head are the pairs
that are rotated, as in Hugging Face's Qwen3 and Llama.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rope(positions: int, head_width: int, base: float) -> tuple[Tensor, Tensor]:
    """The cosines and sines of all angles: two tensors (T, D/2), float32.

    Pair i rotates by position / base^(2i/D): the first pair once in 2π tokens, the last hardly at all.

    >>> cosines, sines = rope(3, 4, 10_000.0)
    >>> [round(v, 4) for v in cosines[:, 0].tolist()]
    [1.0, 0.5403, -0.4161]
    """
    frequencies = base ** -(torch.arange(0, head_width, 2, dtype=torch.float32) / head_width)  # (D/2)
    angles = torch.outer(torch.arange(positions, dtype=torch.float32), frequencies)  # (T, D/2)
    return angles.cos(), angles.sin()


def apply_rope(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """x (…, D) with every pair rotated by the angle of its position; cosines and sines broadcast to (…, D/2)."""
    first, second = x.chunk(2, dim=-1)
    rotated = (first * cosines - second * sines, second * cosines + first * sines)
    return torch.cat(rotated, dim=-1).to(x.dtype)
