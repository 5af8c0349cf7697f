"""How torch.compile is asked to compile a training step, on a CPU and on a GPU, and how the result is tried.

Shapes are static everywhere. On a GPU the kernels of a small model take less time than launching them: its step
is recorded once as a CUDA graph, and launched as one. A large model gains nothing by that: its products take the
time, and the fastest of several kernels is chosen for each. None of this has run on a GPU so far.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from homespun.machine.device import compiler_failures
from homespun.planning.plan import Plan

# A model of 10 million parameters waits for launches; at 124 million on an RTX 4090 graphs gained nothing
# (https://github.com/karpathy/build-nanogpt/issues/6).
LAUNCH_BOUND = 40_000_000  # parameters


def suits_cuda_graphs(plan: Plan, parameters: int) -> bool:
    """Whether the step may be recorded as a CUDA graph, and gains by it.

    A graph writes its results to the same memory each time: gradients of an earlier micro-batch would be lost.
    """
    is_cuda = torch.device(plan.device).type == "cuda"
    return is_cuda and plan.micro_batches == 1 and parameters < LAUNCH_BOUND


def ways_to_compile(plan: Plan, parameters: int) -> list[dict[str, Any]]:
    """Options of torch.compile that are worth trying, the fastest first."""
    # With dropout it uses PyTorch's own rng, to draw the same random numbers.
    usual = {"fallback_random": True} if plan.dropout else {}
    if torch.device(plan.device).type != "cuda":
        return [usual]
    if suits_cuda_graphs(plan, parameters):
        return [usual | {"triton.cudagraphs": True}, usual]
    return [usual | {"max_autotune": True}, usual]


def records_graph(options: dict[str, Any]) -> bool:
    return bool(options.get("triton.cudagraphs"))


def passes_of_a_trial(options: dict[str, Any]) -> int:
    """Forward and backward passes until what is tried is what a run computes.

    The first pass of a graph warms up, the second records it, and the third is the first that launches it.
    """
    return 3 if records_graph(options) else 1


def compiled_form(form: nn.Module, options: dict[str, Any]) -> Callable[..., Any]:
    """The form under torch.compile, for the shapes that it is called with."""
    return torch.compile(form, dynamic=False, options=options or None)


def failures_on(device: torch.device) -> tuple[type[BaseException], ...]:
    """What torch.compile may raise there; on a GPU also errors of the driver, of Triton and of memory."""
    failures = compiler_failures()
    return failures if device.type == "cpu" else (*failures, RuntimeError, ImportError)


def tried(
    forward: Callable[..., Any],
    model: nn.Module,
    batch: list[Tensor],
    autocast: Callable[[], AbstractContextManager[Any]],
    passes: int = 1,
) -> tuple[float, Tensor]:
    """Return the loss of a batch, and its gradient as one vector; model and torch's random state do not change.

    passes: how often it is computed; the last one counts.
    """
    model.train()
    try:
        for number in range(passes):
            if number:
                model.zero_grad(set_to_none=True)
                torch.compiler.cudagraph_mark_step_begin()
            with torch.random.fork_rng():
                with autocast():
                    _, loss = forward(*batch)
                loss.backward()
        return loss.item(), torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None])
    finally:
        model.zero_grad(set_to_none=True)
