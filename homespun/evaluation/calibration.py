"""Calibration: of the tokens that the model predicts with a probability of 70%, do 70% occur?

Guo, Pleiss, Sun and Weinberger 2017, "On Calibration of Modern Neural Networks" (arXiv:1706.04599). At every
position the most likely token and its probability are recorded; positions with similar probabilities are grouped
into bins, and for each bin it is counted how often that token is the correct one.
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
from homespun.evaluation.positions import predictions
from homespun.model.mode import evaluation_mode

BINS = 10


@dataclass(frozen=True)
class Bin:
    """Positions whose most likely token has a probability between `low` and `high`.

    tokens: the number of positions. said: the mean predicted probability. came: how often the token was correct,
    0 to 1. Both are 0 if there are no such positions.
    """

    low: float
    high: float
    tokens: int
    said: float
    came: float


@dataclass(frozen=True)
class Calibration:
    """The calibration of a model on a text.

    bins: from the lowest probability to the highest.
    error: the expected calibration error, the mean of |said - came| over all positions.
    said, came: over all positions; came is how often the most likely token was correct.
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
    """Return the calibration of the model on the split. The arguments are those of `evaluate`."""
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
    """Return the calibration from the predictions at N positions.

    said: the probability of the most likely token, (N,). right: whether that token was the correct one, (N,).

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
