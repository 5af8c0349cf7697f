"""Where batches are put together: on the device that holds the whole text, or ahead of time in another thread.

All of them are the batches of `Batches`, to the bit. A GPU shall never wait for its data: a text of megabytes is
copied there once, and windows are gathered where they are needed; of a larger one, the next batch is read while
the current one is computed.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from homespun.dataset.batches import Batches
from homespun.dataset.sharded import ShardedIds
from homespun.dataset.sharded_batches import ShardedBatches
from homespun.machine.device import memory_free, to_device

SHARE_OF_TEXT = 0.05  # of a device's free memory: a text that takes more stays where it is


class BatchSource(Protocol):
    """`source[step]` is x, y of that step, both int64 (B, T)."""

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]: ...


def batches_of(ids: np.ndarray, batch_size: int, context_length: int, seed: int) -> BatchSource:
    """The batches of a text: in one file, or in shards."""
    if isinstance(ids, ShardedIds):
        return ShardedBatches(ids, batch_size, context_length, seed)
    return Batches(ids, batch_size, context_length, seed)


def placed(batches: BatchSource, device: torch.device | str) -> BatchSource:
    """The same batches for training on that device."""
    device = torch.device(device)
    if isinstance(batches, ShardedBatches):
        return BatchesAhead(batches, pinned=device.type == "cuda")  # a shard may have to come from elsewhere
    if device.type == "cpu" or not isinstance(batches, Batches):
        return batches
    if batches.ids.nbytes <= SHARE_OF_TEXT * memory_free(device):
        return BatchesOnDevice(batches, device)
    return BatchesAhead(batches, pinned=device.type == "cuda")


class BatchesOnDevice:
    """Batches that a device gathers from the text in its own memory; what it gets are where windows begin."""

    def __init__(self, batches: Batches, device: torch.device) -> None:
        self.batches = batches
        self.device = device
        self.is_short = batches.ids.dtype.itemsize == 2
        # PyTorch gathers from signed numbers only. As such, uint16 above 32,767 are negative until they are
        # masked; no uint32 is so large.
        signed = np.ascontiguousarray(batches.ids).view(np.int16 if self.is_short else np.int32)
        self.ids = torch.tensor(signed, device=device)  # (N,)
        self.places = torch.arange(batches.context_length + 1, device=device)  # (T + 1,)

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        starts = to_device(torch.from_numpy(self.batches.starts_of(step)), self.device)
        tokens = self.ids[starts[:, None] + self.places].long()  # (B, T + 1)
        if self.is_short:
            tokens &= 0xFFFF
        return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()


class BatchesAhead:
    """Batches of which a thread reads the next one, while the current one is used.

    pinned: into memory that a GPU can copy from without the processor.
    """

    def __init__(self, batches: BatchSource, *, pinned: bool) -> None:
        self.batches = batches
        self.pinned = pinned
        # One thread reads all of them, one after the other: a source need not be made for several.
        self.reader = ThreadPoolExecutor(1, thread_name_prefix="homespun-batches")
        self.ahead: tuple[int, Future[tuple[Tensor, Tensor]]] | None = None

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        if self.ahead is None or self.ahead[0] != step:
            if self.ahead is not None:
                self.ahead[1].cancel()
            self.ahead = step, self.reader.submit(self.read, step)
        x, y = self.ahead[1].result()
        self.ahead = step + 1, self.reader.submit(self.read, step + 1)
        return x, y

    def read(self, step: int) -> tuple[Tensor, Tensor]:
        x, y = self.batches[step]
        return (x.pin_memory(), y.pin_memory()) if self.pinned else (x, y)
