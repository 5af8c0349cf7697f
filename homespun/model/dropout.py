"""Dropout in whole pieces: a model that is to learn from few pages forgets a part of what it sees.

Dropout (Srivastava et al. 2014) throws a number for every number, and on a processor the dice cost more than
what the model computes. Where all numbers of a piece share one throw (Gal & Ghahramani 2016,
arXiv 1512.05287) they cost nothing, and the model learns as much: what a token says to one head is
heard or not, and what a layer adds to one channel is added for all tokens of a text, or for none.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def drop_whole(x: Tensor, share: float, along: int, training: bool = True) -> Tensor:
    """While training, a share of the slices along that dimension is set to zero; the others make up for them."""
    if not training or not share:
        return x
    pieces = list(x.shape)
    pieces[along] = 1
    dice = torch.ones(pieces, device=x.device)  # in float32: they fall alike, whatever x is rounded to
    return x * F.dropout(dice, share).to(x.dtype)


class ChannelDropout(nn.Module):
    """While training, each text loses a share of the channels. (B, T, C) -> (B, T, C)"""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        return drop_whole(x, self.share, along=1, training=self.training)

    def extra_repr(self) -> str:
        return f"{self.share:g}"
