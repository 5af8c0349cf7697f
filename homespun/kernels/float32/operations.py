"""The functions of the compiled library, as PyTorch sees them: each with its own backward pass."""

from __future__ import annotations

import ctypes
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from homespun.kernels import native_library
from homespun.kernels.float32.source import FLOAT32

# Groups of tokens over which the gradients of weights are summed separately. A group is the work of one thread,
# and the sums do not depend on the number of threads as long as there are no more threads than groups.
GROUPS = 4

found: ctypes.CDLL | None = None  # asked for at every step, and looked for once


def available(*, wait: bool = False, at_most: float = math.inf) -> bool:
    """Whether there is a library, made for a processor of this kind.

    wait: compile the library now, if it has to be. at_most: seconds to wait.
    """
    global found
    if found is None:
        path = FLOAT32.library(wait=wait, at_most=at_most)
        found = None if path is None else opened(path)
    return found is not None


def opened(path: Path) -> ctypes.CDLL | None:
    library = native_library.opened(path)
    if library is not None:
        library.saved_size.restype = ctypes.c_int64
        library.loss_of_head.restype = ctypes.c_double
    return library


def library() -> ctypes.CDLL:
    assert found is not None, "ask `available` first"
    return found


class BlockShape(ctypes.Structure):
    """See block.h."""

    _fields_ = (
        *(
            (name, ctypes.c_int32)
            for name in (
                "texts",
                "tokens",
                "width",
                "heads",
                "key_heads",
                "head_width",
                "inner",
                "groups",
                "threads",
            )
        ),
        *((name, ctypes.c_float) for name in ("eps", "head_eps", "scale")),
    )


# The weights of a block, in the order of block.h; and the tensors of its context.
WEIGHTS = (
    *("attention_norm", "query", "key", "value", "output", "query_norm", "key_norm", "feed_forward_norm"),
    *("gate", "up", "down"),
)
CONTEXT = ("cosines", "sines", "of_values", "of_attention", "of_feed_forward")


class BlockWeights(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_void_p) for name in WEIGHTS)


class BlockContext(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_void_p) for name in CONTEXT)


def pointer(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def at(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


class FusedBlock(torch.autograd.Function):
    """A transformer block; see block.h. x (B, T, C) float32 -> (B, T, C)"""

    @staticmethod
    def forward(
        ctx: Any, shape: BlockShape, context: tuple[Tensor | None, ...], x: Tensor, *weights: Tensor | None
    ) -> Tensor:
        """context: the tensors of CONTEXT, weights: those of WEIGHTS; contiguous, or None."""
        x, y = x.contiguous(), torch.empty_like(x, memory_format=torch.contiguous_format)
        given = BlockWeights(*map(pointer, weights)), BlockContext(*map(pointer, context))
        saved = x.new_empty(library().saved_size(ctypes.byref(shape)))
        library().forward_block(
            ctypes.byref(shape), ctypes.byref(given[0]), ctypes.byref(given[1]), at(x), at(y), at(saved)
        )
        ctx.shape = shape
        ctx.save_for_backward(x, saved, *context, *weights)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, saved, *others = ctx.saved_tensors
        context, weights = others[: len(CONTEXT)], others[len(CONTEXT) :]
        gradient, of_x = gradient.contiguous(), torch.empty_like(x)
        of_weights = [None if weight is None else torch.empty_like(weight) for weight in weights]
        library().backward_block(
            ctypes.byref(ctx.shape),
            ctypes.byref(BlockWeights(*map(pointer, weights))),
            ctypes.byref(BlockContext(*map(pointer, context))),
            at(x),
            at(saved),
            at(gradient),
            at(of_x),
            ctypes.byref(BlockWeights(*map(pointer, of_weights))),
        )
        return (None, None, of_x, *of_weights)


class HeadShape(ctypes.Structure):
    """See head.h."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("rows", "width", "vocab_size", "groups", "threads")),
        ("eps", ctypes.c_float),
    )


class HeadLoss(torch.autograd.Function):
    """Final norm, head and mean cross-entropy in nats; see head.h. x (B, T, C), targets (B, T) -> scalar

    The forward pass computes the gradients too, while the logits are in the cache; backward only hands them on.
    """

    @staticmethod
    def forward(ctx: Any, shape: HeadShape, targets: Tensor, x: Tensor, norm: Tensor, weight: Tensor) -> Tensor:
        """targets: -1 is not counted. norm: the weight of the final norm (C), weight: that of the head (V, C)."""
        x, targets = x.contiguous(), targets.contiguous()
        count = int((targets >= 0).sum())
        gradients = tuple(map(torch.empty_like, (x, norm, weight)))
        total = library().loss_of_head(
            ctypes.byref(shape),
            *map(at, (x, norm, weight, targets)),
            ctypes.c_float(1 / max(1, count)),
            *map(at, gradients),
        )
        ctx.gradients = gradients
        return x.new_tensor(total / count if count else math.nan)  # no target has no mean, as in PyTorch

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None
        if gradient != 1.0:
            gradients = [part.mul_(gradient) for part in gradients]
        return (None, None, *gradients)


class LookUp(torch.autograd.Function):
    """ids (...), weight (V, C) -> (..., C)"""

    @staticmethod
    def forward(ctx: Any, ids: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.shape = weight.shape
        return torch.nn.functional.embedding(ids, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        (ids,) = ctx.saved_tensors
        ids, gradient = ids.contiguous(), gradient.contiguous()
        of_weight = gradient.new_empty(ctx.shape)
        sizes = (ids.numel(), *ctx.shape, torch.get_num_threads())
        library().gradient_of_embedding(at(ids), at(gradient), *sizes, at(of_weight))
        return None, of_weight
