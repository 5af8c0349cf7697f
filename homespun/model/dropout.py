"""Dropout of whole slices: one random draw for many numbers.

Dropout (Srivastava et al. 2014) draws a random number for every number, which on a CPU takes longer than the
model's own computation. Where all numbers of a slice share one draw (Gal & Ghahramani 2016, arXiv 1512.05287)
it costs nothing, and regularises as well: a value is visible to all positions or to none, and what a layer adds
to a channel is added at all positions of a text or at none.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def drop_whole(x: Tensor, share: float, along: int, training: bool = True) -> Tensor:
    """While training, a share of the slices along that dimension is set to zero; the others are scaled up."""
    if not training or not share:
        return x
    shape = list(x.shape)
    shape[along] = 1
    ones = torch.ones(shape, device=x.device)  # float32: the draws are the same whatever the dtype of x
    return x * F.dropout(ones, share).to(x.dtype)


class ChannelDropout(nn.Module):
    """While training, each text loses a share of the channels. (B, T, C) -> (B, T, C)"""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        return drop_whole(x, self.share, along=1, training=self.training)

    def extra_repr(self) -> str:
        return f"{self.share:g}"
