"""Batches on a device and ahead of time are the batches, to the bit. The device of these tests is the CPU."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from homespun.dataset.batches import Batches
from homespun.dataset.placement import BatchesAhead, BatchesOnDevice, placed


def batches_of(dtype: str, vocab_size: int) -> Batches:
    ids = np.random.default_rng(0).integers(0, vocab_size, 500).astype(dtype)
    ids[:2] = vocab_size - 1
    return Batches(ids, batch_size=4, context_length=8, seed=3)


def assert_same(found: tuple[torch.Tensor, ...], expected: tuple[torch.Tensor, ...]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.int64 and one.is_contiguous()
        assert torch.equal(one, other)


@pytest.mark.parametrize(("dtype", "vocab_size"), [("<u2", 65), ("<u2", 2**16), ("<u4", 200_000)])
def test_a_device_gathers_the_same_batches(dtype: str, vocab_size: int) -> None:
    batches = batches_of(dtype, vocab_size)
    on_device = BatchesOnDevice(batches, torch.device("cpu"))
    for step in (0, 1, 2000, 1):
        assert_same(on_device[step], batches[step])
    assert on_device.ids.nbytes == batches.ids.nbytes  # not as int64


def test_a_read_only_text_is_copied(recwarn: pytest.WarningsRecorder) -> None:
    batches = batches_of("<u2", 65)
    batches.ids.flags.writeable = False  # as a memory-mapped file is
    assert_same(BatchesOnDevice(batches, torch.device("cpu"))[5], batches[5])
    assert not [warning for warning in recwarn if "writable" in str(warning.message)]


def test_the_next_batch_is_read_while_one_is_used() -> None:
    batches = batches_of("<u2", 65)
    read = threading.Event()
    asked: list[int] = []

    class Source:
        def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
            asked.append(step)
            if step == 1:
                read.set()
            return batches[step]

    ahead = BatchesAhead(Source(), pinned=False)
    assert_same(ahead[0], batches[0])
    assert read.wait(20), "nobody has read the next one"
    assert_same(ahead[1], batches[1])
    assert_same(ahead[7], batches[7])  # a run that was resumed elsewhere
    assert_same(ahead[8], batches[8])
    assert asked[:2] == [0, 1] and asked.count(1) == 1 and asked.count(8) == 1


def test_what_goes_wrong_in_reading_is_raised_where_the_batch_is_asked_for() -> None:
    class Source:
        def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
            if step == 1:
                raise OSError("the disk is gone")
            return torch.zeros(1), torch.zeros(1)

    ahead = BatchesAhead(Source(), pinned=False)
    assert len(ahead[0]) == 2
    with pytest.raises(OSError, match="disk"):
        ahead[1]


def test_a_text_goes_to_a_device_that_has_room_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = batches_of("<u2", 65)
    assert placed(batches, "cpu") is batches
    monkeypatch.setattr("homespun.dataset.placement.BatchesOnDevice", lambda batches, device: device)
    for free, here in ((10**9, True), (1000, False)):
        monkeypatch.setattr("homespun.dataset.placement.memory_free", lambda device, free=free: free)
        found = placed(batches, "cuda:1")
        assert found == torch.device("cuda:1") if here else isinstance(found, BatchesAhead)
