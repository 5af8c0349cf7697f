"""Windows that overlap: which positions are counted, with how much before them."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from homespun.errors import UsageError
from homespun.evaluation import positions
from homespun.evaluation.loss import evaluate
from homespun.evaluation.positions import predictions, sliding_windows

from .test_loss import Uniform, random_split, small_gpt, split_of


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(positions).failed == 0


@given(st.integers(1, 60), st.integers(1, 12), st.data())
def test_every_position_is_counted_once_with_enough_before_it(
    count: int, context: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, context))
    counted: list[int] = []
    for window in sliding_windows(count, context, stride):
        end = window.start + window.length
        assert 0 < window.counted <= window.length <= context and end <= count
        for position in range(end - window.counted, end):
            assert position - window.start >= min(position, context - stride)
            counted.append(position)
    assert counted == list(range(count))


@pytest.mark.parametrize("tokens", [2, 5, 8, 9, 12, 13, 40, 101])
@pytest.mark.parametrize("stride", [1, 3, 4, 7])
def test_sliding_is_the_plain_loop_with_a_window_for_each_position(tokens: int, stride: int) -> None:
    model, split = small_gpt(context_length=8), random_split(tokens)
    ids = torch.from_numpy(split.ids.astype(np.int64))
    total = 0.0
    for window in sliding_windows(tokens - 1, 8, stride):
        end = window.start + window.length
        with torch.no_grad():
            logits, _ = model(ids[None, window.start : end], ids[None, window.start + 1 : end + 1])
        for place in range(window.length - window.counted, window.length):
            total += float(F.cross_entropy(logits[0, place], ids[window.start + place + 1]))
    assert evaluate(model, split, stride=stride).loss == pytest.approx(total / (tokens - 1), rel=1e-5)


def test_a_stride_of_the_whole_context_is_the_loss_without_overlap() -> None:
    model, split = small_gpt(), random_split(100)
    apart, sliding = evaluate(model, split), evaluate(model, split, stride=8)
    assert sliding.loss == apart.loss
    assert (apart.sliding, sliding.sliding) == (False, False)
    overlapping = evaluate(model, split, stride=2)
    assert (overlapping.sliding, overlapping.stride, overlapping.context_length) == (True, 2, 8)
    assert overlapping.loss != apart.loss


def test_with_a_stride_of_one_every_token_is_seen_with_a_full_window() -> None:
    model = Uniform(5, 8)
    evaluate(model, random_split(31, 5), stride=1, batch_size=64)
    assert model.shapes == [(1, 8), (22, 8)]


def test_predictions_come_in_the_order_of_the_text_whatever_the_batch_size() -> None:
    model, split = small_gpt(), random_split(50)
    model.eval()
    for size in (1, 3, 100):
        found = list(predictions(model, split.ids, stride=3, batch_size=size))
        assert torch.cat([targets for _, targets in found]).tolist() == split.ids[1:].tolist()
        assert sum(len(logits) for logits, _ in found) == 49


def test_the_batch_size_does_not_change_a_sliding_loss() -> None:
    model, split = small_gpt(), random_split(300)
    losses = [evaluate(model, split, stride=3, batch_size=size).loss for size in (1, 7, 1000)]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-6)


@pytest.mark.parametrize("stride", [0, -1, 9])
def test_an_impossible_stride_is_refused(stride: int) -> None:
    with pytest.raises(
        UsageError, match=f"8 tokens cannot slide by {stride}[^$]*between 1 and 8, such as --stride 4"
    ):
        evaluate(small_gpt(), random_split(50), stride=stride)


def test_gradients_are_wanted_again_between_two_predictions() -> None:
    model = small_gpt()
    for logits, _ in predictions(model, random_split(30).ids, batch_size=1):
        assert torch.is_grad_enabled() and not logits.requires_grad


def test_progress_is_told_of_sliding_windows_too() -> None:
    told: list[tuple[int, int]] = []
    evaluate(Uniform(5, 8), split_of([1] * 13), stride=4, batch_size=1, on_progress=lambda *now: told.append(now))
    assert told == [(8, 12), (12, 12)]
