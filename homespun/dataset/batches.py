"""Batches: several sequences at once, and for every token the token that comes next as its target.

First the lecture's function, which draws sequences at random places. Then the batches of a training run, which go
through the whole text before they begin again.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from homespun.dataset.shuffle import mixed, shuffled


def get_batch(
    ids: np.ndarray | Tensor, batch_size: int, context_length: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Return a batch as in the lecture, `batch_size` sequences from random places: x, y, both int64 (B, T).

    ids: the tokens of a split, (N,), with N > context_length. y is x shifted by one: y[b, t] is the token that
    follows x[b, t]. Without a generator, torch's global random state is used.
    """
    assert len(ids) > context_length, "ask fit_context for a context that the text has room for"
    starts = torch.randint(len(ids) - context_length, (batch_size,), generator=generator)
    return windows_at(np.asarray(ids), starts.numpy(), context_length)


class Batches:
    """All batches of a run: `batches[step]` is x, y, both int64 (B, T), for step 0, 1, 2, …

    A batch depends on the seed and the step only, so a run can be resumed at any step. There is no last batch: at
    the end of an epoch the next one begins.

    In each epoch the text is cut into adjacent windows of context_length, which are visited in shuffled order,
    each of them once. The cuts are at different places in every epoch; windows that would extend beyond either
    end of the text are moved back into it. So an epoch uses every position, once nearly everywhere and at most
    three times near the ends.

    ids: the tokens of a split, (N,), with N > context_length; a memory-mapped array is fine.
    """

    def __init__(self, ids: np.ndarray, batch_size: int, context_length: int, seed: int) -> None:
        assert len(ids) > context_length >= 1, "ask fit_context for a context that the text has room for"
        assert batch_size >= 1
        self.ids = ids
        self.batch_size = batch_size
        self.context_length = context_length
        self.seed = seed
        self.positions = len(ids) - 1  # positions that have a next token
        # Wherever the cuts are, this many windows cover the text from end to end.
        self.windows_per_epoch = -(-(self.positions - 1) // context_length) + 1
        # Shuffling takes about as long for thousands of windows as for one, so it is done for many steps at once.
        self.steps_at_once = max(1, 4096 // batch_size)
        self.starts_at_hand: tuple[int, np.ndarray] | None = None

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        return windows_at(self.ids, self.starts_of(step), self.context_length)

    def starts_of(self, step: int) -> np.ndarray:
        """Return where in the text the windows of that step begin; int64 (B,)."""
        assert step >= 0
        block, place = divmod(step, self.steps_at_once)
        if self.starts_at_hand is None or self.starts_at_hand[0] != block:
            draws_at_once = self.steps_at_once * self.batch_size
            draws = np.arange(block * draws_at_once, (block + 1) * draws_at_once, dtype=np.uint64)
            self.starts_at_hand = block, self.starts(draws).reshape(self.steps_at_once, self.batch_size)
        found: np.ndarray = self.starts_at_hand[1][place]
        return found

    def starts(self, draws: np.ndarray) -> np.ndarray:
        """Return where in the text the windows with the draw numbers `draws` (n,) of the run begin; int64 (n,)."""
        epochs, places = np.divmod(draws, np.uint64(self.windows_per_epoch))
        keys = mixed(mixed(self.seed % 2**64) ^ epochs)
        windows = shuffled(places, self.windows_per_epoch, keys).astype(np.int64)
        phases = (mixed(keys) % np.uint64(self.context_length)).astype(np.int64)
        return np.clip(windows * self.context_length - phases, 0, self.positions - self.context_length)

    def epoch_of(self, step: int) -> float:
        """Return the number of epochs completed when `step` begins: 2.5 is in the middle of the third epoch."""
        return step * self.batch_size / self.windows_per_epoch


def windows_at(ids: np.ndarray, starts: np.ndarray, context_length: int) -> tuple[Tensor, Tensor]:
    """Return x, y, both int64 (B, T): the tokens from each of `starts` (B,) on, and those one position later."""
    return windows_of(ids[starts[:, None] + np.arange(context_length + 1)])


def windows_of(tokens: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return x, y, both int64 (B, T), of windows with the token behind each: (B, T + 1)."""
    both = torch.from_numpy(tokens.astype(np.int64))
    return both[:, :-1].contiguous(), both[:, 1:].contiguous()
