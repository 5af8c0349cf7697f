"""How sure a model is against how often it is right, where both are known."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
import torch

from homespun.evaluation import calibration
from homespun.evaluation.calibration import calibrate, calibration_of
from homespun.evaluation.loss import evaluate
from homespun.model.bigram import Bigram
from homespun.model.config import BigramConfig

from .test_loss import split_of


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(calibration).failed == 0


def coin(share: float) -> Bigram:
    """Whatever came, it says that a 1 comes next with that share."""
    model = Bigram(BigramConfig(vocab_size=2, context_length=16))
    model.table.weight.data = torch.tensor([[1 - share, share]] * 2).log()
    return model


def test_a_model_that_says_what_is_so_is_calibrated() -> None:
    found = calibrate(coin(0.75), split_of([0, *[1, 1, 1, 0] * 50]))
    assert found.error == pytest.approx(0, abs=1e-6)
    assert (found.said, found.came) == pytest.approx((0.75, 0.75))
    assert [one.tokens for one in found.bins] == [0] * 7 + [200, 0, 0]


def test_a_model_that_is_too_sure_is_off_by_how_much_it_is_too_sure() -> None:
    found = calibrate(coin(0.95), split_of([0, *[1, 1, 1, 0] * 50]))
    assert found.error == pytest.approx(0.2)
    assert (found.bins[9].said, found.bins[9].came) == pytest.approx((0.95, 0.75))


def test_the_error_is_the_mean_over_positions_not_over_bins() -> None:
    said = torch.tensor([0.55] * 9 + [1.0])
    right = torch.tensor([True] * 9 + [False])
    assert calibration_of(said, right).error == pytest.approx((9 * 0.45 + 1 * 1.0) / 10)


def test_too_sure_and_not_sure_enough_do_not_cancel_out() -> None:
    said, right = torch.tensor([0.95] * 10 + [0.55] * 10), torch.tensor(([True] * 7 + [False] * 3) * 2)
    right[10:] = torch.tensor([True] * 8 + [False] * 2)
    found = calibration_of(said, right)
    assert found.said == pytest.approx(found.came)
    assert found.error == pytest.approx(0.25)


@pytest.mark.parametrize("said", [0.0, 0.1, 0.5, 1.0])
def test_every_share_has_a_bin(said: float) -> None:
    found = calibration_of(torch.tensor([said]), torch.tensor([True]))
    [one] = [one for one in found.bins if one.tokens]
    assert one.low <= said + 1e-6 and said <= one.high + 1e-6
    assert (one.said, one.came) == pytest.approx((said, 1.0))


def test_every_token_counts_once_with_and_without_a_stride() -> None:
    model, split = coin(0.6), split_of(np.random.default_rng(0).integers(0, 2, 101))
    for stride in (None, 3):
        found = calibrate(model, split, stride=stride)
        assert sum(one.tokens for one in found.bins) == 100
        right = int((split.ids[1:] == 1).sum())
        assert found.came == pytest.approx(right / 100)


def test_the_model_is_left_as_it_was() -> None:
    model = coin(0.6).train()
    calibrate(model, split_of([0, 1] * 20))
    assert model.training and math.isfinite(evaluate(model, split_of([0, 1] * 20)).loss)
