"""The backward passes written by hand compute what PyTorch's do."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from homespun.kernels import eager as module
from homespun.kernels.eager import AttentionByHand, NormByHand, SwiGLUByHand, by_hand, eager
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT, build
from tests.training import passes
from tests.training.passes import error

BF16 = torch.bfloat16


def model_of(family: str, **changes: Any) -> GPT:
    sizes: dict[str, Any] = {"vocab_size": 65, "context_length": 40, "n_layer": 2, "n_head": 4, "n_embd": 48}
    torch.manual_seed(0)
    model = build(GPTConfig.of(family, **(sizes | changes)))
    assert isinstance(model, GPT)
    with torch.no_grad():
        for weight in model.parameters():  # norms and biases begin as ones and zeros, which hide mistakes
            weight.add_(torch.randn_like(weight), alpha=0.2)
    return model


loss_and_gradient = partial(passes.loss_and_gradient, texts=5, tokens=37)


FAMILIES = [
    ("modern", {}),
    ("modern", {"n_kv_head": 1}),
    ("gpt2", {}),
    ("llama", {"n_kv_head": 2, "tied_head": True}),
    ("qwen2", {"n_kv_head": 2}),
    ("lecture", {"dropout": 0.0}),
    ("modern", {"dropout": 0.3}),  # the same numbers fall
    ("llama", {"n_kv_head": 2, "dropout": 0.3}),
]


@pytest.mark.parametrize("at_once", [1, 5000, 2**30], ids=["one by one", "some", "all"])
@pytest.mark.parametrize(("family", "changes"), FAMILIES)
def test_loss_and_gradient_are_those_of_the_model(
    family: str, changes: dict[str, Any], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    model = model_of(family, **changes)
    right_loss, right = loss_and_gradient(model, model, torch.float32)
    loss, gradient = loss_and_gradient(by_hand(model), model, torch.float32)
    assert loss == pytest.approx(right_loss, rel=1e-6)
    assert error(gradient, right) < 1e-5


@pytest.mark.parametrize(("family", "changes"), FAMILIES)
def test_in_bfloat16_they_are_as_near_to_float32_as_those_of_the_model(
    family: str, changes: dict[str, Any]
) -> None:
    model = model_of(family, **changes)
    right_loss, right = loss_and_gradient(model, model, torch.float32)
    plain_loss, plain = loss_and_gradient(model, model, BF16)
    loss, gradient = loss_and_gradient(by_hand(model), model, BF16)
    assert abs(loss - right_loss) < 2 * abs(plain_loss - right_loss) + 2e-3
    assert error(gradient, right) < 1.3 * error(plain, right)


def test_the_weights_are_shared_and_the_model_is_left_as_it_is() -> None:
    model = model_of("modern")
    before = str(model)
    twin = by_hand(model)
    assert {id(weight) for weight in twin.parameters()} == {id(weight) for weight in model.parameters()}
    assert str(model) == before
    assert {AttentionByHand, NormByHand, SwiGLUByHand} <= {type(part) for part in twin.modules()}


def test_dropout_in_attention_is_left_to_pytorch() -> None:
    twin = by_hand(model_of("gpt2", dropout=0.1))
    assert not any(isinstance(part, AttentionByHand) for part in twin.modules())


def test_what_is_no_gpt_on_a_processor_stays_as_it_is() -> None:
    other = nn.Linear(2, 2)
    assert eager(other) is other
    elsewhere = model_of("modern").to("meta")
    assert eager(elsewhere) is elsewhere


def test_documents_beside_each_other_do_not_see_each_other() -> None:
    model = model_of("modern").train()
    ids = torch.randint(65, (2, 20))
    documents = torch.arange(20).ge(7).long().expand(2, 20)
    positions = torch.cat([torch.arange(7), torch.arange(13)]).expand(2, 20)
    found = by_hand(model)(ids, ids, documents=documents, positions=positions)[1]
    right = model(ids, ids, documents=documents, positions=positions)[1]
    torch.testing.assert_close(found, right)
