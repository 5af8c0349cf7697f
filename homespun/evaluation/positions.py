"""A model's predictions for every position of a text, in windows that overlap or do not.

In non-overlapping windows, the second token of each window is predicted from one token, the third from two, and
so on. Sliding windows start `stride` tokens apart, and only the new tokens of each are counted: so every token
has at least context_length - stride tokens before it, if the text has them. That takes context_length / stride
times as long, and gives the perplexity described in the documentation of `transformers` ("Perplexity of
fixed-length models").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from homespun.dataset.batches import windows_at
from homespun.errors import UsageError
from homespun.evaluation.mode import device_of
from homespun.machine.contention import check_contention


class Window(NamedTuple):
    """A window of `length` tokens from `start` on; the last `counted` of its predictions are counted."""

    start: int
    length: int
    counted: int


def sliding_windows(positions: int, context_length: int, stride: int) -> list[Window]:
    """Return windows in which each position is counted once.

    positions: the number of tokens that have a next one.

    >>> [tuple(window) for window in sliding_windows(10, context_length=4, stride=2)]
    [(0, 4, 4), (2, 4, 2), (4, 4, 2), (6, 4, 2)]
    >>> [tuple(window) for window in sliding_windows(9, context_length=4, stride=4)]
    [(0, 4, 4), (4, 4, 4), (8, 1, 1)]
    """
    windows, done = [], 0
    for start in range(0, positions, stride):
        end = min(start + context_length, positions)
        windows.append(Window(start, end - start, end - done))
        done = end
        if end == positions:
            break
    return windows


def check_stride(stride: int | None, context_length: int) -> int:
    """Return the stride as a number; None means windows that do not overlap. Raises UsageError."""
    if stride is None:
        return context_length
    if not 1 <= stride <= context_length:
        raise UsageError(
            f"Windows of {context_length:,} tokens cannot slide by {stride:,}.",
            f"Choose a stride between 1 and {context_length:,}, such as --stride {max(1, context_length // 2)}.",
        )
    return stride


def predictions(
    model: nn.Module,
    ids: np.ndarray,
    *,
    stride: int | None = None,
    batch_size: int,
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield logits (n, V) in float32 and the actual next token (n,), for every position of ids (N,) in order.

    The model must be in evaluation mode. Raises UsageError for a stride that is not from 1 to its context_length.
    """
    config: Any = model.config
    step = check_stride(stride, config.context_length)
    device = device_of(model)
    windows = sliding_windows(len(ids) - 1, config.context_length, step)
    for batch in alike(windows, batch_size):
        _, length, counted = batch[0]
        x, y = windows_at(ids, np.array([window.start for window in batch]), length)
        check_contention()
        with torch.no_grad(), autocast():
            logits, _ = model(x.to(device), y.to(device))
        yield logits[:, -counted:].flatten(0, 1).float(), y[:, -counted:].flatten().to(device)


def alike(windows: list[Window], batch_size: int) -> Iterator[list[Window]]:
    """Group neighbouring windows of equal length and equal `counted` into batches of at most batch_size.

    >>> [len(batch) for batch in alike(sliding_windows(11, context_length=4, stride=2), batch_size=2)]
    [1, 2, 1, 1]
    """
    batch: list[Window] = []
    for window in windows:
        if batch and (len(batch) == batch_size or window[1:] != batch[0][1:]):
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch
