"""The loss of a model on a text: every position counted, the same for every batch size.

Mean cross-entropy in nats per token over the whole split, in windows of context_length that
do not overlap. Beside it bits per character and bits per byte: they compare across tokenizers,
where the loss itself does not (longer tokens are harder to guess, and there are fewer of them).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from homespun.dataset.batches import windows_at
from homespun.dataset.shards import Split
from homespun.errors import NotEnoughText
from homespun.evaluation.mode import device_of, evaluation_mode
from homespun.evaluation.positions import check_stride, predictions
from homespun.machine.contention import check_contention


@dataclass(frozen=True)
class Evaluation:
    """How well a model predicts a split.

    loss: nats per token, the mean over `tokens` predictions.
    tokens: how many were predicted; of a whole split, all but the first.
    characters, bytes: of the whole split, in characters and UTF-8 bytes.
    bits_per_char, bits_per_byte: the loss in bits, times the split's tokens per character or byte.
    perplexity: e**loss, among how many equally likely tokens the model is in doubt, so to speak.
    whole: every position was counted; otherwise windows spread evenly over the split.
    stride: how far each window is from the one before; context_length where they do not overlap.
    context_length: the length of a window.
    """

    loss: float
    tokens: int
    characters: int
    bytes: int
    bits_per_char: float
    bits_per_byte: float
    perplexity: float
    seconds: float
    whole: bool = True
    stride: int = 0
    context_length: int = 0

    @property
    def sliding(self) -> bool:
        """Whether windows overlap, so that this is not what is called the loss elsewhere, but lower."""
        return self.stride < self.context_length


def evaluate(
    model: nn.Module,
    split: Split,
    *,
    batch_size: int | None = None,
    windows: int | None = None,
    stride: int | None = None,
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Measures `model` on `split`.

    model: `model(ids, targets) -> (logits, loss)` for ids and targets (B, T), and
        `model.config.context_length`. It is put into evaluation mode, and back as it was.
    batch_size: windows at once; None takes as many as memory is well used for. The result does
        not depend on it, but for float rounding.
    windows: for a quick look at a huge split, so many windows spread evenly over it; then the
        result says `whole=False`. None, or as many as there are, is the whole split.
    stride: windows overlap, each is that many tokens further on than the one before it, and only what is new
        in it is counted: see positions.py. None, or context_length, is the loss as everywhere else.
    autocast: makes the context to run the model in: `lambda: torch.autocast("cpu", torch.bfloat16)`.
    on_progress: called with the tokens predicted so far, and those there are to predict.
    Raises NotEnoughText where the split has no token to predict, and UsageError for an impossible stride.
    """
    assert windows is None or stride is None, "a quick look has no windows that overlap"
    if split.tokens < 2:
        raise NotEnoughText(
            f"There is nothing to predict: {split.tokens} token{'' if split.tokens == 1 else 's'} "
            f"in the split {split.name!r}.",
            "Give a longer text.",
        )
    started = time.perf_counter()
    config: Any = model.config
    if batch_size is None:
        batch_size = batch_size_for(config.context_length, config.vocab_size)
    step = check_stride(stride, config.context_length)
    positions = split.tokens - 1  # tokens that have a next one
    starts = window_starts(positions, config.context_length, windows)
    to_predict = int(np.minimum(config.context_length, positions - starts).sum())
    if step < config.context_length:
        means = sliding_losses(model, split.ids, step, batch_size, autocast)
    else:
        means = plain_losses(
            model, evaluation_batches(split.ids, starts, config.context_length, batch_size), autocast
        )

    # On a GPU they stay there until the end, so that it is not waited for. On a CPU they must not: a tensor that
    # stays would lie where the next batch of logits wants to, which then takes new memory, batch for batch.
    losses: list[Tensor | float] = []
    counts: list[int] = []
    done = 0
    with evaluation_mode(model):
        for loss, count in means:
            losses.append(loss.item() if loss.is_cpu else loss)
            counts.append(count)
            done += count
            if on_progress is not None:
                on_progress(done, to_predict)
    nats = math.fsum(float(mean) * count for mean, count in zip(losses, counts, strict=True)) / to_predict
    bits = nats / math.log(2)
    return Evaluation(
        loss=nats,
        tokens=to_predict,
        characters=split.characters,
        bytes=split.bytes,
        bits_per_char=bits * split.tokens / split.characters,
        bits_per_byte=bits * split.tokens / split.bytes,
        perplexity=math.exp(nats) if nats < 700 else math.inf,
        seconds=time.perf_counter() - started,
        whole=to_predict == positions,
        stride=step,
        context_length=config.context_length,
    )


def plain_losses(
    model: nn.Module,
    batches: Iterator[tuple[Tensor, Tensor]],
    autocast: Callable[[], AbstractContextManager[Any]],
) -> Iterator[tuple[Tensor, int]]:
    """The mean loss of each batch, and of how many tokens."""
    device = device_of(model)
    for x, y in batches:
        check_contention()
        with torch.no_grad(), autocast():
            _, loss = model(x.to(device), y.to(device))
        yield loss, y.numel()


def sliding_losses(
    model: nn.Module,
    ids: np.ndarray,
    stride: int,
    batch_size: int,
    autocast: Callable[[], AbstractContextManager[Any]],
) -> Iterator[tuple[Tensor, int]]:
    """The same in windows that overlap."""
    for logits, targets in predictions(model, ids, stride=stride, batch_size=batch_size, autocast=autocast):
        yield F.cross_entropy(logits, targets), len(targets)


def window_starts(positions: int, context_length: int, windows: int | None = None) -> np.ndarray:
    """Where the windows start, int64; the last one may have to be shorter. With `windows`, so many spread evenly.

    positions: tokens that have a next one.

    >>> window_starts(10, 4), window_starts(100, 10, windows=3)
    (array([0, 4, 8]), array([10, 50, 80]))
    """
    starts = np.arange(0, positions, context_length, dtype=np.int64)
    if windows is None or windows >= len(starts):
        return starts
    assert windows >= 1
    # Of as many stretches of equal length, the window in the middle of each.
    return starts[(2 * np.arange(windows) + 1) * len(starts) // (2 * windows)]


def evaluation_batches(
    ids: np.ndarray, starts: np.ndarray, context_length: int, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """x, y, both int64 (B, T), for every window; a shorter one at the end is a batch of its own."""
    assert batch_size >= 1
    positions = len(ids) - 1
    full = starts[starts + context_length <= positions]
    for i in range(0, len(full), batch_size):
        yield windows_at(ids, full[i : i + batch_size], context_length)
    for start in starts[len(full) :]:
        yield windows_at(ids, np.array([start]), positions - int(start))


def batch_size_for(context_length: int, vocab_size: int) -> int:
    """How many windows to run at once: tokens enough to keep the machine busy, and logits below 32 MiB.

    Of the logits there are several copies on the way to a loss; twice as many of either are no quicker on a CPU.

    >>> batch_size_for(64, 65), batch_size_for(1024, 50257)
    (64, 1)
    """
    most_by_logits = 2**25 // (4 * vocab_size * context_length)
    most_by_tokens = 4096 // context_length
    return max(1, min(most_by_logits, most_by_tokens))
