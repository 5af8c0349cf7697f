"""A pass forward and backward of whatever computes what a model does, and how far off it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from homespun.model.gpt import GPT


def loss_and_gradient(
    forward: nn.Module, model: GPT, dtype: torch.dtype, *, texts: int, tokens: int
) -> tuple[float, Tensor]:
    """Of ids by chance; the gradient is that of all the model's weights, as one vector."""
    ids = torch.randint(65, (texts, tokens + 1), generator=torch.Generator().manual_seed(1))
    torch.manual_seed(2)  # dropout
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
        _, loss = forward(ids[:, :-1], ids[:, 1:])
    loss.backward()
    return loss.item(), torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None])


def error(found: Tensor, right: Tensor) -> float:
    """The length of the difference, as a share of what is right."""
    return float((found.detach().float() - right.detach()).norm() / right.detach().norm())
