"""What a GPU computes, held against the processor: attention, some training steps; and how fast it copies memory.

For `homespun doctor`. A model's loss and gradient are compared by kernels/selfcheck.py, everywhere.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from homespun.kernels.selfcheck import LARGEST_LOSS_ERROR, SMALLEST_AGREEMENT, cosine
from homespun.machine.accelerator import wait_for
from homespun.machine.device import autocast
from homespun.model.config import GPTConfig
from homespun.model.dot_product import attend_explicitly, attend_fused
from homespun.model.gpt import GPT
from homespun.training.optimizer import Optimizers

STEPS = 5
LEARNING_RATE = 3e-3
COPIED = 2**28  # bytes


@dataclass(frozen=True)
class DeviceCheck:
    """
    attention         cosine between attention's output and gradient, there and on the processor; 1 is the same
    steps             training steps that were compared
    loss_error        how far the losses after them are apart, as a share of the loss
    bytes_per_second  read and written when memory is copied
    """

    attention: float
    steps: int
    loss_error: float
    bytes_per_second: float

    @property
    def attention_passed(self) -> bool:
        return self.attention >= SMALLEST_AGREEMENT

    @property
    def steps_passed(self) -> bool:
        return self.loss_error <= LARGEST_LOSS_ERROR

    @property
    def passed(self) -> bool:
        return self.attention_passed and self.steps_passed


def check_device(device: torch.device, dtype: torch.dtype) -> DeviceCheck:
    """Compare and measure. Takes a second; torch's random state does not change."""
    right, found = (losses(*where)[-1] for where in ((torch.device("cpu"), torch.float32), (device, dtype)))
    return DeviceCheck(
        attention=attention_agreement(device, dtype),
        steps=STEPS,
        loss_error=abs(found - right) / right if found == found else float("inf"),
        bytes_per_second=copy_rate(device),
    )


def attention_agreement(device: torch.device, dtype: torch.dtype) -> float:
    """The cosine between what the fused operation gives there and the explicit one on the processor.

    Causal, without a mask, four heads of queries for two of keys: as a training step calls it on a GPU.
    """
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, heads, 128, 64, generator=generator) for heads in (4, 2, 2))
    exact = [part.clone().requires_grad_() for part in (q, k, v)]
    there = [part.to(device, dtype).requires_grad_() for part in (q, k, v)]
    right = with_gradients(attend_explicitly(exact[0], exact[1], exact[2], 0.125), exact)
    return cosine(right, with_gradients(attend_fused(there[0], there[1], there[2], 0.125), there))


def with_gradients(out: Tensor, inputs: list[Tensor]) -> Tensor:
    """The output and the gradients of the sum of its squares, as one vector on the CPU."""
    gradients = torch.autograd.grad(out.float().square().sum(), inputs)
    return torch.cat([part.detach().float().cpu().flatten() for part in (out, *gradients)])


def losses(device: torch.device, dtype: torch.dtype) -> list[float]:
    """The losses of a small model over a few training steps on one batch, before the first and after each."""
    config = GPTConfig.of("modern", vocab_size=64, context_length=64, n_layer=2, n_head=4, n_embd=64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, ids = GPT(config), torch.randint(64, (4, 65))
    model, ids = model.to(device), ids.to(device)
    optimizers = Optimizers(model, kind="muon", learning_rate=LEARNING_RATE, weight_decay=0.1, dtype=dtype)
    found = []
    for _ in range(STEPS + 1):
        with autocast(device, dtype)():
            _, loss = model(ids[:, :-1], ids[:, 1:])
        loss.backward()
        found.append(float(loss.detach()))
        optimizers.step(1.0)
        optimizers.zero_grad()
    return found


def copy_rate(device: torch.device, size: int = COPIED) -> float:
    """Bytes a second, read and written, the best of some copies of `size` bytes."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target, best = torch.empty_like(source), float("inf")
    for _ in range(5):
        wait_for(device)
        began = time.perf_counter()
        target.copy_(source)
        wait_for(device)
        best = min(best, time.perf_counter() - began)
    return 2 * size / best
