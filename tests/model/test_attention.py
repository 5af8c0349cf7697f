"""Two ways to compute attention, and heads that share keys and values."""

from __future__ import annotations

import pytest
import torch

from homespun.model.dot_product import attend, attend_explicitly, attend_fused, causal_mask
from tests.model.shapes import FAMILY_NAMES, lively, random_ids, tiny


def random_heads(
    queries: int, tokens: int, heads: int, shared: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(queries * 100 + tokens)
    return torch.randn(2, heads, queries, 8), torch.randn(2, shared, tokens, 8), torch.randn(2, shared, tokens, 8)


@pytest.mark.parametrize(("heads", "shared"), [(4, 4), (4, 2), (6, 1)])
@pytest.mark.parametrize(("queries", "tokens"), [(9, 9), (1, 9), (3, 9), (1, 1)])
def test_the_explicit_way_and_the_fused_one_agree(queries: int, tokens: int, heads: int, shared: int) -> None:
    q, k, v = random_heads(queries, tokens, heads, shared)
    explicit, fused = attend_explicitly(q, k, v, 0.3), attend_fused(q, k, v, 0.3)
    assert explicit.shape == (2, heads, queries, 8)
    torch.testing.assert_close(explicit, fused, atol=1e-6, rtol=1e-5)


def test_both_ways_have_the_same_gradients() -> None:
    gradients = []
    for way in (attend_explicitly, attend_fused):
        q, k, v = (part.requires_grad_() for part in random_heads(9, 9, 4, 2))
        way(q, k, v, 0.3).square().sum().backward()
        gradients.append((q.grad, k.grad, v.grad))
    for explicit, fused in zip(*gradients, strict=True):
        torch.testing.assert_close(explicit, fused, atol=1e-5, rtol=1e-4)


def test_shared_heads_equal_full_heads_that_repeat_them() -> None:
    q, k, v = random_heads(9, 9, 6, 2)
    full = attend_explicitly(q, k.repeat_interleave(3, dim=1), v.repeat_interleave(3, dim=1), 0.3)
    for way in (attend, attend_explicitly, attend_fused):
        torch.testing.assert_close(way(q, k, v, 0.3), full, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_model_with_shared_heads_equals_one_that_has_them_repeated(family: str) -> None:
    grouped = lively(tiny(family, n_kv_head=2))
    full = lively(tiny(family, n_kv_head=4))
    weights = grouped.state_dict()
    for name, weight in weights.items():
        if ".attention.key." in name or ".attention.value." in name:
            heads = weight.unflatten(0, (2, 8)).repeat_interleave(2, dim=0)  # (H, D, …)
            weights[name] = heads.flatten(0, 1)
    full.load_state_dict(weights)
    ids = random_ids(grouped.config, 2, 12)
    torch.testing.assert_close(grouped(ids)[0], full(ids)[0], atol=1e-4, rtol=1e-4)


def test_every_row_of_weights_adds_up_to_one() -> None:
    q, k, _ = random_heads(5, 9, 4, 4)
    ones = torch.ones(2, 4, 9, 8)
    torch.testing.assert_close(attend_explicitly(q, k, ones, 0.3), torch.ones(2, 4, 5, 8))


def test_the_first_token_sees_itself_alone() -> None:
    q, k, v = random_heads(9, 9, 4, 4)
    torch.testing.assert_close(attend_explicitly(q, k, v, 0.3)[:, :, 0], v[:, :, 0])


def test_queries_are_the_last_of_the_tokens() -> None:
    assert causal_mask(2, 4, torch.device("cpu")).tolist() == [[True, True, True, False], [True, True, True, True]]


def test_the_lecture_scales_by_the_width_of_the_input() -> None:
    assert lively(tiny("lecture")).blocks[0].attention.scale == 32**-0.5
    assert lively(tiny("modern")).blocks[0].attention.scale == 8**-0.5
