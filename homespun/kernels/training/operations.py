"""The operations of the compiled library, as PyTorch sees them: with gradients, and inside torch.compile."""

from __future__ import annotations

import ctypes
import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from homespun.kernels.native_library import opened
from homespun.kernels.training.source import TRAINING

found: ctypes.CDLL | None = None  # asked for at every operation, and looked for once


def available(*, wait: bool = False, at_most: float = math.inf) -> bool:
    """Whether the operations can be used: there is a library, and the processor is of the kind that it is for.

    wait: compile the library now, if it has to be. at_most: seconds to wait.
    """
    global found
    if found is None:
        path = TRAINING.library(wait=wait, at_most=at_most)
        found = None if path is None else opened(path)
    return found is not None


def library() -> ctypes.CDLL:
    assert found is not None, "ask `available` first"
    return found


def at(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


class Shape(ctypes.Structure):
    """Of an attention; see attention.h."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("texts", "tokens", "heads", "key_heads", "width")),
        ("scale", ctypes.c_float),
    )


def shape_of(q: Tensor, k: Tensor, scale: float) -> Any:
    return ctypes.byref(Shape(*q.shape[:3], k.size(2), q.size(3), scale))


@torch.library.custom_op("homespun::attend", mutates_args=())
def attend(q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """q (B, T, H, D), k and v (B, T, G, D), bfloat16 -> (B, T, H, D), and what the gradient needs (B, H, T)."""
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    out, log_sums = torch.empty_like(q), q.new_empty(q.size(0), q.size(2), q.size(1), dtype=torch.float32)
    library().attend(shape_of(q, k, scale), at(q), at(k), at(v), at(out), at(log_sums))
    return out, log_sums


@attend.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    return q.new_empty(q.shape), q.new_empty(q.size(0), q.size(2), q.size(1), dtype=torch.float32)


@torch.library.custom_op("homespun::attend_backward", mutates_args=())
def attend_backward(
    gradient: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, log_sums: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of q, k and v, from that of out."""
    gradient, q, k, v, out = (part.contiguous() for part in (gradient, q, k, v, out))
    gradients = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
    given = (gradient, q, k, v, out, log_sums, *gradients)
    library().attend_backward(shape_of(q, k, scale), *(at(tensor) for tensor in given))
    return gradients


@attend_backward.register_fake
def _(
    gradient: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, log_sums: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


def keep_for_attend(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    q, k, v, ctx.scale = inputs
    ctx.save_for_backward(q, k, v, *output)


def back_through_attend(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Any, ...]:
    return (*attend_backward(gradient, *ctx.saved_tensors, ctx.scale), None)


attend.register_autograd(back_through_attend, setup_context=keep_for_attend)


@torch.library.custom_op("homespun::linear", mutates_args=())
def linear(x: Tensor, rounded: Tensor, weight: Tensor) -> Tensor:
    """x (…, inputs), rounded (outputs, inputs), bfloat16 -> (…, outputs).

    weight: what `rounded` was rounded from. It is not looked at: its gradient, in float32, is what comes back.
    """
    return F.linear(x, rounded)


@linear.register_fake
def _(x: Tensor, rounded: Tensor, weight: Tensor) -> Tensor:
    return x.new_empty(*x.shape[:-1], weight.size(0))


@torch.library.custom_op("homespun::weight_gradient", mutates_args=())
def weight_gradient(x: Tensor, gradient: Tensor) -> Tensor:
    """x (…, inputs), gradient (…, outputs), bfloat16 -> (outputs, inputs) float32."""
    x, gradient = x.contiguous(), gradient.contiguous()
    inputs, outputs = x.size(-1), gradient.size(-1)
    sums = x.new_empty(outputs, inputs, dtype=torch.float32)
    library().weight_gradient(at(x), at(gradient), at(sums), x.numel() // inputs, inputs, outputs)
    return sums


@weight_gradient.register_fake
def _(x: Tensor, gradient: Tensor) -> Tensor:
    return x.new_empty(gradient.size(-1), x.size(-1), dtype=torch.float32)


def keep_for_linear(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2])


def back_through_linear(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor]:
    x, rounded = ctx.saved_tensors
    return gradient @ rounded, None, weight_gradient(x, gradient)


linear.register_autograd(back_through_linear, setup_context=keep_for_linear)


@torch.library.custom_op("homespun::swiglu", mutates_args=())
def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up, bfloat16."""
    gate, up = gate.contiguous(), up.contiguous()
    out = torch.empty_like(gate)
    library().swiglu(at(gate), at(up), at(out), ctypes.c_int64(out.numel()))
    return out


@swiglu.register_fake
def _(gate: Tensor, up: Tensor) -> Tensor:
    return gate.new_empty(gate.shape)


@torch.library.custom_op("homespun::swiglu_backward", mutates_args=())
def swiglu_backward(gradient: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    gradient, gate, up = gradient.contiguous(), gate.contiguous(), up.contiguous()
    gradients = torch.empty_like(gate), torch.empty_like(up)
    given = (gradient, gate, up, *gradients)
    library().swiglu_backward(*(at(tensor) for tensor in given), ctypes.c_int64(gate.numel()))
    return gradients


@swiglu_backward.register_fake
def _(gradient: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    return gate.new_empty(gate.shape), up.new_empty(up.shape)


swiglu.register_autograd(
    lambda ctx, gradient: swiglu_backward(gradient, *ctx.saved_tensors),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
)


@torch.library.custom_op("homespun::look_up", mutates_args=())
def look_up(ids: Tensor, weight: Tensor) -> Tensor:
    """ids (…), weight (V, C) -> (…, C)"""
    return F.embedding(ids, weight)


@look_up.register_fake
def _(ids: Tensor, weight: Tensor) -> Tensor:
    return weight.new_empty(*ids.shape, weight.size(1))


@torch.library.custom_op("homespun::embedding_gradient", mutates_args=())
def embedding_gradient(ids: Tensor, gradient: Tensor, vocab_size: int) -> Tensor:
    """ids (…), gradient (…, C) float32 -> (V, C)"""
    ids, gradient = ids.contiguous(), gradient.contiguous()
    sums = gradient.new_empty(vocab_size, gradient.size(-1))
    sizes = (ctypes.c_int64(size) for size in (ids.numel(), *sums.shape))
    library().embedding_gradient(at(ids), at(gradient), at(sums), *sizes)
    return sums


@embedding_gradient.register_fake
def _(ids: Tensor, gradient: Tensor, vocab_size: int) -> Tensor:
    return gradient.new_empty(vocab_size, gradient.size(-1))


def keep_for_look_up(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0])
    ctx.vocab_size = inputs[1].size(0)


def back_through_look_up(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
    (ids,) = ctx.saved_tensors
    return None, embedding_gradient(ids, gradient, ctx.vocab_size)


look_up.register_autograd(back_through_look_up, setup_context=keep_for_look_up)
