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

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """x (…, width) -> the same shape and dtype."""
        return F.rms_norm(x.float(), self.weight.shape, self.weight.float(), self.eps).to(x.dtype)


def make_norm(config: GPTConfig) -> nn.Module:
    """The family's: RMSNorm, or layer normalisation (arXiv 1607.06450)."""
    if config.norm == "rmsnorm":
        return RMSNorm(config.n_embd, config.norm_eps)
    return nn.LayerNorm(config.n_embd, eps=config.norm_eps)
