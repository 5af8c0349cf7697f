"""The loss over a large vocabulary, in pieces: never all the logits at once.

With 49,152 tokens the logits of one batch are a hundred million numbers, more than all else together.
Here a few hundred rows of them exist at a time, and their gradient is taken in the same breath.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

LARGEST = 2**22  # logits at once: 16 MiB in float32


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
        matrix = weight.detach().to(dtype)
        rows = x.detach().to(dtype)  # (N, C)
        of_x = torch.empty_like(rows) if learns else None
        of_weight = torch.zeros_like(weight, dtype=torch.float32) if head_learns else None
        of_bias = torch.zeros_like(bias, dtype=torch.float32) if bias_learns and bias is not None else None
        total = torch.zeros((), dtype=torch.float64 if x.device.type != "mps" else torch.float32, device=x.device)
        step = max(1, LARGEST // len(weight))
        for begin in range(0, len(rows), step):
            part, aims = rows[begin : begin + step], targets[begin : begin + step, None]
            logits = (part @ matrix.t()).float()  # (n, V)
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
            gradient = chances.to(dtype)
            if of_x is not None:
                torch.mm(gradient, matrix, out=of_x[begin : begin + step])
            if of_weight is not None:
                of_weight += gradient.t() @ part
        ctx.save_for_backward(of_x, of_weight, of_bias)
        ctx.count, ctx.dtypes = len(targets), (x.dtype, weight.dtype)
        return (total / len(targets)).float()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        of_x, of_weight, of_bias = ctx.saved_tensors
        share = float(gradient) / ctx.count
        return (
            None if of_x is None else of_x.to(ctx.dtypes[0]) * share,
            None if of_weight is None else of_weight.mul_(share).to(ctx.dtypes[1]),
            None if of_bias is None else of_bias * share,
            None,
        )
