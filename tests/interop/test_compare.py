"""How far a copy is from its original, and what that costs."""

from __future__ import annotations

import math

import pytest
import torch

from homespun.interop.compare import Text, compared, compared_with_candidates, log_probabilities, rarest_token
from homespun.model.gpt import GPT
from tests.checkpoint.models import lively, tiny


def model(seed: int = 0) -> GPT:
    made = lively(tiny("modern", vocab_size=7, context_length=8), seed)
    assert isinstance(made, GPT)
    return made


IDS = [1, 4, 2, 0, 6, 3, 5, 1, 2]  # one more than the context has


def test_a_model_is_not_far_from_itself() -> None:
    difference, cost = compared(model(), model(), [Text(IDS, 18)], [])
    assert (difference.positions, difference.same_choice, difference.largest) == (9, 9, 0)
    assert difference.divergence == pytest.approx(0, abs=1e-6)
    assert cost.before == cost.after
    assert cost.tokens == 7  # the first token of each of the two windows is not predicted
    assert cost.bytes == 14


def test_the_numbers_are_those_that_one_computes_by_hand() -> None:
    one, other = model(0), model(1)
    difference, cost = compared(one, other, [Text(IDS[:5], 5)], [])
    before, after = log_probabilities(one, IDS[:5]), log_probabilities(other, IDS[:5])
    how_to_fetch = sum(
        math.exp(before[row, id]) * float(before[row, id] - after[row, id]) for row in range(5) for id in range(7)
    )
    assert difference.divergence == pytest.approx(how_to_fetch / 5, rel=1e-4)
    assert difference.same_choice == sum(int(before[row].argmax() == after[row].argmax()) for row in range(5))
    assert cost.before == pytest.approx(-sum(float(before[at, IDS[at + 1]]) for at in range(4)), rel=1e-5)
    assert cost.bits_per_byte(cost.before) == pytest.approx(cost.before / math.log(2) / 4, rel=1e-5)


def test_marks_before_a_text_are_in_every_window() -> None:
    difference, cost = compared(model(), model(), [Text(IDS, 9)], [0])
    assert difference.positions == len(IDS) + 2  # windows of 7 and 2, each with the mark
    assert cost.tokens == len(IDS)


def test_another_program_is_compared_by_its_likeliest_tokens() -> None:
    before = log_probabilities(model(), IDS[:3])
    all_of_it = [[dict(enumerate(row.tolist())) for row in before]]
    assert compared_with_candidates(model(), [IDS[:3]], all_of_it).largest == 0
    without_the_best = [[{id: p for id, p in one.items() if p < max(one.values())} for one in all_of_it[0]]]
    assert compared_with_candidates(model(), [IDS[:3]], without_the_best).largest == math.inf


def test_what_is_no_number_is_not_close() -> None:
    broken = model()
    with torch.no_grad():
        broken.head.weight[0, 0] = math.nan
    difference, _ = compared(model(), broken, [Text(IDS[:4], 4)], [])
    assert difference.largest == math.inf
    assert not difference.divergence <= 1


def test_the_rarest_token_is_the_one_that_is_expected_least() -> None:
    rarest, share = rarest_token(model(), [Text(IDS[:8], 8)], [], 7)
    expected = log_probabilities(model(), IDS[:8]).exp().mean(0)
    assert rarest == int(expected.argmin())
    assert share == pytest.approx(float(expected.min()), rel=1e-4)
