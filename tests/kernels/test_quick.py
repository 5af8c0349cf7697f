"""The compiled operations in a model that is tuned: the same loss and the same gradients."""

from __future__ import annotations

import pytest
import torch

from homespun.finetuning.learner import Learner
from homespun.finetuning.lora import add_lora, lora_parts
from homespun.kernels.quick import can_be_quick, quicken
from homespun.kernels.training import operations
from tests.finetuning.conftest import tiny_model

IDS = torch.randint(257, (2, 33), generator=torch.Generator().manual_seed(3))


def learnt(quick: bool, border: int | None) -> tuple[float, torch.Tensor]:
    model = tiny_model("llama", n_embd=64, n_head=2, n_kv_head=1)
    torch.manual_seed(1)
    add_lora(model, rank=4, alpha=8.0, dtype=torch.bfloat16)
    for part in lora_parts(model).values():
        torch.nn.init.normal_(part.lora_B, std=0.1)
    if quick:
        quicken(model, 32)
    with torch.autocast("cpu", torch.bfloat16):
        loss = Learner(model, 32, border).train()(IDS[:, :-1], IDS[:, 1:])[1]
    loss.backward()
    return loss.item(), torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None])


@pytest.mark.parametrize("border", [None, int(IDS[0, 9])])
def test_quick_and_plain_learn_the_same(border: int | None) -> None:
    if not operations.available(wait=True):
        pytest.skip("there is no compiler here, or no processor of that kind")
    (loss, gradient), (plain_loss, plain) = learnt(True, border), learnt(False, border)
    assert loss == pytest.approx(plain_loss, rel=0.01)
    assert torch.nn.functional.cosine_similarity(gradient, plain, dim=0) > 0.99


def test_small_models_and_other_devices_do_not_wait_for_a_compiler() -> None:
    assert not can_be_quick("cpu", "bfloat16", 1_000_000)
    assert not can_be_quick("cpu", "float32", 10**9)
    assert not can_be_quick("cuda", "bfloat16", 10**9)
