"""Queries, keys and values by one product: for a few tokens three small products take longer than a large one.

It is for decoding on a CPU, where the model stays as it is and the joined weights are a copy. On a GPU the weights
are not copied.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from homespun.kernels.exchange import Exchanged
from homespun.kernels.kernel import ELSEWHERE, NO_CONCERN, ModuleKernel, always
from homespun.kernels.rounding import RoundedLinear
from homespun.model.attention import CausalSelfAttention


class JoinedAttention(Exchanged, CausalSelfAttention):
    """Self-attention whose three projections are one. x (B, T, C) -> (B, T, C)"""

    def __init__(self, original: CausalSelfAttention) -> None:
        super().__init__(original)
        layers = (original.query, original.key, original.value)
        self.heads = [layer.weight.size(0) // original.head_width for layer in layers]
        self.joined = torch.cat([layer.weight.detach() for layer in layers])  # ((H + 2 G) D, C)
        biases = [layer.bias.detach() for layer in layers if layer.bias is not None]
        self.joined_bias = torch.cat(biases) if biases else None

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.split_heads(F.linear(x, self.joined, self.joined_bias)).split(self.heads, dim=-2)
        return self.query_norm(q), self.key_norm(k), v


def joined_attention(name: str, module: nn.Module) -> nn.Module | None:
    if type(module) is not CausalSelfAttention:
        return None
    layers = (module.query, module.key, module.value)
    plain = all(type(layer) in (nn.Linear, RoundedLinear) for layer in layers)
    alike = len({layer.bias is None for layer in layers}) == 1 if plain else False
    return JoinedAttention(module) if alike else None


PROJECTIONS = ModuleKernel(
    "the joined projections",
    frozenset({"cpu"}),
    frozenset({"float32", "bfloat16"}),
    NO_CONCERN | ELSEWHERE,
    always,
    joined_attention,
)
