"""torch.compile where the plan asks for it and it works here; else the model as it is, with a line about it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from homespun.device import compiler_failures, first_line
from homespun.evaluation.selftest import agree
from homespun.training.plan import Plan
from homespun.training.watcher import Watcher


def compiled_or_eager(
    model: nn.Module,
    plan: Plan,
    autocast: Callable[[], AbstractContextManager[Any]],
    example: tuple[Tensor, Tensor],
    watcher: Watcher,
) -> Callable[..., Any]:
    """What computes (logits, loss) from (ids, targets): compiled, and tried out forward and backward once.

    A compiler that is missing or broken, or a cache folder that cannot be written, is no
    reason not to train. The trial leaves no gradients behind and draws no random numbers
    that the run would draw.
    """
    if not plan.compile:
        return model
    began = time.monotonic()
    batch = [part.chunk(plan.micro_batches)[0].to(plan.device) for part in example]
    try:
        compiled = torch.compile(model)
        loss, gradient = tried(compiled, model, batch, autocast)
    except compiler_failures() as error:
        watcher.note(f"torch.compile does not work here ({first_line(error)}); training goes on without it.")
        torch.compiler.reset()
        return model
    if not plan.dropout:  # with it the two draw other numbers
        plain_loss, plain_gradient = tried(model, model, batch, autocast)
        if not agree(loss, plain_loss, gradient, plain_gradient):
            watcher.note("torch.compile computes something else than the model here; training goes on without it.")
            return model
    watcher.note(f"compiled the training step in {time.monotonic() - began:.0f} s")
    return compiled


def tried(
    forward: Callable[..., Any],
    model: nn.Module,
    batch: list[Tensor],
    autocast: Callable[[], AbstractContextManager[Any]],
) -> tuple[float, Tensor]:
    """The loss of a batch, and its gradient as one vector; the model and torch's dice are as before."""
    model.train()
    try:
        with torch.random.fork_rng():
            with autocast():
                _, loss = forward(*batch)
            loss.backward()
        return loss.item(), torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None])
    finally:
        model.zero_grad(set_to_none=True)
