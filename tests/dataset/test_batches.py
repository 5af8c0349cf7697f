from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.dataset import shuffle
from homespun.dataset.batches import Batches, get_batch
from homespun.dataset.shuffle import mixed, shuffled


def char_ids(text: str) -> np.ndarray:
    number = {character: id for id, character in enumerate(sorted(set(text)))}
    return np.array([number[character] for character in text], dtype=np.uint16)


def positions_seen(batches: Batches, steps: range) -> np.ndarray:
    """How often each position was an input, for ids that are their own positions."""
    seen = np.zeros(len(batches.ids), dtype=int)
    for step in steps:
        np.add.at(seen, batches[step][0].numpy().ravel(), 1)
    return seen[:-1]


# The lecture's batch


def test_the_lectures_batch_comes_out_exactly(shakespeare_text):
    train = char_ids(shakespeare_text)[:1_003_854]
    torch.manual_seed(1337)
    x, y = get_batch(train, 4, 8)
    assert x.tolist() == [
        [24, 43, 58, 5, 57, 1, 46, 43],
        [44, 53, 56, 1, 58, 46, 39, 58],
        [52, 58, 1, 58, 46, 39, 58, 1],
        [25, 17, 27, 10, 0, 21, 1, 54],
    ]
    assert y[:, :-1].tolist() == x[:, 1:].tolist()
    assert y[:, -1].tolist() == [39, 1, 46, 39]


def test_one_block_of_eight_is_eight_examples(shakespeare_text):
    block = char_ids(shakespeare_text)[:9].tolist()
    assert block == [18, 47, 56, 57, 58, 1, 15, 47, 58]
    x, y = Batches(np.array(block, dtype=np.uint16), 1, 8, seed=0)[0]
    assert [(x[0, : t + 1].tolist(), int(y[0, t])) for t in range(8)] == [
        (block[: t + 1], block[t + 1]) for t in range(8)
    ]


def test_the_lectures_batch_takes_a_tensor_and_a_generator():
    ids = torch.arange(100)
    x, y = get_batch(ids, 5, 10, torch.Generator().manual_seed(3))
    assert (x.dtype, x.shape, y.shape) == (torch.int64, (5, 10), (5, 10))
    assert torch.equal(y, x + 1)
    assert torch.equal(x, get_batch(ids, 5, 10, torch.Generator().manual_seed(3))[0])


# The batches of a run


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_y_is_what_follows_x(dtype):
    x, y = Batches(np.arange(1000, dtype=dtype), 6, 32, seed=1)[17]
    assert (x.dtype, x.shape, y.shape) == (torch.int64, (6, 32), (6, 32))
    assert x.is_contiguous() and y.is_contiguous()
    assert torch.equal(y, x + 1)
    assert torch.equal(x, x[:, :1] + torch.arange(32))


def test_batches_do_not_depend_on_the_order_of_asking():
    ids = np.arange(5000, dtype=np.uint16)
    forwards = Batches(ids, 7, 16, seed=5)
    wanted = {step: forwards[step] for step in range(1300)}
    backwards = Batches(ids, 7, 16, seed=5)
    for step in [1299, 0, 650, 649, 3, 1299, 584, 585, 586]:
        assert all(torch.equal(a, b) for a, b in zip(backwards[step], wanted[step], strict=True))


def test_batches_stay_the_same_from_release_to_release():
    x, _ = Batches(np.arange(1000, dtype=np.uint16), 4, 10, seed=1337)[3]
    assert x[:, 0].tolist() == [493, 723, 623, 223]


def test_other_seeds_give_other_batches():
    ids = np.arange(5000, dtype=np.uint16)
    firsts = {tuple(Batches(ids, 8, 16, seed=seed)[0][0][:, 0].tolist()) for seed in range(50)}
    assert len(firsts) == 50


@pytest.mark.parametrize(("tokens", "context_length"), [(1001, 7), (4097, 64), (500, 499), (60, 20), (21, 1)])
def test_an_epoch_uses_every_position_about_once(tokens, context_length):
    batches = Batches(np.arange(tokens, dtype=np.uint16), 1, context_length, seed=4)
    n = batches.windows_per_epoch
    for epoch in range(4):
        seen = positions_seen(batches, range(epoch * n, (epoch + 1) * n))
        assert seen.min() >= 1
        assert seen.max() <= 3
        assert (seen[context_length : -2 * context_length] == 1).all()


def test_the_next_epoch_has_another_order_and_other_cuts():
    batches = Batches(np.arange(2000, dtype=np.uint16), 1, 50, seed=4)
    n = batches.windows_per_epoch
    starts = batches.starts(np.arange(8 * n, dtype=np.uint64)).reshape(8, n)
    assert len({tuple(epoch) for epoch in starts.tolist()}) == 8
    middle = [int(epoch[(epoch > 100) & (epoch < 1000)][0]) % 50 for epoch in starts]
    assert len(set(middle)) > 4


def test_a_batch_larger_than_the_text_goes_through_it_several_times():
    batches = Batches(np.arange(30, dtype=np.uint16), 64, 8, seed=2)
    x, y = batches[0]
    assert x.shape == (64, 8)
    assert torch.equal(y, x + 1)
    assert set(x.flatten().tolist()) == set(range(29))
    assert batches.epoch_of(1) > 10


def test_the_shortest_text_there_can_be():
    x, y = Batches(np.array([5, 6], dtype=np.uint16), 3, 1, seed=0)[9]
    assert x.tolist() == [[5]] * 3
    assert y.tolist() == [[6]] * 3


def test_epochs_are_counted_in_windows():
    batches = Batches(np.arange(1000, dtype=np.uint16), 10, 10, seed=0)
    assert batches.epoch_of(0) == 0
    assert batches.epoch_of(batches.windows_per_epoch) == 10


def test_a_billion_tokens_need_no_memory_for_their_order():
    ids = np.broadcast_to(np.uint16(7), 10**9)  # one number, looking like a billion
    starts = Batches(ids, 4, 8, seed=0).starts(np.arange(4096, dtype=np.uint64))
    assert len(set(starts.tolist())) == 4096
    assert 0 <= starts.min() < 10**7 and 99 * 10**7 < starts.max() <= 10**9 - 9


# The shuffle


def test_the_examples_in_the_docstrings():
    assert doctest.testmod(shuffle).failed == 0


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
def test_a_shuffle_has_every_number_once(length, key):
    assert sorted(shuffled(np.arange(length), length, key).tolist()) == list(range(length))


def test_a_shuffle_leaves_no_trace_of_the_order():
    n = 10_000
    order = shuffled(np.arange(n), n, keys=11).astype(float)
    assert abs(np.corrcoef(np.arange(n), order)[0, 1]) < 0.05
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.05


def test_every_number_comes_first_as_often_as_any_other():
    firsts = shuffled(np.zeros(20_000, dtype=int), 10, keys=mixed(np.arange(20_000)))
    assert (np.abs(np.bincount(firsts.astype(int), minlength=10) - 2000) < 200).all()
