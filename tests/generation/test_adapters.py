"""Several adapters over one base, in one batch: each text is that of the model with its adapter merged."""

from __future__ import annotations

import copy

import pytest
import torch

from homespun.errors import UsageError
from homespun.generation.adapters import LowRank
from homespun.generation.engine import Engine
from homespun.generation.request import Request
from homespun.model.gpt import GPT
from tests.generation.models import prompt_of, sure_model
from tests.generation.test_engine import LIKELIEST, all_blocks_are_free, ids_of

MATRICES = ("attention.query", "attention.value", "feed_forward.down")


def adapter_of(model: GPT, seed: int) -> dict[str, LowRank]:
    rng = torch.Generator().manual_seed(seed)
    changes = {}
    for name, weight in model.named_parameters():
        if name.startswith("blocks.") and name.removesuffix(".weight").endswith(MATRICES):
            a, b = (torch.randn(shape, generator=rng) for shape in ((3, weight.size(1)), (weight.size(0), 3)))
            changes[name] = LowRank(a, b, 0.05)
    assert len(changes) == 2 * len(MATRICES)
    return changes


def merged(model: GPT, changes: dict[str, LowRank]) -> GPT:
    whole = copy.deepcopy(model)
    with torch.no_grad():
        for name, weight in whole.named_parameters():
            if name in changes:
                weight += changes[name].scale * changes[name].b @ changes[name].a
    return whole


@pytest.mark.parametrize("family", ["modern", "gpt2"])
def test_texts_with_different_adapters_are_computed_together_as_each_is_alone(family: str) -> None:
    model = sure_model(family)
    adapters = {"one": adapter_of(model, 1), "two": adapter_of(model, 2)}
    expected = {
        name: ids_of(Engine(whole, cached=False).submit(Request(prompt_of(20), max_tokens=30, sampling=LIKELIEST)))
        for name, whole in [(None, model), *((name, merged(model, made)) for name, made in adapters.items())]
    }
    assert len({tuple(ids) for ids in expected.values()}) == 3
    engine = Engine(model, adapters=adapters)
    for _ in range(2):  # the second time, the blocks of each prompt are there already: nobody takes another's
        streams = {
            name: engine.submit(Request(prompt_of(20), max_tokens=30, sampling=LIKELIEST, adapter=name))
            for name in expected
        }
        assert {name: ids_of(stream) for name, stream in streams.items()} == expected
    assert all_blocks_are_free(engine)
    assert all(not hasattr(module, "changes") for module in model.modules())  # the model itself stays as it is


def test_an_adapter_that_is_not_there_is_refused_by_name() -> None:
    model = sure_model("modern")
    with pytest.raises(UsageError, match="no adapter 'three'"):
        Engine(model, adapters={"one": adapter_of(model, 1)}).submit(Request([1], adapter="three"))
    with pytest.raises(UsageError, match="no blocks"):
        Engine(sure_model("bigram"), adapters={"one": {}})
