"""Dropout of whole slices: one random draw for many numbers. And draws for a batch that several processes share.

Dropout (Srivastava et al. 2014) draws a random number for every number, which on a CPU takes longer than the
model's own computation. Where all numbers of a slice share one draw (Gal & Ghahramani 2016, arXiv 1512.05287)
it costs nothing, and regularises as well: a value is visible to all positions or to none, and what a layer adds
to a channel is added at all positions of a text or at none.

Where several processes compute rows of one batch, each draws for the whole batch, as a single process does, and
takes the rows that it computes. What is dropped then does not depend on the number of processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# (B, first row): this process computes rows of a batch of B, from that row on. None: it computes all rows. A
# global of this module, because dropout is a module that sees nothing but its input.
whole_batch: tuple[int, int] | None = None


@contextmanager
def rows_of(size: int, begin: int) -> Iterator[None]:
    """While the block runs, a forward pass computes the rows from `begin` on of a batch of `size`."""
    global whole_batch
    before, whole_batch = whole_batch, (size, begin)
    try:
        yield
    finally:
        whole_batch = before


def draw(like: Tensor, share: float) -> Tensor:
    """Factors of 0 and 1 / (1 - share) in the shape of `like` (B, …), which has the value 1 everywhere.

    The draws are those of the whole batch, of which `like` may be some rows.
    """
    if whole_batch is None:
        return F.dropout(like, share)
    size, begin = whole_batch
    whole = torch.ones((size, *like.shape[1:]), dtype=like.dtype, device=like.device)
    if like.requires_grad:  # PyTorch draws in another way for such a tensor
        whole.requires_grad_()
    return F.dropout(whole, share).detach()[begin : begin + len(like)]


def drop_whole(x: Tensor, share: float, along: int, training: bool = True) -> Tensor:
    """While training, a share of the slices along that dimension is set to zero; the others are scaled up."""
    if not training or not share:
        return x
    shape = list(x.shape)
    shape[along] = 1
    ones = torch.ones(shape, device=x.device)  # float32: the draws are the same whatever the dtype of x
    return x * draw(ones, share).to(x.dtype)


def drop_single(x: Tensor, share: float, training: bool = True) -> Tensor:
    """While training, a share of the numbers is set to zero; the others are scaled up."""
    if whole_batch is None or not training or not share:
        return F.dropout(x, share, training=training)
    return x * draw(torch.ones_like(x, requires_grad=x.requires_grad), share)


class ChannelDropout(nn.Module):
    """While training, each text loses a share of the channels. (B, T, C) -> (B, T, C)"""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        return drop_whole(x, self.share, along=1, training=self.training)

    def extra_repr(self) -> str:
        return f"{self.share:g}"


class Dropout(nn.Dropout):
    """While training, a share of the numbers is set to zero. Any shape (B, …) -> the same"""

    def forward(self, x: Tensor) -> Tensor:
        return drop_single(x, self.p, self.training)
