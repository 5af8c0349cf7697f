"""Rotary position embedding (RoPE): queries and keys are rotated by an angle that grows with the position.

The score of a query and a key then depends on how far apart they stand and not
on where (Su et al. 2021, arXiv 2104.09864). The halves of a head are the pairs
that are rotated, as in Hugging Face's Qwen3 and Llama.
"""

from __future__ import annotations

import torch
from torch import Tensor

from homespun.model.rope_scaling import RopeScaling


def rope(
    positions: int, rotary_width: int, base: float, scaling: RopeScaling | None = None
) -> tuple[Tensor, Tensor]:
    """The cosines and sines of all angles: two tensors (T, R/2), float32, for R rotated numbers of a head.

    Pair i rotates by position / base^(2i/R): the first pair once in 2π tokens, the last hardly at all.

    >>> cosines, sines = rope(3, 4, 10_000.0)
    >>> [round(v, 4) for v in cosines[:, 0].tolist()]
    [1.0, 0.5403, -0.4161]
    """
    frequencies = base ** -(torch.arange(0, rotary_width, 2, dtype=torch.float32) / rotary_width)  # (R/2)
    if scaling is not None:
        frequencies = frequencies / torch.tensor(scaling.dividers(frequencies.tolist(), base))
    angles = torch.outer(torch.arange(positions, dtype=torch.float32), frequencies)  # (T, R/2)
    size = 1.0 if scaling is None else scaling.attention_factor
    return angles.cos() * size, angles.sin() * size


def apply_rope(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """x (…, D) with every pair rotated by the angle of its position; cosines and sines broadcast to (…, R/2).

    Where only the first R numbers of a head are rotated, the others stay.
    """
    pairs = cosines.size(-1)
    first, second, rest = x[..., :pairs], x[..., pairs : 2 * pairs], x[..., 2 * pairs :]
    rotated = (first * cosines - second * sines, second * cosines + first * sines)
    return torch.cat(rotated if 2 * pairs == x.size(-1) else (*rotated, rest.to(rotated[0].dtype)), dim=-1).to(
        x.dtype
    )
