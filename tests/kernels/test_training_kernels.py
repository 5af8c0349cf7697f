"""The operations of our own compute what PyTorch computes, and the model with them what it does without."""

from __future__ import annotations

import ctypes
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from homespun.kernels.select import with_training_kernels
from homespun.kernels.training import operations
from homespun.kernels.training.modules import NativeAttention, NativeLinear, NativeSwiGLU
from homespun.kernels.training.source import TRAINING
from homespun.machine.builds import make
from homespun.machine.device import matrix_units
from homespun.model.config import GPTConfig
from homespun.model.dot_product import attend_explicitly
from homespun.model.gpt import GPT, build
from homespun.training.compiled import forms
from homespun.training.muon import Muon
from tests.training import passes
from tests.training.passes import error

BF16 = torch.bfloat16


@pytest.fixture(autouse=True)
def available() -> None:
    if not operations.available():
        pytest.skip("there is no compiler here, or no processor of that kind")


@pytest.fixture(autouse=True)
def same_dice() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def library_without_units(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL | None:
    """What a processor gets that has no matrix units; None where this one has none anyway."""
    if "amx_bf16" not in matrix_units() or not operations.available():
        return None
    path = tmp_path_factory.mktemp("dots") / "dots.so"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "homespun.machine.builds.ATTEMPTS", (("-march=native", "-mno-amx-tile", "-mno-amx-bf16", "-fopenmp"),)
        )
        make(TRAINING.main, path)
    library = operations.opened(path)
    assert library is not None
    return library


@pytest.fixture(params=["with what is there", "without matrix units"])
def with_and_without_units(
    request: pytest.FixtureRequest, library_without_units: ctypes.CDLL | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if request.param == "without matrix units":
        if library_without_units is None:
            pytest.skip("there are no matrix units here to do without")
        monkeypatch.setattr(operations, "found", library_without_units)


def random(*shape: int) -> Tensor:
    return torch.randn(shape).to(BF16)


@pytest.mark.usefixtures("with_and_without_units")
@pytest.mark.parametrize(
    ("texts", "tokens", "heads", "key_heads", "width"),
    [
        (2, 128, 4, 4, 64),
        (3, 100, 4, 2, 48),  # neither tokens nor width fill their squares; two queries share a key
        (2, 33, 6, 2, 80),
        (1, 2, 2, 1, 16),
        (1, 31, 1, 1, 8),
        (1, 700, 3, 1, 128),
    ],
)
def test_attention_and_its_gradient(texts: int, tokens: int, heads: int, key_heads: int, width: int) -> None:
    q, gradient = random(texts, tokens, heads, width), random(texts, tokens, heads, width)
    k, v = random(texts, tokens, key_heads, width) * 2, random(texts, tokens, key_heads, width)
    ours = [part.clone().requires_grad_() for part in (q, k, v)]
    out, _ = operations.attend(*ours, width**-0.5)
    out.backward(gradient)
    theirs = [part.float().transpose(1, 2).requires_grad_() for part in (q, k, v)]
    right = attend_explicitly(*theirs, width**-0.5)
    right.backward(gradient.float().transpose(1, 2))
    assert error(out, right.transpose(1, 2)) < 0.005
    for mine, their in zip(ours, theirs, strict=True):
        assert mine.grad is not None and their.grad is not None
        assert error(mine.grad, their.grad.transpose(1, 2)) < 0.01


def test_the_first_token_sees_itself_alone_and_nobody_the_future() -> None:
    q, k, v = (random(1, 70, 2, 32) for _ in range(3))
    before, _ = operations.attend(q, k, v, 0.2)
    torch.testing.assert_close(before[:, 0], v[:, 0])
    v[:, 50:] = 7.0
    k[:, 50:] = -3.0
    after, _ = operations.attend(q, k, v, 0.2)
    assert torch.equal(before[:, :50], after[:, :50]) and not torch.equal(before[:, 50:], after[:, 50:])


def test_scores_of_any_size_give_weights_that_add_up_to_one() -> None:
    q, k, v = random(1, 64, 1, 32) * 300, random(1, 64, 1, 32) * 300, torch.ones(1, 64, 1, 32, dtype=BF16)
    out, log_sums = operations.attend(q, k, v, 1.0)
    torch.testing.assert_close(out, v)
    assert torch.isfinite(log_sums).all()


@pytest.mark.usefixtures("with_and_without_units")
@pytest.mark.parametrize(
    ("tokens", "inputs", "outputs"), [(512, 64, 96), (700, 96, 32), (5, 32, 32), (257, 32, 64)]
)
def test_weight_gradient(tokens: int, inputs: int, outputs: int) -> None:
    x, gradient = random(tokens, inputs), random(tokens, outputs)
    found = operations.weight_gradient(x, gradient)
    torch.testing.assert_close(found, gradient.float().T @ x.float(), rtol=1e-4, atol=1e-3)


def test_linear_gives_the_gradient_to_the_weight_that_was_rounded() -> None:
    x, weight = random(2, 40, 64).requires_grad_(), nn.Parameter(torch.randn(32, 64))
    y = operations.linear(x, weight.detach().to(BF16), weight)
    gradient = random(2, 40, 32)
    y.backward(gradient)
    assert weight.grad is not None and x.grad is not None and weight.grad.dtype is torch.float32
    right = gradient.flatten(0, 1).float().T @ x.detach().flatten(0, 1).float()
    torch.testing.assert_close(weight.grad, right, rtol=1e-4, atol=1e-3)
    assert error(x.grad, gradient.float() @ weight.detach()) < 0.01


@pytest.mark.parametrize("width", [32, 33, 5])  # 33 and 5 leave numbers over that fill no vector
def test_swiglu_and_its_gradient(width: int) -> None:
    gate, up, gradient = random(3, 7, width) * 4, random(3, 8, width)[:, :7], random(3, 7, width)
    ours = [part.detach().clone().requires_grad_() for part in (gate, up)]
    theirs = [part.detach().float().requires_grad_() for part in (gate, up)]
    found, right = operations.swiglu(*ours), F.silu(theirs[0]) * theirs[1]
    found.backward(gradient)
    right.backward(gradient.float())
    assert error(found, right) < 0.005
    for mine, their in zip(ours, theirs, strict=True):
        assert mine.grad is not None and their.grad is not None
        assert error(mine.grad, their.grad) < 0.01


def test_the_gradient_of_an_embedding_adds_up_over_the_same_ids() -> None:
    ids = torch.tensor([[1, 4, 1], [0, 1, 4]])
    weight = nn.Parameter(torch.randn(6, 20))
    gradient = torch.randn(2, 3, 20)
    operations.look_up(ids, weight).backward(gradient)
    right = torch.zeros(6, 20).index_add_(0, ids.flatten(), gradient.flatten(0, 1))
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, right)


@pytest.mark.usefixtures("with_and_without_units")
def test_muon_takes_the_step_that_it_takes_in_pytorch() -> None:
    shapes = [(64, 64), (64, 64), (176, 64), (64, 176), (33, 17), (1, 5), (90, 100)]
    torch.manual_seed(1)
    start = [torch.randn(shape) for shape in shapes]
    runs = []
    for dtype, quick in ((torch.float32, False), (BF16, False), (BF16, True)):
        torch.manual_seed(2)
        weights = [nn.Parameter(tensor.clone()) for tensor in start]
        optimizer = Muon(weights, learning_rate=0.02, weight_decay=0.1, dtype=dtype)
        optimizer.uses_native_kernels = quick
        for _ in range(5):
            for weight in weights:
                weight.grad = torch.randn_like(weight)
            optimizer.step()
        runs.append([weight.detach() - begun for weight, begun in zip(weights, start, strict=True)])
    for right, rounded, ours in zip(*runs, strict=True):
        assert error(ours, right) < max(0.04, 2 * error(rounded, right))


def test_muon_goes_on_in_either_way_from_the_momentum_of_the_other() -> None:
    def steps(*ways: bool) -> Tensor:
        weights = [nn.Parameter(torch.ones(32, 64)), nn.Parameter(torch.ones(32, 64))]
        optimizer = Muon(weights, learning_rate=0.1, dtype=BF16)
        torch.manual_seed(3)
        for number, quick in enumerate(ways):
            optimizer.uses_native_kernels = quick
            for weight in weights:
                weight.grad = random(32, 64).float() * (number + 1)
            optimizer.step()
        return torch.cat([weight.detach() for weight in weights])

    torch.testing.assert_close(steps(False, True, True), steps(False, False, False), rtol=0, atol=0.03)
    torch.testing.assert_close(steps(True, False, True), steps(False, False, False), rtol=0, atol=0.03)


def test_a_gradient_of_zeros_is_no_quick_step_and_no_nan() -> None:
    weight = nn.Parameter(torch.ones(32, 32))
    weight.grad = torch.zeros(32, 32)
    optimizer = Muon([weight], learning_rate=0.1, dtype=BF16)
    optimizer.uses_native_kernels = True
    optimizer.step()
    assert torch.equal(weight, torch.ones(32, 32))


def model_of(family: str, **changes: Any) -> GPT:
    sizes: dict[str, Any] = {"vocab_size": 65, "context_length": 96, "n_layer": 2, "n_head": 4, "n_embd": 128}
    torch.manual_seed(0)
    model = build(GPTConfig.of(family, **(sizes | changes)))
    assert isinstance(model, GPT)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1 if weight.ndim == 1 else 3)
    return model


def fused(model: GPT) -> GPT:
    made = with_training_kernels(model, "cpu", BF16)
    assert isinstance(made, GPT) and made is not model
    return made


loss_and_gradient = partial(passes.loss_and_gradient, texts=3, tokens=80)


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("modern", {}),
        ("modern", {"n_kv_head": 1}),
        ("modern", {"n_embd": 80, "n_head": 4}),  # widths that no square fits into: those layers stay as they are
        ("gpt2", {}),
        ("llama", {"tied_head": True}),
        ("qwen2", {"n_kv_head": 2}),
        ("lecture", {"dropout": 0.0}),
        ("modern", {"n_kv_head": 2, "dropout": 0.3}),  # the same numbers fall
    ],
)
def test_kernels_compute_what_the_model_does(family: str, changes: dict[str, Any]) -> None:
    model = model_of(family, **changes)
    other = fused(model)
    right_loss, right = loss_and_gradient(model, model, torch.float32)
    plain_loss, plain = loss_and_gradient(model, model, BF16)
    loss, gradient = loss_and_gradient(other, model, BF16)
    assert abs(loss - right_loss) < 2 * abs(plain_loss - right_loss) + 2e-3
    assert error(gradient, right) < 1.5 * error(plain, right)


def test_kernels_share_the_weights_and_leave_the_model_as_it_is() -> None:
    model = model_of("modern")
    before = str(model)
    other = fused(model)
    assert {id(weight) for weight in other.parameters()} == {id(weight) for weight in model.parameters()}
    assert str(model) == before
    kinds = {type(part) for part in other.modules()}
    assert {NativeAttention, NativeLinear, NativeSwiGLU} <= kinds


def test_kernels_leave_dropout_in_attention_to_pytorch() -> None:
    other = fused(model_of("gpt2", dropout=0.1))
    assert not any(isinstance(part, NativeAttention) for part in other.modules())


def test_only_bfloat16_on_a_processor_has_a_quick_form() -> None:
    model = model_of("modern")
    assert forms(model, "cpu", torch.float32) == [model]
    assert forms(model, "cuda", BF16) == [model]
    assert len(forms(model, "cpu", BF16)) == 2


@pytest.mark.slow
def test_both_forms_learn_alike(shakespeare_text: str) -> None:
    """The loss curves of plain and quick training, 120 steps, lie within what two seeds differ by."""
    from homespun.training.optimizer import Optimizers

    alphabet = sorted(set(shakespeare_text))
    ids = torch.tensor([alphabet.index(letter) for letter in shakespeare_text[:200_000]])
    curves = []
    for quick in (False, True):
        torch.manual_seed(0)
        model = build(GPTConfig.of("modern", vocab_size=65, context_length=64, n_layer=3, n_head=2, n_embd=64))
        assert isinstance(model, GPT)
        forward = fused(model) if quick else model.train()
        optimizers = Optimizers(model, kind="muon", learning_rate=2e-3, weight_decay=0.1, dtype=BF16)
        if quick:
            optimizers.use_native_kernels()
        dice = torch.Generator().manual_seed(1)
        losses = []
        for _ in range(120):
            starts = torch.randint(len(ids) - 65, (8,), generator=dice)
            batch = torch.stack([ids[start : start + 65] for start in starts])
            with torch.autocast("cpu", BF16):
                _, loss = forward(batch[:, :-1], batch[:, 1:])
            loss.backward()
            optimizers.step(1.0)
            losses.append(loss.item())
        curves.append(torch.tensor(losses).unflatten(0, (4, 30)).mean(1))
    torch.testing.assert_close(curves[0], curves[1], rtol=0, atol=0.03)


def test_without_a_compiler_nothing_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homespun.machine.builds.compiler", lambda: None)
    monkeypatch.setattr(operations, "found", None)
    assert not operations.available(wait=True)
    model = model_of("modern")
    assert forms(model, "cpu", BF16) == [model]


def test_a_library_that_is_damaged_or_for_another_processor_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "damaged.so"
    path.write_bytes(b"not a library")
    assert operations.opened(path) is None
    empty = tmp_path / "empty.so"
    monkeypatch.setattr(
        "homespun.machine.builds.ATTEMPTS", ((),)
    )  # for any processor, so without products in bfloat16
    make(TRAINING.main, empty)
    assert empty.exists() and operations.opened(empty) is None
