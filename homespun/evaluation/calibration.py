"""Whether a model knows how sure it may be: of the tokens that it gave 70%, do 70% come?

Guo, Pleiss, Sun and Weinberger 2017, "On Calibration of Modern Neural Networks" (arXiv:1706.04599). At every
position the token that the model finds likeliest is taken, and how likely it finds it; positions with about the
same share are put together, and it is counted how often that token came.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from homespun.dataset.shards import Split
from homespun.evaluation.loss import batch_size_for
from homespun.evaluation.mode import evaluation_mode
from homespun.evaluation.positions import predictions

BINS = 10


@dataclass(frozen=True)
class Bin:
    """Positions whose likeliest token was given a share between `low` and `high`.

    tokens: how many they are. said: the share that it was given, on average. came: how often it came.
    Both are 0 where there are no such positions.
    """

    low: float
    high: float
    tokens: int
    said: float
    came: float


@dataclass(frozen=True)
class Calibration:
    """bins: from the least sure to the surest.
    error: the expected calibration error, the mean of |said - came| over all positions.
    said, came: over all positions; came is how often the likeliest token was the right one.
    """

    bins: tuple[Bin, ...]
    error: float
    said: float
    came: float


def calibrate(
    model: nn.Module,
    split: Split,
    *,
    stride: int | None = None,
    batch_size: int | None = None,
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Calibration:
    """How sure the model is of the tokens of the split, and how often it is right. Arguments as of `evaluate`."""
    config: Any = model.config
    size = batch_size or batch_size_for(config.context_length, config.vocab_size)
    said, right = [], []
    with evaluation_mode(model):
        for logits, targets in predictions(model, split.ids, stride=stride, batch_size=size, autocast=autocast):
            shares, likeliest = torch.softmax(logits, dim=-1).max(dim=-1)
            said.append(shares.cpu())
            right.append((likeliest == targets).cpu())
    return calibration_of(torch.cat(said), torch.cat(right))


def calibration_of(said: Tensor, right: Tensor) -> Calibration:
    """said: the share that each position's likeliest token was given, (N,). right: whether it came, (N,).

    >>> found = calibration_of(torch.tensor([0.75] * 4 + [1.0]), torch.tensor([True, True, True, False, True]))
    >>> (found.error, found.bins[7].tokens, found.bins[7].came)
    (0.0, 4, 0.75)
    """
    said, came = said.double(), right.double()
    number = (said * BINS).long().clamp(max=BINS - 1)
    tokens = torch.bincount(number, minlength=BINS)
    mean_said, mean_came = (
        (torch.bincount(number, values, minlength=BINS) / tokens.clamp(min=1)).tolist() for values in (said, came)
    )
    bins = tuple(
        Bin(place / BINS, (place + 1) / BINS, count, mean_said[place], mean_came[place])
        for place, count in enumerate(tokens.tolist())
    )
    error = sum(one.tokens * abs(one.said - one.came) for one in bins) / len(said)
    return Calibration(bins, error, float(said.mean()), float(came.mean()))
