"""The batches of a dataset in shards: a function of the seed and the step, from a few shards at a time.

In each epoch the shards are shuffled, and so are the windows of every GROUP of them, one group after the other.
So a run needs few shards at once and knows long before which ones, wherever they lie. There is no index in
memory, not for 100 billion tokens either. Windows end where their shard ends: a shard that is shorter than one
is left out.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from homespun.dataset.batches import windows_of
from homespun.dataset.sharded import ShardedIds
from homespun.dataset.shuffle import mixed, shuffled

GROUP = 8  # shards whose windows are shuffled together


@dataclass(frozen=True)
class Epoch:
    """key: of its shuffles. order: the shards (S,). ends: windows up to the end of each group, in that order."""

    number: int
    key: np.ndarray
    order: np.ndarray
    ends: np.ndarray


class ShardedBatches:
    """All batches of a run: `batches[step]` is x, y, both int64 (B, T), for step 0, 1, 2, …"""

    def __init__(self, ids: ShardedIds, batch_size: int, context_length: int, seed: int) -> None:
        self.ids = ids
        self.batch_size = batch_size
        self.context_length = context_length
        self.seed = seed
        # As in `Batches`: wherever the cuts are, so many windows cover a shard from end to end.
        whole = -(-(ids.lengths - 2) // context_length) + 1
        self.windows = np.where(ids.lengths > context_length, whole, 0).astype(np.int64)  # (S,)
        self.windows_per_epoch = int(self.windows.sum())
        assert self.windows_per_epoch, "no shard is as long as a window"
        self.epoch: Epoch | None = None
        self.fetcher = ThreadPoolExecutor(1, thread_name_prefix="homespun-shards")
        self.fetched: tuple[int, int] | None = None  # epoch and group that were fetched ahead

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        shards, starts = self.windows_at(step)
        self.fetch_ahead(step + 1)
        length = self.context_length + 1
        pairs = zip(shards.tolist(), starts.tolist(), strict=True)
        return windows_of(np.stack([self.ids.shard(shard)[start : start + length] for shard, start in pairs]))

    def windows_at(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The shard of each window of that step, and where in it the window begins: int64 (B,) both."""
        assert step >= 0
        draws = step * self.batch_size + np.arange(self.batch_size, dtype=np.int64)
        epochs, places = np.divmod(draws, self.windows_per_epoch)
        shards, starts = np.empty_like(draws), np.empty_like(draws)
        for epoch in np.unique(epochs):
            plan = self.plan(int(epoch))
            groups = np.searchsorted(plan.ends, places, side="right")
            for group in np.unique(groups[epochs == epoch]):
                here = (epochs == epoch) & (groups == group)
                shards[here], starts[here] = self.windows_in(plan, int(group), places[here])
        return shards, starts

    def windows_in(self, plan: Epoch, group: int, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same for windows of one group, by their places in the epoch (n,)."""
        begin = int(plan.ends[group - 1]) if group else 0
        key = mixed(plan.key ^ np.uint64(group))
        windows = shuffled(places - begin, int(plan.ends[group]) - begin, key).astype(np.int64)
        members = np.array(self.group(plan, group))
        ends = np.cumsum(self.windows[members])
        which = np.searchsorted(ends, windows, side="right")
        shards = members[which]
        windows -= ends[which] - self.windows[shards]
        phases = mixed(plan.key ^ (shards.astype(np.uint64) + np.uint64(2**32))) % np.uint64(self.context_length)
        last = self.ids.lengths[shards] - 1 - self.context_length
        return shards, np.clip(windows * self.context_length - phases.astype(np.int64), 0, last)

    def plan(self, number: int) -> Epoch:
        """The order of the shards in that epoch."""
        if self.epoch is None or self.epoch.number != number:
            key = mixed(mixed(self.seed % 2**64) ^ np.uint64(number))
            order = shuffled(np.arange(len(self.windows)), len(self.windows), key).astype(np.int64)
            ends = np.cumsum(self.windows[order])[GROUP - 1 :: GROUP]
            if len(order) % GROUP:
                ends = np.append(ends, self.windows_per_epoch)
            self.epoch = Epoch(number, key, order, ends)
        return self.epoch

    def group(self, plan: Epoch, group: int) -> list[int]:
        found: list[int] = plan.order[group * GROUP : (group + 1) * GROUP].tolist()
        return found

    def fetch_ahead(self, step: int) -> None:
        """Have the shards of the next group fetched, while those of this one are used."""
        epoch, place = divmod(step * self.batch_size, self.windows_per_epoch)
        plan = self.plan(epoch)
        following = int(np.searchsorted(plan.ends, place, side="right")) + 1
        if following >= len(plan.ends) or self.fetched == (epoch, following):
            return
        self.fetched = epoch, following
        for shard in self.group(plan, following):
            if self.windows[shard]:
                self.fetcher.submit(self.ids.place.path_of, self.ids.shards[shard])
