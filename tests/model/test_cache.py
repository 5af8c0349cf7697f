"""The key-value cache: a text that comes in parts gives what it gives as a whole."""

from __future__ import annotations

import pytest
import torch

from homespun.errors import ModelError
from homespun.model.cache import KVCache
from tests.model.shapes import FAMILY_NAMES, lively, random_ids, tiny


@pytest.mark.parametrize("parts", [[1] * 12, [5, 1, 1, 1, 4], [3, 3, 6], [11, 1], [12]])
@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_cached_text_in_parts_equals_the_whole(family: str, parts: list[int]) -> None:
    config = tiny(family, n_kv_head=2)
    model = lively(config)
    ids = random_ids(config, 3, 12)
    for grad in (True, False):  # the explicit way and the fused one
        with torch.set_grad_enabled(grad):
            whole, _ = model(ids)
            cache = KVCache(config, batch_size=3)
            logits = [model(part, cache=cache)[0] for part in ids.split(parts, dim=1)]
            assert cache.length == 12
            torch.testing.assert_close(torch.cat(logits, dim=1), whole, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize(("weights", "kept"), [(torch.float32, torch.bfloat16), (torch.bfloat16, torch.float32)])
def test_a_cache_of_another_dtype_comes_close(weights: torch.dtype, kept: torch.dtype, grad: bool) -> None:
    config = tiny("modern")
    model = lively(config)
    ids = random_ids(config, 1, 12)
    whole, _ = model(ids)
    model.to(weights)
    with torch.set_grad_enabled(grad):
        cache = KVCache(config, dtype=kept)
        logits = torch.cat([model(part, cache=cache)[0] for part in ids.split(4, dim=1)], dim=1)
    assert logits.dtype == weights
    assert (logits - whole).abs().mean() < 0.05 * whole.abs().mean()


def test_a_text_that_outgrows_the_context_is_refused_in_the_middle() -> None:
    config = tiny("modern")
    model, cache = lively(config), KVCache(config)
    with torch.no_grad():
        model(random_ids(config, 1, 10), cache=cache)
        with pytest.raises(ModelError, match="13 tokens are more than the context_length of 12"):
            model(random_ids(config, 1, 3), cache=cache)
        assert cache.length == 10
        model(random_ids(config, 1, 2), cache=cache)  # what fits still goes in


def test_a_cache_that_is_shorter_than_the_context_says_so() -> None:
    config = tiny("modern")
    with torch.no_grad(), pytest.raises(ModelError) as caught:
        lively(config)(random_ids(config, 1, 6), cache=KVCache(config, length=5))
    assert str(caught.value) == (
        "The cache has room for 5 tokens and was given 6.\n"
        "Start again from the last tokens of the text: the window of the model is full."
    )
