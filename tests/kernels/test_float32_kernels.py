"""The kernels of a step in float32 compute the model: loss, gradients, dropout, and what is learnt."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from homespun.kernels import select
from homespun.kernels.exchange import sharing_weights
from homespun.kernels.float32 import operations
from homespun.kernels.float32.modules import BLOCK, HEAD, NativeBlock, NativeLoss, native_block
from homespun.kernels.select import STEP, with_step_kernels
from homespun.model import block
from homespun.model.block import Block
from homespun.model.config import GPTConfig
from homespun.model.context import Causal
from homespun.model.gpt import GPT, build
from homespun.training.muon import Muon
from homespun.training.optimizer import Optimizers
from tests.training.passes import error

SHAPE: dict[str, Any] = {"vocab_size": 65, "context_length": 40, "n_layer": 2, "n_head": 4, "n_embd": 64}
TEXTS = 3


@pytest.fixture(autouse=True)
def available() -> None:
    if not operations.available():
        pytest.skip("there is no compiler here, or no processor of that kind")


def block_of(model: GPT, layer: int) -> Block:
    found = model.blocks[layer]
    assert isinstance(found, Block)
    return found


def model_of(family: str = "modern", **changes: Any) -> GPT:
    torch.manual_seed(0)
    model = build(GPTConfig.of(family, **(SHAPE | changes)))
    assert isinstance(model, GPT)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(3) if weight.ndim > 1 else weight.add_(torch.randn_like(weight) / 3)
    return model.train()


def fused(model: GPT) -> GPT:
    made = with_step_kernels(model, "cpu", torch.float32, pytest.fail)
    assert isinstance(made, NativeLoss) and all(isinstance(part, NativeBlock) for part in made.blocks)
    return made


def loss_and_gradients(
    model: nn.Module, vocab_size: int, context_length: int, **given: Any
) -> tuple[float, dict[str, Tensor]]:
    ids = torch.randint(vocab_size, (TEXTS, context_length + 1), generator=torch.Generator().manual_seed(1))
    model.zero_grad()
    torch.manual_seed(2)  # dropout
    _, loss = model(ids[:, :-1], ids[:, 1:], **given)
    loss.backward()
    return loss.item(), {name: gradient_of(weight) for name, weight in model.named_parameters()}


def gradient_of(weight: Tensor) -> Tensor:
    assert weight.grad is not None
    return weight.grad.clone()


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("modern", {}),
        ("modern", {"n_kv_head": 2, "context_length": 129}),  # two queries share a key; one token behind the tiles
        ("modern", {"n_kv_head": 1, "head_width": 24}),  # a head that fills no panel
        ("modern", {"n_embd": 20, "n_head": 2, "n_inner": 27, "context_length": 9}),  # nothing fills a vector
        ("modern", {"context_length": 600, "n_layer": 1}),  # scores in several tiles
        ("modern", {"n_inner": 900, "n_layer": 1}),  # deeper than one part of a product
        ("modern", {"vocab_size": 3000, "n_layer": 1}),  # logits in smaller tiles
        ("modern", {"tied_head": True}),
        ("llama", {}),
    ],
)
def test_loss_and_every_gradient_are_those_of_the_model(family: str, changes: dict[str, Any]) -> None:
    model = model_of(family, **changes)
    sizes = model.config.vocab_size, model.config.context_length
    right_loss, right = loss_and_gradients(copy.deepcopy(model).double(), *sizes)
    loss, found = loss_and_gradients(fused(model), *sizes)
    assert loss == pytest.approx(right_loss, rel=2e-6)
    for name, gradient in found.items():
        assert error(gradient, right[name].float()) < 2e-5, name


def test_a_single_token_attends_to_itself() -> None:
    model = model_of(context_length=1)
    (right_loss, right), (loss, found) = (loss_and_gradients(one, 65, 1) for one in (model, fused(model)))
    assert loss == pytest.approx(right_loss, rel=2e-6)
    size = torch.stack([gradient.norm() for gradient in right.values()]).norm()
    for name, gradient in found.items():
        assert (gradient - right[name]).norm() < 1e-5 * size, name


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_dropout_drops_what_the_model_drops(share: float) -> None:
    model = model_of(dropout=share, n_kv_head=2)
    right_loss, right = loss_and_gradients(model, 65, 40)
    loss, found = loss_and_gradients(fused(model), 65, 40)
    assert loss == pytest.approx(right_loss, rel=2e-6)
    for name, gradient in found.items():
        assert error(gradient, right[name]) < 2e-5, name
    assert loss != pytest.approx(loss_and_gradients(model_of(n_kv_head=2), 65, 40)[0], rel=1e-3)


def test_rows_of_several_documents_are_computed_by_the_model_itself() -> None:
    model = model_of()
    documents = torch.tensor([[0] * 25 + [1] * 15] * TEXTS)
    found, right, plain = (
        loss_and_gradients(one, 65, 40, **given)[0]
        for one, given in (
            (fused(model), {"context": Causal(documents)}),
            (model, {"context": Causal(documents)}),
            (model, {}),
        )
    )
    assert found == pytest.approx(right, rel=2e-6) and found != pytest.approx(plain, rel=1e-4)


def test_targets_of_minus_one_do_not_count() -> None:
    model = model_of()
    ids = torch.randint(65, (TEXTS, 41))
    targets = ids[:, 1:].clone()
    targets[:, :30] = -1
    losses = []
    for one in (model, fused(model)):
        model.zero_grad()
        _, loss = one(ids[:, :-1], targets)
        (loss / 3).backward()  # as a micro-batch of three
        losses.append((loss.item(), gradient_of(model.head.weight), gradient_of(model.token_embedding.weight)))
    assert losses[1][0] == pytest.approx(losses[0][0], rel=2e-6)
    assert error(losses[1][1], losses[0][1]) < 2e-5 and error(losses[1][2], losses[0][2]) < 2e-5


def test_fifty_steps_learn_what_the_model_learns() -> None:
    curves = []
    for native in (False, True):
        torch.manual_seed(0)
        model = build(GPTConfig.of("modern", **SHAPE))
        assert isinstance(model, GPT)
        forward = fused(model) if native else model.train()
        optimizers = Optimizers(model, kind="muon", learning_rate=3e-3, weight_decay=0.1, dtype=torch.float32)
        if native:
            optimizers.use_native_kernels()
        generator, losses = torch.Generator().manual_seed(1), []
        for _ in range(50):
            start = torch.randint(65, (8, 1), generator=generator)
            ids = (start + torch.arange(41) ** 2) % 65
            _, loss = forward(ids[:, :-1], ids[:, 1:])
            loss.backward()
            optimizers.step(1.0)
            optimizers.zero_grad()
            losses.append(loss.item())
        curves.append(torch.tensor(losses))
    assert curves[0][-1] < 0.7 * curves[0][0]
    torch.testing.assert_close(curves[1], curves[0], rtol=0.01, atol=0.005)


def muon_steps(shapes: list[tuple[int, int]], *ways: bool) -> list[Tensor]:
    torch.manual_seed(2)
    weights = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    optimizer = Muon(weights, learning_rate=0.02, weight_decay=0.1)
    for native in ways:
        optimizer.uses_native_kernels = native
        for weight in weights:
            weight.grad = torch.randn_like(weight)
        optimizer.step()
    return [weight.detach() for weight in weights]


def test_muon_takes_the_step_that_it_takes_in_pytorch() -> None:
    shapes = [(64, 64), (64, 64), (176, 64), (64, 176), (33, 17), (1, 5), (90, 100)]
    right = muon_steps(shapes, *[False] * 4)
    for ways in ([True] * 4, [False, True, True, False]):  # or goes on from the momentum of the other
        for found, weight in zip(muon_steps(shapes, *ways), right, strict=True):
            torch.testing.assert_close(found, weight, rtol=0, atol=2e-4)


def test_a_gradient_of_zeros_is_no_step_and_no_nan() -> None:
    weight = nn.Parameter(torch.ones(32, 32))
    weight.grad = torch.zeros(32, 32)
    optimizer = Muon([weight], learning_rate=0.1)
    optimizer.uses_native_kernels = True
    optimizer.step()
    assert torch.equal(weight, torch.ones(32, 32))


def test_the_bits_do_not_depend_on_the_threads() -> None:
    before = torch.get_num_threads()
    model = model_of(context_length=200)
    try:
        runs = []
        for threads in (1, 2, 4, 2):
            torch.set_num_threads(threads)
            runs.append(loss_and_gradients(fused(model), 65, 200))
    finally:
        torch.set_num_threads(before)
    for loss, gradients in runs[1:]:
        assert loss == runs[0][0]
        assert all(torch.equal(gradients[name], runs[0][1][name]) for name in gradients)


def test_no_kernel_computes_geglu_as_swiglu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(block.GATED, "geglu", F.gelu)
    model = model_of(feed_forward="geglu")
    assert not BLOCK.suits(model.config, "cpu", "float32")
    assert native_block("blocks.0", model.blocks[0]) is None
    made = with_step_kernels(model, "cpu", torch.float32)
    assert loss_and_gradients(made, 65, 40)[0] == pytest.approx(loss_and_gradients(model, 65, 40)[0], rel=2e-6)


@pytest.mark.parametrize(
    ("kernel", "settings"),
    [
        (BLOCK, {"norm": "layernorm"}),
        (BLOCK, {"bias": True}),
        (BLOCK, {"qkv_bias": True}),
        (BLOCK, {"feed_forward": "gelu"}),
        (BLOCK, {"position": "alibi"}),
        (BLOCK, {"family": "gpt2", "dropout": 0.1}),  # of single attention weights
        (HEAD, {"norm": "layernorm"}),
        (HEAD, {"head_bias": True}),
    ],
    ids=lambda value: getattr(value, "name", None) or "-".join(map(str, value.values())),
)
def test_a_kernel_does_not_suit_what_it_does_not_compute(kernel: Any, settings: dict[str, Any]) -> None:
    config = GPTConfig.of("modern", **SHAPE)
    assert kernel.suits(config, "cpu", "float32") and not kernel.suits(config, "cpu", "bfloat16")
    family = settings.pop("family", "modern")
    assert not kernel.suits(GPTConfig.of(family, **(SHAPE | settings)), "cpu", "float32")


def test_a_block_with_a_module_that_it_does_not_know_stays_as_it_is() -> None:
    model = model_of()
    attention = block_of(model, 1).attention
    attention.query = nn.Sequential(attention.query)  # type: ignore[assignment]
    assert isinstance(native_block("blocks.0", model.blocks[0]), NativeBlock)
    assert native_block("blocks.1", model.blocks[1]) is None


def test_kernels_share_the_weights_and_leave_the_model_as_it_is() -> None:
    model = model_of()
    before = str(model)
    other = fused(model)
    assert [id(weight) for weight in other.parameters()] == [id(weight) for weight in model.parameters()]
    assert str(model) == before and type(model) is GPT
    with torch.no_grad():
        ids = torch.randint(65, (2, 12))
        torch.testing.assert_close(other(ids)[0], model(ids)[0])


def test_a_kernel_that_computes_something_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of()
    notes: list[str] = []
    real = operations.FusedBlock.apply
    monkeypatch.setattr(operations.FusedBlock, "apply", lambda *given: real(*given) * 1.001)
    assert with_step_kernels(model, "cpu", torch.float32, notes.append) is model
    assert "compute something else here" in notes[0] and all(kernel.name in notes[0] for kernel in STEP)


def test_only_float32_on_a_processor_has_these_kernels() -> None:
    model = model_of()
    assert with_step_kernels(model, "cpu", torch.bfloat16) is model
    assert with_step_kernels(model, "cuda", torch.float32) is model
    assert select.computes_step(model.config, "cpu", "float32")
    assert not select.computes_step(model_of("gpt2").config, "cpu", "float32")


def test_a_library_that_is_damaged_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "damaged.so"
    path.write_bytes(b"not a library")
    assert operations.opened(path) is None


def test_without_a_compiler_the_model_computes_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homespun.machine.builds.compiler", lambda: None)
    monkeypatch.setattr(operations, "found", None)
    model = model_of()
    assert not operations.available(wait=True)
    assert with_step_kernels(model, "cpu", torch.float32) is model
    assert sharing_weights(model) is not model
