"""Tensors in memory of our own: equal to the originals, apart from each other, and freed when unused."""

from __future__ import annotations

import gc
import weakref

import torch

from homespun.machine.memory import Arena


def test_copies_are_equal_aligned_and_do_not_overlap() -> None:
    arena = Arena()
    shapes = [(3,), (), (5, 7), (0, 4), (64,), (1000, 33)]
    values = [torch.randn(shape) for shape in shapes] + [torch.arange(5, dtype=torch.int8)]
    copies = [arena.copy(value) for value in values]
    for value, copy in zip(values, copies, strict=True):
        assert torch.equal(value, copy) and value.dtype == copy.dtype
        assert value.numel() == 0 or copy.data_ptr() % Arena.ALIGNMENT == 0
    copies[0].fill_(9)
    assert all(torch.equal(*pair) for pair in zip(values[1:], copies[1:], strict=True))


def test_a_tensor_that_is_not_contiguous_is_copied_in_its_order() -> None:
    values = torch.arange(6.0).view(2, 3).T
    copy = Arena().copy(values)
    assert copy.is_contiguous() and torch.equal(copy, values)


def test_a_tensor_that_no_chunk_holds_gets_one_of_its_size() -> None:
    arena = Arena()
    large = torch.ones(Arena.CHUNK // 4 + 1)
    first, second, third = arena.copy(torch.ones(3)), arena.copy(large), arena.copy(torch.ones(3))
    assert torch.equal(second, large) and torch.equal(first, third)


def test_memory_is_freed_with_the_last_tensor() -> None:
    arena = Arena()
    copy = arena.copy(torch.ones(3))
    assert arena.chunk is not None
    chunk = weakref.ref(arena.chunk)
    del arena
    gc.collect()
    assert chunk() is not None and copy.sum() == 3
    del copy
    gc.collect()
    assert chunk() is None
