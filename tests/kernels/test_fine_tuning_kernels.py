"""The compiled operations in a model that is tuned: the same loss and the same gradients."""

from __future__ import annotations

import pytest
import torch

from homespun.finetuning.learner import Learner
from homespun.finetuning.lora import add_lora, lora_parts
from homespun.kernels.select import use_fine_tuning_kernels, worth_compiling
from homespun.kernels.training import operations
from homespun.kernels.training.modules import NativeAttention
from tests.finetuning.conftest import tiny_config, tiny_model

IDS = torch.randint(257, (2, 33), generator=torch.Generator().manual_seed(3))


def tuned(kernels: bool, border: int | None) -> tuple[float, torch.Tensor]:
    model = tiny_model("llama", n_embd=64, n_head=2, n_kv_head=1)
    torch.manual_seed(1)
    add_lora(model, rank=4, alpha=8.0, dtype=torch.bfloat16)
    for part in lora_parts(model).values():
        torch.nn.init.normal_(part.lora_B, std=0.1)
    if kernels:
        use_fine_tuning_kernels(model, 32)
        assert any(isinstance(module, NativeAttention) for module in model.modules())
    with torch.autocast("cpu", torch.bfloat16):
        loss = Learner(model, 32, border).train()(IDS[:, :-1], IDS[:, 1:])[1]
    loss.backward()
    return loss.item(), torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None])


@pytest.mark.parametrize("border", [None, int(IDS[0, 9])])
def test_a_model_with_kernels_and_one_without_have_the_same_gradient(border: int | None) -> None:
    if not operations.available(wait=True):
        pytest.skip("there is no compiler here, or no processor of that kind")
    (loss, gradient), (plain_loss, plain) = tuned(True, border), tuned(False, border)
    assert loss == pytest.approx(plain_loss, rel=0.01)
    assert torch.nn.functional.cosine_similarity(gradient, plain, dim=0) > 0.99


def test_small_models_and_other_devices_do_not_wait_for_a_compiler() -> None:
    config = tiny_config("llama")
    assert not worth_compiling(config, "cpu", "bfloat16", 1_000_000)
    assert not worth_compiling(config, "cpu", "float32", 10**9)
    assert not worth_compiling(config, "cuda", "bfloat16", 10**9)
