"""Kernels compute what they are made for, after a check, and nothing else."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from homespun.generation.decoding import fastest_step
from homespun.generation.engine import Engine
from homespun.generation.request import Request
from homespun.generation.settings import Sampling
from homespun.kernels import select
from homespun.kernels.decoding import kernel as decoding_kernel
from homespun.kernels.decoding.kernel import DECODING, native_step
from homespun.kernels.decoding.native_step import NativeStep
from homespun.kernels.kernel import NO_CONCERN, Kernel, ModuleKernel, always
from homespun.kernels.projections import PROJECTIONS, JoinedAttention
from homespun.kernels.select import TRAINING, with_training_kernels
from homespun.kernels.selfcheck import computes_gradients_of
from homespun.kernels.training.modules import ATTENTION, SWIGLU, NativeSwiGLU, native_swiglu
from homespun.model import block, size
from homespun.model.block import FeedForward
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT
from tests.generation.conftest import compiled, native  # noqa: F401
from tests.generation.models import prompt_of, sure_model
from tests.model.shapes import FAMILY_NAMES

KERNELS: list[Kernel] = [*TRAINING, DECODING, PROJECTIONS]
SHAPE: dict[str, Any] = {"vocab_size": 61, "context_length": 40, "n_layer": 2, "n_head": 4, "n_embd": 64}


def named(kernel: Kernel) -> str:
    return kernel.name


def config_of(family: str = "modern", **settings: Any) -> GPTConfig:
    return GPTConfig.of(family, **{**SHAPE, **settings})


@pytest.fixture
def reglu(monkeypatch: pytest.MonkeyPatch) -> GPTConfig:
    """A feed-forward layer that no kernel has heard of: gated as SwiGLU is, by another function."""
    monkeypatch.setitem(block.GATED, "reglu", F.relu)
    monkeypatch.setattr(size, "GATED", (*size.GATED, "reglu"))
    return config_of(feed_forward="reglu")


@pytest.mark.parametrize("kernel", KERNELS, ids=named)
def test_every_kernel_has_considered_every_setting(kernel: Kernel) -> None:
    assert set(kernel.settings) == {field.name for field in fields(GPTConfig)}


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_the_families_have_the_kernels_that_they_had(family: str) -> None:
    suited = {kernel.name for kernel in KERNELS if kernel.suits(config_of(family), "cpu", "bfloat16")}
    expected = {kernel.name for kernel in KERNELS}
    gated = config_of(family).feed_forward == "swiglu"
    assert suited == (expected if gated else expected - {SWIGLU.name})


@pytest.mark.parametrize(
    "settings",
    [
        {"layers": ("global", "local"), "window": 8},
        {"layers": ("global", "nope")},
        {"local_base": 1e4},
        {"rotary_width": 8},
        {"norm_place": "after"},
        {"norm_place": "both"},
        {"attention_scale": 0.1},
        {"embedding_scale": 8.0},
        {"residual_scale": 0.5},
        {"logit_scale": 0.5},
        {"norm": "rmsnorm_plus_one"},
        {"feed_forward": "geglu"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_the_decoding_step_computes_the_settings_of_other_peoples_models(
    settings: dict[str, Any],
    native: ctypes.CDLL,  # noqa: F811
) -> None:
    torch.manual_seed(0)
    model = GPT(config_of(**settings)).eval()
    assert native_step(model, "float32", 3, wait=True, note=pytest.fail) is not None


@pytest.mark.parametrize("settings", [{"qk_norm_over": "all", "qk_norm": True}, {"parallel": True}])
def test_settings_that_the_decoding_step_does_not_know_exclude_it(settings: dict[str, Any]) -> None:
    assert DECODING.suits(config_of(), "cpu", "float32")
    assert not DECODING.suits(config_of(**settings), "cpu", "float32")


@pytest.mark.parametrize(
    ("kernel", "settings"),
    [
        (SWIGLU, {"feed_forward": "relu"}),
        (ATTENTION, {"context_length": 4096}),
        (ATTENTION, {"family": "gpt2", "dropout": 0.1}),  # of single attention weights
        (ATTENTION, {"scale_by": "nothing"}),
        (DECODING, {"norm": "made up"}),
        (DECODING, {"position": "alibi"}),
        (DECODING, {"scale_by": "nothing"}),
    ],
    ids=lambda value: getattr(value, "name", None) or "-".join(map(str, value.values())),
)
def test_a_kernel_does_not_suit_what_it_does_not_compute(kernel: Kernel, settings: dict[str, Any]) -> None:
    assert kernel.suits(config_of(), "cpu", "bfloat16")
    assert not kernel.suits(config_of(**settings), "cpu", "bfloat16")


@pytest.mark.parametrize("kernel", KERNELS, ids=named)
def test_kernels_for_processors_are_for_processors(kernel: Kernel) -> None:
    assert not kernel.suits(config_of(), "cuda", "bfloat16") and not kernel.suits(config_of(), "mps", "bfloat16")
    assert not kernel.suits(config_of(), "cpu", "float64")


def test_a_setting_that_a_kernel_does_not_know_excludes_it() -> None:
    settings = {name: condition for name, condition in NO_CONCERN.items() if name != "norm_eps"}
    kernel = Kernel("of before there was norm_eps", frozenset({"cpu"}), frozenset({"float32"}), settings, always)
    assert not kernel.suits(config_of(), "cpu", "float32")


def test_no_kernel_computes_another_gate_as_swiglu(reglu: GPTConfig, native: ctypes.CDLL) -> None:  # noqa: F811
    torch.manual_seed(0)
    model = GPT(reglu).eval()
    layer = model.blocks[0].feed_forward
    assert isinstance(layer, FeedForward) and layer.gate is not None
    x = torch.randn(1, 3, 64)
    torch.testing.assert_close(layer(x), layer.down(F.relu(layer.gate(x)) * layer.up(x)))
    assert native_swiglu("blocks.0.feed_forward", layer) is None
    assert SWIGLU not in select.suitable(TRAINING, reglu, "cpu", "bfloat16")
    fastest = with_training_kernels(model, "cpu", torch.bfloat16)
    assert not any(isinstance(module, NativeSwiGLU) for module in fastest.modules())
    assert native_step(model, "float32", 3, wait=True, note=pytest.fail) is None
    request = Request(prompt_of(9), max_tokens=20, sampling=Sampling(temperature=0))
    cached, full = ([token.id for token in Engine(model, cached=kv).submit(request)] for kv in (True, False))
    assert cached == full


def test_a_feed_forward_layer_that_nobody_knows_is_no_relu() -> None:
    from homespun.errors import ModelError

    with pytest.raises(ModelError, match="no feed-forward layer 'reglu'"):
        GPT(config_of(feed_forward="reglu"))


class WrongSwiGLU(NativeSwiGLU):
    """Such as a compiler may make of it: the gate is that of GELU."""

    def forward(self, x: Tensor) -> Tensor:
        assert self.gate is not None
        return self.down(F.gelu(self.gate(x)) * self.up(x))


def wrong_swiglu(name: str, module: nn.Module) -> nn.Module | None:
    return WrongSwiGLU(module) if isinstance(module, FeedForward) else None


def kernel_of(replacement: Callable[[str, nn.Module], nn.Module | None]) -> ModuleKernel:
    dtypes = frozenset({"float32", "bfloat16"})
    return ModuleKernel("a test", frozenset({"cpu"}), dtypes, NO_CONCERN, always, replacement)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_kernel_that_computes_something_else_is_not_used_and_a_line_says_so(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    model = GPT(config_of())  # as it is before the first step: its gates are small, and nearly the same
    monkeypatch.setattr(select, "TRAINING", (kernel_of(wrong_swiglu),))
    notes: list[str] = []
    state = torch.get_rng_state()
    assert with_training_kernels(model, "cpu", dtype, notes.append) is model
    assert notes == ["the model is computed without kernels: these compute something else here: a test"]
    assert torch.equal(torch.get_rng_state(), state) and all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_the_model_itself_passes_its_check(family: str, dropout: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    assert computes_gradients_of(GPT(config_of(family, dropout=dropout)), lambda model: model, dtype)


def test_a_decoding_step_that_computes_something_else_is_not_used(
    native: ctypes.CDLL,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = sure_model("modern")
    assert isinstance(model, GPT)
    monkeypatch.setattr(decoding_kernel.STEP.__class__, "library", lambda source, **how: "the library")
    monkeypatch.setattr(decoding_kernel, "opened", lambda path: native)
    assert isinstance(fastest_step(model, "float32", 3), NativeStep)
    notes: list[str] = []
    right = NativeStep.logits
    monkeypatch.setattr(NativeStep, "logits", lambda step, slots: right(step, slots).flip(-1))
    step = fastest_step(model, "float32", 3, note=notes.append)
    assert not isinstance(step, NativeStep)
    assert notes == ["the C++ decoding step computes something else than the model here; PyTorch computes it"]


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_joined_projections_are_those_of_the_model_and_are_not_used_where_they_are_not(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = sure_model(family)
    assert isinstance(model, GPT)
    joined = select.with_decoding_kernels(model, pytest.fail)
    ids = torch.tensor([prompt_of(12)])
    with torch.no_grad():
        torch.testing.assert_close(joined(ids)[0], model(ids)[0], atol=1e-3, rtol=1e-4)
    assert all(isinstance(layer.attention, JoinedAttention) for layer in joined.blocks)
    right = JoinedAttention.project
    monkeypatch.setattr(
        JoinedAttention, "project", lambda layer, x: tuple(part.flip(-1) for part in right(layer, x))
    )
    notes: list[str] = []
    assert select.with_decoding_kernels(model, notes.append) is model
    assert notes == [
        "the model is decoded without kernels: these compute something else here: the joined projections"
    ]
