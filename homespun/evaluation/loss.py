"""The loss of a model on a text: every position is counted, and the result is the same for every batch size.

It is the mean cross-entropy in nats per token over the whole split, in non-overlapping windows of context_length.
Bits per character and bits per byte are reported with it: they are comparable across tokenizers, and the loss is
not (longer tokens are harder to predict, and there are fewer of them).
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
from homespun.evaluation.mode import device_of
from homespun.evaluation.positions import check_stride, predictions
from homespun.machine.contention import check_contention
from homespun.machine.device import to_device
from homespun.model.mode import evaluation_mode


@dataclass(frozen=True)
class Evaluation:
    """How well a model predicts a split.

    loss: nats per token, the mean over `tokens` predictions.
    tokens: the number of predictions; for a whole split, all tokens but the first.
    characters, bytes: of the whole split, in characters and UTF-8 bytes.
    bits_per_char, bits_per_byte: the loss in bits, times the split's tokens per character or byte.
    perplexity: e**loss; as uncertain as a choice among this many equally likely tokens.
    whole: every position was counted; otherwise only windows spread evenly over the split.
    stride: the distance between the starts of consecutive windows; context_length if they do not overlap.
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
        """Whether windows overlap; the loss is then lower than, and not comparable with, the usual loss."""
        return self.stride < self.context_length

    def as_object(self) -> dict[str, Any]:
        """The evaluation as JSON."""
        return {**vars(self), "windows": "sliding" if self.sliding else "non-overlapping"}


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
    """Measure the loss of `model` on `split`.

    model: `model(ids, targets) -> (logits, loss)` for ids and targets (B, T), and
        `model.config.context_length`. It is put into evaluation mode, and restored afterwards.
    batch_size: windows at once; None takes as many as use memory well. Apart from float rounding, the
        result does not depend on it.
    windows: for a fast estimate on a huge split, this many windows spread evenly over it; the result
        then says `whole=False`. None, or as many as there are, is the whole split.
    stride: overlapping windows: each starts that many tokens after the previous one, and only its new
        tokens are counted (see positions.py). None, or context_length, is the loss as everywhere else.
    autocast: makes the context to run the model in: `lambda: torch.autocast("cpu", torch.bfloat16)`.
    on_progress: called with the tokens predicted so far, and the total.
    Raises NotEnoughText if the split has no token to predict, and UsageError for an invalid stride.
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
        batch_size = batch_size_for(config.context_length, config.vocab_size, device_of(model).type)
    step = check_stride(stride, config.context_length)
    positions = split.tokens - 1  # positions that have a next token
    starts = window_starts(positions, config.context_length, windows)
    to_predict = int(np.minimum(config.context_length, positions - starts).sum())
    if step < config.context_length:
        means = sliding_losses(model, split.ids, step, batch_size, autocast)
    else:
        means = plain_losses(
            model, evaluation_batches(split.ids, starts, config.context_length, batch_size), autocast
        )

    # Losses on a GPU stay there until the end, so that the loop does not wait for the GPU. Losses on a CPU must
    # not stay tensors: each would occupy memory where the next batch of logits fits, which would then allocate
    # new memory for every batch.
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
    """Yield the mean loss of each batch, and its number of tokens."""
    device = device_of(model)
    for x, y in batches:
        check_contention()
        with torch.no_grad(), autocast():
            _, loss = model(to_device(x, device), to_device(y, device))
        yield loss, y.numel()


def sliding_losses(
    model: nn.Module,
    ids: np.ndarray,
    stride: int,
    batch_size: int,
    autocast: Callable[[], AbstractContextManager[Any]],
) -> Iterator[tuple[Tensor, int]]:
    """Yield the mean loss of each batch of overlapping windows, and the number of tokens counted in it."""
    for logits, targets in predictions(model, ids, stride=stride, batch_size=batch_size, autocast=autocast):
        yield F.cross_entropy(logits, targets), len(targets)


def window_starts(positions: int, context_length: int, windows: int | None = None) -> np.ndarray:
    """Return where the windows start, int64; the last window may be shorter.

    positions: the number of tokens that have a next one. windows: only this many, spread evenly.

    >>> window_starts(10, 4), window_starts(100, 10, windows=3)
    (array([0, 4, 8]), array([10, 50, 80]))
    """
    starts = np.arange(0, positions, context_length, dtype=np.int64)
    if windows is None or windows >= len(starts):
        return starts
    assert windows >= 1
    # Divide the windows into `windows` groups of equal size, and take the middle one of each.
    return starts[(2 * np.arange(windows) + 1) * len(starts) // (2 * windows)]


def evaluation_batches(
    ids: np.ndarray, starts: np.ndarray, context_length: int, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield x, y, both int64 (B, T), for every window; a shorter window at the end is a batch of its own."""
    assert batch_size >= 1
    positions = len(ids) - 1
    full = starts[starts + context_length <= positions]
    for i in range(0, len(full), batch_size):
        yield windows_at(ids, full[i : i + batch_size], context_length)
    for start in starts[len(full) :]:
        yield windows_at(ids, np.array([start]), positions - int(start))


def batch_size_for(context_length: int, vocab_size: int, device: str = "cpu") -> int:
    """Return how many windows to run at once: enough tokens to keep the machine busy, with logits below 32 MiB.

    Several copies of the logits exist while the loss is computed; doubling either limit makes a CPU no faster. A
    GPU is busy with sixteen times as many tokens, and has room for logits of 512 MiB.

    >>> batch_size_for(64, 65), batch_size_for(1024, 50257), batch_size_for(1024, 50257, "cuda")
    (64, 1, 2)
    """
    larger = 1 if device == "cpu" else 16
    most_by_logits = larger * 2**25 // (4 * vocab_size * context_length)
    most_by_tokens = larger * 4096 // context_length
    return max(1, min(most_by_logits, most_by_tokens))
