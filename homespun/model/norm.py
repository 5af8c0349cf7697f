"""Normalisation: every token's vector is brought to the same size before a layer works on it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from homespun.model.config import GPTConfig


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²)) * weight: layer normalisation without the mean (arXiv 1910.07467).

    Computed in float32 whatever comes in: a mean of squares in bfloat16 keeps two or three digits.
    """

    def __init__(self, width: int, eps: float, *, plus_one: bool = False) -> None:
        super().__init__()
        # Gemma's weight is how far the factor is from one.
        self.weight = nn.Parameter(torch.zeros(width) if plus_one else torch.ones(width))
        self.plus_one = plus_one
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """x (…, width) -> the same shape and dtype."""
        weight = self.weight.float() + 1.0 if self.plus_one else self.weight.float()
        return F.rms_norm(x.float(), self.weight.shape, weight, self.eps).to(x.dtype)


def make_norm(config: GPTConfig) -> nn.Module:
    """The family's: RMSNorm, or layer normalisation (arXiv 1607.06450)."""
    if config.norm == "layernorm":
        return nn.LayerNorm(config.n_embd, eps=config.norm_eps)
    return make_rms_norm(config, config.n_embd)


def make_rms_norm(config: GPTConfig, width: int) -> RMSNorm:
    """Of that width, as the family has it."""
    return RMSNorm(width, config.norm_eps, plus_one=config.norm == "rmsnorm_plus_one")
