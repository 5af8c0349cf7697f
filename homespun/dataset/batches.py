"""Batches: a few pieces of text at once, and for every token the one that comes next.

First the lecture's way, which takes pieces anywhere by chance. Then the way of a
training run, which goes through the whole text before it begins again.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from homespun.dataset.shuffle import mixed, shuffled


def get_batch(
    ids: np.ndarray | Tensor, batch_size: int, context_length: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """The lecture's: `batch_size` pieces from anywhere in the text -> x, y, both int64 (B, T).

    ids: the tokens of a split, (N,), with N > context_length. y is x shifted by one: y[b, t] is
    the token that follows x[b, t]. Without a generator, torch's own random state is used.
    """
    assert len(ids) > context_length, "ask fit_context for a context that the text has room for"
    starts = torch.randint(len(ids) - context_length, (batch_size,), generator=generator)
    return windows_at(np.asarray(ids), starts.numpy(), context_length)


class Batches:
    """All the batches of a run: `batches[step]` is x, y, both int64 (B, T), for step 0, 1, 2, …

    A batch depends on the seed and the step and on nothing else, so a run can be taken up again
    anywhere. There is no last batch: when the text has been gone through, the next epoch begins.

    In an epoch the text is cut into windows of context_length that meet end to end, and they come
    in shuffled order, each of them once. The cuts are at other places in every epoch; the windows
    that would stick out at either end of the text are pushed back into it. So an epoch uses every
    position, once nearly everywhere and at most three times near the ends.

    ids: the tokens of a split, (N,), with N > context_length; a memory-mapped array is fine.
    """

    def __init__(self, ids: np.ndarray, batch_size: int, context_length: int, seed: int) -> None:
        assert len(ids) > context_length >= 1, "ask fit_context for a context that the text has room for"
        assert batch_size >= 1
        self.ids = ids
        self.batch_size = batch_size
        self.context_length = context_length
        self.seed = seed
        self.positions = len(ids) - 1  # tokens that have a next one
        # However the cuts fall, this many windows reach from end to end.
        self.windows_per_epoch = -(-(self.positions - 1) // context_length) + 1
        # Shuffling costs about as much for thousands of windows as for one: it is done for many steps at once.
        self.steps_at_once = max(1, 4096 // batch_size)
        self.starts_at_hand: tuple[int, np.ndarray] | None = None

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        assert step >= 0
        block, place = divmod(step, self.steps_at_once)
        if self.starts_at_hand is None or self.starts_at_hand[0] != block:
            draws_at_once = self.steps_at_once * self.batch_size
            draws = np.arange(block * draws_at_once, (block + 1) * draws_at_once, dtype=np.uint64)
            self.starts_at_hand = block, self.starts(draws).reshape(self.steps_at_once, self.batch_size)
        return windows_at(self.ids, self.starts_at_hand[1][place], self.context_length)

    def starts(self, draws: np.ndarray) -> np.ndarray:
        """Where in the text the windows begin that are drawn as number `draws` (n,) of the run; int64 (n,)."""
        epochs, places = np.divmod(draws, np.uint64(self.windows_per_epoch))
        keys = mixed(mixed(self.seed % 2**64) ^ epochs)
        windows = shuffled(places, self.windows_per_epoch, keys).astype(np.int64)
        phases = (mixed(keys) % np.uint64(self.context_length)).astype(np.int64)
        return np.clip(windows * self.context_length - phases, 0, self.positions - self.context_length)

    def epoch_of(self, step: int) -> float:
        """How often the text has been gone through when `step` begins: 2.5 is in the middle of the third time."""
        return step * self.batch_size / self.windows_per_epoch


def windows_at(ids: np.ndarray, starts: np.ndarray, context_length: int) -> tuple[Tensor, Tensor]:
    """x, y, both int64 (B, T): the tokens from each of `starts` (B,) on, and those one further."""
    tokens = ids[starts[:, None] + np.arange(context_length + 1)]  # (B, T + 1)
    both = torch.from_numpy(tokens.astype(np.int64))
    return both[:, :-1].contiguous(), both[:, 1:].contiguous()
