"""LoRA: what stays, what learns, and that it computes what PEFT computes."""

from __future__ import annotations

import copy

import pytest
import torch

from homespun.finetuning.learner import Learner, documents_of
from homespun.finetuning.lora import Frozen, LoRALinear, add_lora, lora_parts
from homespun.kernels.head_loss import head_loss
from homespun.kernels.recompute import recompute_blocks
from tests.finetuning.conftest import tiny_model

IDS = torch.randint(257, (2, 40), generator=torch.Generator().manual_seed(3))


def loss_and_gradients(model: torch.nn.Module, **rows: torch.Tensor) -> tuple[float, dict[str, torch.Tensor]]:
    model.zero_grad(set_to_none=True)
    loss = Learner(model, 40)(IDS[:, :-1], IDS[:, 1:], **rows)[1]
    loss.backward()
    return loss.item(), {name: w.grad.clone() for name, w in model.named_parameters() if w.grad is not None}


def shaken(model: torch.nn.Module) -> torch.nn.Module:
    """As after some steps: B is not zero any more."""
    torch.manual_seed(5)
    for part in lora_parts(model).values():
        torch.nn.init.normal_(part.lora_B, std=0.1)
    return model


@pytest.mark.parametrize("family", ["modern", "llama", "gpt2", "lecture"])
def test_before_the_first_step_the_model_is_what_it_was(family: str) -> None:
    model = tiny_model(family)
    with torch.no_grad():
        before = model(IDS)[0]
        add_lora(model, rank=4, alpha=8.0, dtype=torch.float32)
        torch.testing.assert_close(model(IDS)[0], before)


@pytest.mark.parametrize("family", ["modern", "llama", "gpt2"])
def test_only_the_small_matrices_learn_and_every_matrix_of_the_blocks_has_them(family: str) -> None:
    model = tiny_model(family)
    matrices = {name for name, w in model.named_parameters() if name.startswith("blocks.") and w.ndim == 2}
    add_lora(model, rank=4, alpha=8.0, dtype=torch.float32)
    assert set(lora_parts(model)) == matrices
    learning = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert learning == {name for name in dict(model.named_parameters()) if "lora_" in name}
    _, gradients = loss_and_gradients(shaken(model))
    assert set(gradients) == learning
    assert all(gradient.abs().sum() > 0 for gradient in gradients.values())


def test_a_layer_computes_and_learns_what_pefts_layer_does() -> None:
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    linear = torch.nn.Linear(24, 40)
    settings = peft.LoraConfig(r=4, lora_alpha=12, target_modules=["0"])
    theirs = peft.inject_adapter_in_model(settings, torch.nn.Sequential(copy.deepcopy(linear)))[0]
    ours = LoRALinear(Frozen(linear.weight, linear.bias), 4, 12 / 4)
    with torch.no_grad():
        ours.lora_A.copy_(theirs.lora_A["default"].weight)
        theirs.lora_B["default"].weight.normal_()
        ours.lora_B.copy_(theirs.lora_B["default"].weight)
    x = torch.randn(3, 5, 24, requires_grad=True)
    one, other = ours(x), theirs(x)
    torch.testing.assert_close(one, other)
    of_x = []
    for out in (one, other):
        x.grad = None
        out.pow(2).sum().backward()
        of_x.append(x.grad)
    pairs = [
        (of_x[0], of_x[1]),
        (ours.lora_A.grad, theirs.lora_A["default"].weight.grad),
        (ours.lora_B.grad, theirs.lora_B["default"].weight.grad),
    ]
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


def test_bfloat16_computes_nearly_the_same_and_flows_in_float32() -> None:
    exact, rounded = shaken_pair(torch.float32), shaken_pair(torch.bfloat16)
    loss, gradients = loss_and_gradients(exact)
    with torch.autocast("cpu", torch.bfloat16):
        near, near_gradients = loss_and_gradients(rounded)
    assert near == pytest.approx(loss, rel=0.01)
    assert rounded.features(IDS).dtype == torch.float32
    one, other = (torch.cat([g.flatten() for g in found.values()]) for found in (gradients, near_gradients))
    assert torch.nn.functional.cosine_similarity(one, other, dim=0) > 0.99


def shaken_pair(dtype: torch.dtype) -> torch.nn.Module:
    model = tiny_model("modern")
    torch.manual_seed(9)
    add_lora(model, rank=4, alpha=8.0, dtype=dtype)
    return shaken(model)


def test_blocks_that_are_computed_twice_learn_the_same() -> None:
    plain, again = shaken_pair(torch.float32).train(), shaken_pair(torch.float32).train()
    recompute_blocks(again)
    loss, gradients = loss_and_gradients(plain)
    same_loss, same = loss_and_gradients(again)
    assert same_loss == loss and same.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(same[name], gradient, rtol=0, atol=0)


@pytest.mark.parametrize("family", ["modern", "gpt2", "lecture"])
def test_the_loss_in_pieces_is_the_loss(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homespun.kernels.head_loss.LARGEST", 257 * 7)  # rows of logits at once: 7
    model = tiny_model(family)
    expected_loss = model(IDS[:, :-1], IDS[:, 1:])[1]
    expected_loss.backward()
    expected = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    loss, gradients = loss_and_gradients(model)
    assert loss == pytest.approx(expected_loss.item(), rel=1e-6)
    for name, gradient in expected.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-4, atol=1e-7)


def test_targets_that_do_not_count_are_not_learnt() -> None:
    model = tiny_model("llama")
    x, y = IDS[:, :-1], IDS[:, 1:].clone()
    y[:, ::3] = -1
    expected = model(x, y)[1]
    assert Learner(model, 40)(x, y)[1].item() == pytest.approx(expected.item(), rel=1e-6)
    nothing = Learner(model, 40)(x, torch.full_like(y, -1))[1]
    nothing.backward()
    assert nothing.item() == 0.0


def test_a_head_with_no_rows_at_all_gives_a_loss_that_can_be_followed() -> None:
    x = torch.zeros(0, 8, requires_grad=True)
    loss = head_loss(x, torch.zeros(11, 8), None, torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0.0


def test_borders_of_documents_are_found_in_the_text() -> None:
    ids = torch.tensor([[5, 6, 0, 7, 0, 8], [1, 2, 3, 4, 5, 6]])
    assert documents_of(ids, 0).tolist() == [[0, 0, 1, 1, 2, 2], [0] * 6]
    assert documents_of(ids[1:], 0) is None
    assert documents_of(torch.tensor([[0, 5, 6]]), 0) is None  # a row that begins with its document


def test_a_text_with_borders_is_learnt_as_its_documents_alone() -> None:
    model = tiny_model("llama")
    one, two = [256, 5, 6, 7], [256, 9, 10, 11, 12]
    row = torch.tensor([one + two + [256]])
    together = Learner(model, 40, separator=256)(row[:, :-1], row[:, 1:])[1]
    apart = [
        Learner(model, 40)(torch.tensor([document]), torch.tensor([[*document[1:], 256]]))[1]
        for document in (one, two)
    ]
    assert together.item() == pytest.approx((4 * apart[0].item() + 5 * apart[1].item()) / 9, rel=1e-5)
