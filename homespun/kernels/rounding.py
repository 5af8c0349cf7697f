"""Weights rounded to bfloat16 or to int8: what a model loses by it can be seen on any machine.

Only the C++ decoding step is faster by it (`kernels/decoding`). Elsewhere rounded weights are multiplied in the
dtype that they came in; on a GPU, bfloat16 ones in bfloat16, and then keys and values are kept in it, too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from homespun.kernels.exchange import M, exchange


class RoundedLinear(nn.Module):
    """x (…, inputs) -> (…, outputs), by the weight of a linear layer, rounded once."""

    def __init__(self, original: nn.Linear, kind: str) -> None:
        super().__init__()
        weight = original.weight.detach()
        self.in_half = multiplies_in_half(weight, kind)
        self.weight = weight.bfloat16() if self.in_half else rounded(weight.float(), kind).to(weight.dtype)
        self.bias = None if original.bias is None else original.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        if not self.in_half:
            return F.linear(x, self.weight, self.bias)
        # It stays in bfloat16: only what a block adds to the residual stream becomes float32 again, by being
        # added.
        y = F.linear(x.bfloat16(), self.weight)
        return y if self.bias is None else (y + self.bias).bfloat16()


def multiplies_in_half(weight: Tensor, kind: str) -> bool:
    """Whether bfloat16 weights are multiplied in bfloat16 where that one lies."""
    return kind == "bfloat16" and weight.is_cuda


def with_rounded_weights(model: M, kind: str) -> M:
    """The model, in place, with the weights of its linear layers rounded to `kind`; as it is for "float32"."""
    if kind == "float32":
        return model
    return exchange(model, lambda name, m: RoundedLinear(m, kind) if isinstance(m, nn.Linear) else None)


def rounded(weight: Tensor, kind: str) -> Tensor:
    """weight (outputs, inputs) as that kind can hold it, in float32 again.

    int8 has 255 steps between the largest weight of an output and its negative.

    >>> rounded(torch.tensor([[1.0, 0.3, -0.5]]), "int8").mul(127).round().tolist()
    [[127.0, 38.0, -64.0]]
    """
    if kind == "bfloat16":
        return weight.bfloat16().float()
    if kind == "int8":
        units, unit = in_int8(weight)
        return units.float() * unit[:, None]
    return weight


def in_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """weight (outputs, inputs) -> whole numbers from -127 to 127 of that shape, and what 1 is worth (outputs)."""
    unit = weight.abs().amax(dim=1) / 127
    units = weight / unit.clamp(min=1e-30)[:, None]
    return units.round().to(torch.int8), unit
