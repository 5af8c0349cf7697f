"""The loss in chunks is the loss: never all logits at once, and rows that only the product has."""

from __future__ import annotations

import pytest
import torch

from homespun.kernels.head_loss import LARGE_VOCABULARY, LOSS_IN_CHUNKS, GPTWithLossInChunks, head_loss
from homespun.kernels.select import with_eager_kernels
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT
from homespun.training.compile_options import tried
from homespun.training.compiled import forms

BF16 = torch.bfloat16


def model_of(family: str, vocab_size: int = LARGE_VOCABULARY + 3) -> GPT:
    torch.manual_seed(1)
    shape = {"context_length": 16, "n_layer": 1, "n_head": 2, "n_embd": 32}
    return GPT(GPTConfig.of(family, vocab_size=vocab_size, **shape))


def batch_of(model: GPT) -> list[torch.Tensor]:
    torch.manual_seed(2)
    ids = torch.randint(model.config.vocab_size, (3, 17))
    return [ids[:, :-1], ids[:, 1:]]


@pytest.mark.parametrize("family", ["modern", "gpt2", "lecture"])
@pytest.mark.parametrize("missing", [0, 61])
def test_loss_and_gradient_are_those_of_the_model(
    family: str, missing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(family)
    monkeypatch.setattr("homespun.kernels.head_loss.LARGEST", 7 * model.config.vocab_size)  # 7 of 48 rows
    monkeypatch.setattr("homespun.kernels.head_loss.rows_to_fill_up", lambda size, device: missing)
    loss, gradient = tried(model, model, batch_of(model), lambda: torch.enable_grad())
    chunked = LOSS_IN_CHUNKS.apply(model, copy=True)
    assert type(chunked) is GPTWithLossInChunks and chunked(*batch_of(model))[0] is None
    same_loss, same = tried(chunked, model, batch_of(model), lambda: torch.enable_grad())
    assert same_loss == pytest.approx(loss, rel=1e-6)
    torch.testing.assert_close(same, gradient, rtol=1e-4, atol=1e-7)


def test_the_logits_never_exist_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("gpt2")
    monkeypatch.setattr("homespun.kernels.head_loss.LARGEST", 7 * model.config.vocab_size)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            nonlocal largest
            found = func(*args, **(kwargs or {}))
            is_logits = isinstance(found, torch.Tensor) and found.shape[-1:] == (model.config.vocab_size,)
            if is_logits and found.shape != model.head.weight.t().shape:
                largest = max(largest, found.numel())
            return found

    with Watch():
        LOSS_IN_CHUNKS.apply(model, copy=True)(*batch_of(model))[1].backward()
    assert 0 < largest <= 7 * model.config.vocab_size < 48 * model.config.vocab_size


def test_a_target_of_minus_one_would_be_counted_so_there_is_none() -> None:
    """Windows of a text have a target everywhere: what the chunked loss is made for."""
    with pytest.raises((RuntimeError, IndexError)):
        head_loss(torch.zeros(2, 4), torch.zeros(5, 4), None, torch.tensor([1, -1]))


def test_only_large_vocabularies_on_a_gpu_take_it() -> None:
    large, small = model_of("modern"), model_of("modern", 65)
    assert type(with_eager_kernels(large, "cuda", BF16)) is GPTWithLossInChunks
    assert with_eager_kernels(large, "cpu", BF16) is large
    assert with_eager_kernels(small, "cuda", BF16) is small
    assert [type(form) for form in forms(large, "cuda", BF16)] == [GPTWithLossInChunks, GPT]
    assert forms(small, "cuda", BF16) == [small]


@pytest.mark.slow
def test_torch_compile_takes_it_as_one_graph() -> None:
    model = model_of("gpt2")
    loss, gradient = tried(model, model, batch_of(model), lambda: torch.enable_grad())
    compiled = torch.compile(LOSS_IN_CHUNKS.apply(model, copy=True).train(), dynamic=False, fullgraph=True)
    same_loss, same = tried(compiled, model, batch_of(model), lambda: torch.enable_grad())
    assert same_loss == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(same, gradient, rtol=1e-3, atol=1e-6)
