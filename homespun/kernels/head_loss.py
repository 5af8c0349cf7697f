"""The loss over a large vocabulary, in pieces: never all the logits at once.

With 49,152 tokens the logits of one batch are a hundred million numbers, more than all else together.
Here a few hundred rows of them exist at a time, and their gradient is taken in the same breath. On a GPU, which
needs larger pieces to be busy, a few thousand.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from homespun.kernels.exchange import Exchanged
from homespun.kernels.kernel import NO_CONCERN, ModuleKernel, always, any_value
from homespun.model.config import GPTConfig
from homespun.model.context import Context
from homespun.model.gpt import GPT

LARGEST = 2**22  # logits at once: 16 MiB in float32
LARGEST_ON_GPU = 2**27  # 512 MiB
# Rows of the head, up to a multiple of which the product is filled up on a GPU: its units for bfloat16 work on
# such tiles. 50,257 rows become 50,304. Only the product has them: weights, loss and gradient do not.
TILE = 64
LARGE_VOCABULARY = 4096  # tokens, from which on the logits of a batch are worth avoiding


def head_loss(x: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """Mean cross-entropy in nats of x (N, C) through a head (V, C), for targets (N). Zero where N is."""
    if not len(targets):
        return x.sum() * 0.0
    return HeadLoss.apply(x, weight, bias, targets)


class HeadLoss(torch.autograd.Function):
    """Forward computes the gradients too, while a piece of the logits is there; backward only hands them on."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
        learns, head_learns, bias_learns = ctx.needs_input_grad[:3]
        dtype = (
            torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else weight.dtype
        )
        size, missing = len(weight), rows_to_fill_up(len(weight), x.device)
        matrix = F.pad(weight.detach().to(dtype), (0, 0, 0, missing))  # (V + missing, C)
        rows = x.detach().to(dtype)  # (N, C)
        of_x = torch.empty_like(rows) if learns else None
        of_weight = torch.zeros_like(weight, dtype=torch.float32) if head_learns else None
        of_bias = torch.zeros_like(bias, dtype=torch.float32) if bias_learns and bias is not None else None
        total = torch.zeros((), dtype=torch.float64 if x.device.type != "mps" else torch.float32, device=x.device)
        step = max(1, (LARGEST if x.device.type == "cpu" else LARGEST_ON_GPU) // size)
        for begin in range(0, len(rows), step):
            part, aims = rows[begin : begin + step], targets[begin : begin + step, None]
            logits = (part @ matrix.t())[:, :size].float()  # (n, V)
            if bias is not None:
                logits += bias.detach().float()
            highest = logits.amax(dim=1, keepdim=True)
            aimed = logits.gather(1, aims) - highest
            chances = logits.sub_(highest).exp_()
            sums = chances.sum(dim=1, keepdim=True)
            total += (sums.log() - aimed).sum()
            if not (learns or head_learns):
                continue
            chances.div_(sums).scatter_add_(1, aims, torch.full_like(aimed, -1.0))  # the gradient of the logits
            if of_bias is not None:
                of_bias += chances.sum(dim=0)
            gradient = F.pad(chances.to(dtype), (0, missing))
            if of_x is not None:
                torch.mm(gradient, matrix, out=of_x[begin : begin + step])
            if of_weight is not None:
                of_weight += (gradient.t() @ part)[:size]
        ctx.save_for_backward(of_x, of_weight, of_bias)
        ctx.count, ctx.dtypes = len(targets), (x.dtype, weight.dtype)
        return (total / len(targets)).float()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        of_x, of_weight, of_bias = ctx.saved_tensors
        share = gradient.float() / ctx.count  # stays a tensor: reading it would wait for a GPU
        return (
            None if of_x is None else (of_x.float() * share).to(ctx.dtypes[0]),
            None if of_weight is None else of_weight.mul_(share).to(ctx.dtypes[1]),
            None if of_bias is None else of_bias * share,
            None,
        )


def rows_to_fill_up(size: int, device: torch.device) -> int:
    """Rows of zeros that a head of that size gets in the product, so that tiles fit into it.

    >>> rows_to_fill_up(50257, torch.device("cuda")), rows_to_fill_up(50257, torch.device("cpu"))
    (47, 0)
    """
    return 0 if device.type == "cpu" else -size % TILE


class GPTWithLossInChunks(Exchanged, GPT):
    """The model for training: its logits never exist all at once, and are not returned."""

    def forward(  # type: ignore[override]
        self, ids: Tensor, targets: Tensor, context: Context | None = None
    ) -> tuple[None, Tensor]:
        """ids (B, T), targets (B, T) -> None, mean loss in nats."""
        x = self.features(ids, context).flatten(0, 1)  # (B T, C)
        return None, head_loss(x, self.head.weight, self.head.bias, targets.flatten())


def has_large_vocabulary(config: GPTConfig) -> bool:
    return config.vocab_size >= LARGE_VOCABULARY


LOSS_IN_CHUNKS = ModuleKernel(
    "the loss in chunks",
    frozenset({"cuda", "mps"}),
    frozenset({"float32", "bfloat16"}),
    dict.fromkeys(NO_CONCERN, any_value) | {"vocab_size": has_large_vocabulary},
    always,
    lambda name, module: GPTWithLossInChunks(module) if type(module) is GPT else None,
)
