"""A head that is switched off has the effect that taking its weights away has, and the model is unchanged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from homespun.dataset.shards import Split
from homespun.errors import ModelError, UsageError
from homespun.evaluation.loss import evaluate
from homespun.insight.ablation import HeadsOff, Replacement, head_ablations, switch_off
from homespun.model.gpt import GPT
from homespun.tokenizer.tokenizer import Tokenizer
from tests.insight.conftest import FAMILIES, LENGTH, TEXT, hooks_of, small_model


def loss_of(model: GPT, ids: list[int]) -> float:
    return evaluate(model, Split("text", np.array(ids, np.uint16), len(ids), len(ids), 1)).loss


def loss_without(model: GPT, ids: list[int], off: list[tuple[int, int]], replacement: str) -> float:
    """The loss of a changed copy of the weights, and the weights put back."""
    width = model.config.head_width
    outputs: dict[int, list[torch.Tensor]] = {layer: [] for layer in range(model.config.n_layer)}
    hooks = [
        block.attention.output.register_forward_pre_hook(
            lambda module, inputs, layer=layer: outputs[layer].append(inputs[0].flatten(0, 1))
        )
        for layer, block in enumerate(model.blocks)
    ]
    loss_of(model, ids)
    for hook in hooks:
        hook.remove()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    hooks = []
    with torch.no_grad():
        for layer, head in off:
            part = slice(head * width, (head + 1) * width)
            output = model.blocks[layer].attention.output
            mean = torch.cat(outputs[layer]).mean(0)[part]
            added = output.weight[:, part] @ mean * (replacement == "mean")
            output.weight[:, part] = 0
            hooks.append(output.register_forward_hook(lambda module, inputs, out, added=added: out + added))
    found = loss_of(model, ids)
    for hook in hooks:
        hook.remove()
    model.load_state_dict(before)
    return found


@pytest.mark.parametrize("replacement", ["zero", "mean"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_table_is_the_loss_without_the_weights_of_each_head(
    family: str, replacement: Replacement, tokenizer: Tokenizer
) -> None:
    model = small_model(family, tokenizer)
    ids = tokenizer.encode(TEXT)
    found = head_ablations(model, tokenizer, ids, replacement=replacement)
    assert found.loss == pytest.approx(loss_of(model, ids), abs=1e-5) and found.tokens == len(ids) - 1
    for layer in range(2):
        for head in range(4):
            expected = loss_without(model, ids, [(layer, head)], replacement)
            assert found.without[layer, head] == pytest.approx(expected, abs=1e-5)
    assert np.abs(found.change).max() > 0.001, "some head matters"


@pytest.mark.parametrize("replacement", ["zero", "mean"])
@pytest.mark.parametrize("family", FAMILIES)
def test_several_heads_are_switched_off_at_once_and_every_token_is_told(
    family: str, replacement: Replacement, tokenizer: Tokenizer
) -> None:
    model = small_model(family, tokenizer)
    ids = tokenizer.encode(TEXT)
    off = [(1, 3), (0, 0), (0, 2)]
    found = switch_off(model, tokenizer, TEXT, off, replacement=replacement)
    assert found.heads == tuple(sorted(off))
    assert found.loss == pytest.approx(loss_of(model, ids), abs=1e-5)
    assert found.without == pytest.approx(loss_without(model, ids, off, replacement), abs=1e-4)
    assert np.isnan(found.surprises[0]) and found.surprises[1:].mean() == pytest.approx(found.loss, abs=1e-5)
    assert found.surprises_without[1:].mean() == pytest.approx(found.without, abs=1e-5)
    assert len(found.tokens) == len(ids) == len(found.surprises) == len(found.as_object()["surprises"])
    with torch.no_grad():
        logits = model(torch.tensor([ids[:LENGTH]]))[0][0].log_softmax(-1)
    expected = [-float(logits[place - 1, ids[place]]) for place in range(1, LENGTH)]
    np.testing.assert_allclose(found.surprises[1:LENGTH], expected, atol=1e-4)


def test_the_error_is_that_of_the_differences_of_all_predictions(tokenizer: Tokenizer) -> None:
    model = small_model("modern", tokenizer)
    table = head_ablations(model, tokenizer, TEXT)
    one = switch_off(model, tokenizer, TEXT, [(1, 2)])
    differences = (one.surprises_without - one.surprises)[1:]
    assert table.error[1, 2] == pytest.approx(differences.std() / np.sqrt(len(differences)), rel=1e-3)
    assert table.change[1, 2] == pytest.approx(one.change, abs=1e-5)


def test_nothing_of_the_model_is_changed(tokenizer: Tokenizer) -> None:
    model = small_model("modern", tokenizer).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    head_ablations(model, tokenizer, TEXT)
    switch_off(model, tokenizer, TEXT, [(0, 1)], replacement="mean")
    assert model.training and hooks_of(model) == 0
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_no_head_off_is_the_model_itself(tokenizer: Tokenizer) -> None:
    found = switch_off(small_model("gpt2", tokenizer), tokenizer, TEXT, [])
    np.testing.assert_array_equal(found.surprises, found.surprises_without)
    assert found.change == 0


def test_a_context_can_be_given_to_the_model_itself(tokenizer: Tokenizer) -> None:
    model = small_model("llama", tokenizer)
    ids = torch.tensor([tokenizer.encode(TEXT)[:LENGTH]])
    every: dict[Any, Any] = {(layer, head): 0.0 for layer in range(2) for head in range(4)}
    one = model(ids, context=HeadsOff(every))[0]
    other = model(torch.roll(ids, 5), context=HeadsOff(every))[0]
    # Without attention, a token is all that its prediction depends on.
    torch.testing.assert_close(torch.roll(one, 5, 1), other, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_errors_say_which_heads_there_are(tokenizer: Tokenizer) -> None:
    model = small_model("gpt2", tokenizer)
    with pytest.raises(UsageError, match=r"no head 4 in layer 0: .* 2 layers of 4 heads"):
        switch_off(model, tokenizer, TEXT, [(0, 4)])
    with pytest.raises(UsageError, match="zero or mean"):
        head_ablations(model, tokenizer, TEXT, replacement="median")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="A bigram has no heads"):
        head_ablations(small_model("bigram", tokenizer), tokenizer, TEXT)
