"""One way to exchange a module: in place, or on a copy that shares the weights."""

from __future__ import annotations

import torch
from torch import nn

from homespun.finetuning.lora import add_lora, lora_parts
from homespun.kernels.exchange import Exchanged, exchange, sharing_weights
from homespun.kernels.recompute import RecomputedBlock, recompute_blocks
from homespun.kernels.rounding import RoundedLinear, with_rounded_weights
from tests.finetuning.conftest import tiny_model

IDS = torch.arange(24).view(2, 12)


class DoubledLinear(Exchanged, nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


def doubled_head(name: str, module: nn.Module) -> nn.Module | None:
    return DoubledLinear(module) if name == "head" else None


def test_a_module_is_exchanged_in_place() -> None:
    model = tiny_model("modern")
    with torch.no_grad():
        before = model(IDS)[0]
        assert exchange(model, doubled_head) is model
        torch.testing.assert_close(model(IDS)[0], 2 * before)


def test_a_copy_shares_the_weights_and_the_model_stays_as_it_is() -> None:
    model = tiny_model("modern", tied_head=False)
    with torch.no_grad():
        before = model(IDS)[0]
        other = exchange(model, doubled_head, copy=True)
        assert torch.equal(model(IDS)[0], before)
        model.head.weight.mul_(3)  # it is the other's, too
        torch.testing.assert_close(other(IDS)[0], 2 * 3 * before)
    assert {id(weight) for weight in other.parameters()} == {id(weight) for weight in model.parameters()}


def test_modules_inside_of_others_are_asked_for_first_and_names_are_paths() -> None:
    names: list[str] = []
    exchange(tiny_model("modern", n_layer=1), lambda name, module: names.append(name))
    assert names.index("blocks.0.attention.query") < names.index("blocks.0.attention") < names.index("blocks.0")


def test_a_frozen_matrix_is_shared_by_copies_too() -> None:
    model = tiny_model("llama")
    add_lora(model, rank=2, alpha=4.0, dtype=torch.bfloat16)
    other = sharing_weights(model)
    for name, layer in lora_parts(other).items():
        assert layer.base.weight() is lora_parts(model)[name].base.weight()


def test_what_was_exchanged_once_can_be_exchanged_around() -> None:
    """LoRA inside of blocks that are recomputed, rounded weights beside LoRA."""
    model = tiny_model("llama")
    add_lora(model, rank=2, alpha=4.0, dtype=torch.float32)
    with torch.no_grad():
        before = model(IDS)[0]
        recompute_blocks(model)
        assert torch.equal(model(IDS)[0], before)
    assert len(lora_parts(model)) == 2 * 7 and all(isinstance(block, RecomputedBlock) for block in model.blocks)
    rounded = with_rounded_weights(sharing_weights(model), "int8")
    assert isinstance(rounded.head, RoundedLinear) and not isinstance(model.head, RoundedLinear)


def test_the_names_of_parameters_stay() -> None:
    model = tiny_model("gpt2")
    names = list(model.state_dict())
    recompute_blocks(model)
    exchange(model, doubled_head)
    assert list(model.state_dict()) == names
