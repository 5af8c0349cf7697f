"""Rotary positions: what a score depends on is the distance."""

from __future__ import annotations

import math

import torch

from homespun.model.rotary import apply_rope, rope


def turned(vector: torch.Tensor, position: int) -> torch.Tensor:
    """The vector (D) as it stands at that position."""
    cosines, sines = rope(64, vector.numel(), 10_000.0)
    return apply_rope(vector.view(1, 1, 1, -1), cosines[position], sines[position]).flatten()


def test_the_score_of_two_tokens_depends_on_their_distance_alone() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(16), torch.randn(16)
    scores = [(turned(query, start + 7) @ turned(key, start)).item() for start in (0, 1, 20, 56)]
    for score in scores:
        assert math.isclose(score, scores[0], abs_tol=1e-4)
    assert not math.isclose((turned(query, 8) @ turned(key, 0)).item(), scores[0], abs_tol=1e-2)


def test_turning_keeps_the_length() -> None:
    torch.manual_seed(0)
    vector = torch.randn(16)
    torch.testing.assert_close(turned(vector, 41).norm(), vector.norm())


def test_the_first_position_is_not_turned() -> None:
    torch.manual_seed(0)
    vector = torch.randn(16)
    assert torch.equal(turned(vector, 0), vector)


def test_halves_are_the_pairs() -> None:
    vector = torch.tensor([1.0, 0.0, 0.0, 0.0])  # pairs (0, 2) and (1, 3)
    expected = torch.tensor([math.cos(1), 0.0, math.sin(1), 0.0])
    torch.testing.assert_close(turned(vector, 1), expected)


def test_turning_keeps_the_dtype() -> None:
    cosines, sines = rope(3, 8, 10_000.0)
    x = torch.randn(1, 2, 3, 8, dtype=torch.bfloat16)
    assert apply_rope(x, cosines, sines).dtype == torch.bfloat16
