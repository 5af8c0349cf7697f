"""One side's training step, in a process of its own, which does what it is told on standard input.

steps N     takes N steps                  -> {"seconds": …, "loss": …}
rate S      multiplies matrices for S s    -> {"rate": FLOP/s in this side's dtype}
memory      looks at its own memory        -> {"before": …, "peak": …} in bytes
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from homespun.kernels.float32.source import FLOAT32
from homespun.kernels.select import with_step_kernels
from homespun.kernels.selfcheck import matmul_rate
from homespun.machine.contention import check_contention
from homespun.machine.device import autocast, choose_dtype, compiler
from homespun.model.config import GPTConfig
from homespun.model.gpt import build
from homespun.training.compiled import forms
from homespun.training.optimizer import Optimizers

BATCHES = 8
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.1
CLIP = 1.0

Step = Callable[[Tensor, Tensor], float]


def our_way(model: nn.Module, dtype: torch.dtype, compiled: bool) -> tuple[Step, str]:
    """The step as `training/loop.py` takes it, with the fast paths that this machine has; and what they are."""
    context = autocast("cpu", dtype)
    FLOAT32.library(wait=True)
    forward: Callable[..., Any] = with_step_kernels(model, "cpu", dtype)
    how = "native kernels"
    quick = forward is not model
    if not quick and compiled:
        form = forms(model, "cpu", dtype)[0]
        forward, how, quick = torch.compile(form, dynamic=False), "compiled", form is not model
    elif not quick:
        how = "eager"
    optimizers = Optimizers(
        model, kind="muon", learning_rate=LEARNING_RATE, weight_decay=WEIGHT_DECAY, dtype=dtype
    )
    if quick:
        optimizers.use_native_kernels()

    def step(x: Tensor, y: Tensor) -> float:
        check_contention()
        with context():
            _, loss = forward(x, y)
        loss.backward()
        value = loss.item()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizers.step(1.0)
        optimizers.zero_grad()
        return value

    return step, how


def plain_way(model: nn.Module) -> Step:
    """The step as a tutorial has it: eager, float32, AdamW as PyTorch gives it."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)

    def step(x: Tensor, y: Tensor) -> float:
        _, loss = model(x, y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        return loss.item()

    return step


def memory(line: str) -> int:
    """Of this process in bytes: VmRSS is what it has, VmHWM the most it had."""
    status = Path("/proc/self/status")
    if status.is_file():
        found = next(text for text in status.read_text().splitlines() if text.startswith(line))
        return int(found.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=["ours", "plain"])
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--eager", action="store_true")
    for name in ("layers", "heads", "width", "context", "sequences", "vocabulary"):
        parser.add_argument(f"--{name}", type=int, required=True)
    asked = parser.parse_args()

    torch.manual_seed(0)
    gc.collect()
    before = memory("VmRSS")
    config = GPTConfig.of(
        "modern",
        vocab_size=asked.vocabulary,
        context_length=asked.context,
        n_layer=asked.layers,
        n_head=asked.heads,
        n_embd=asked.width,
    )
    model = build(config)
    ids = torch.randint(config.vocab_size, (BATCHES, asked.sequences, config.context_length + 1))
    dtype = choose_dtype(asked.dtype if asked.side == "ours" else "float32")
    compiled = asked.side == "ours" and not asked.eager and compiler() is not None
    step, how = our_way(model, dtype, compiled) if asked.side == "ours" else (plain_way(model), "eager")
    tokens = asked.sequences * config.context_length
    tell(
        dtype=str(dtype).removeprefix("torch."),
        compiled=how == "compiled",
        how=how,
        threads=torch.get_num_threads(),
        parameters=config.number_of_parameters(),
        tokens=tokens,
        flops=tokens * config.flops_per_token(training=True),
    )
    for line in sys.stdin:
        what, *numbers = line.split()
        if what == "steps":
            began, loss = time.perf_counter(), 0.0
            for number in range(int(numbers[0])):
                batch = ids[number % BATCHES]
                loss = step(batch[:, :-1], batch[:, 1:])
            tell(seconds=time.perf_counter() - began, loss=loss)
        elif what == "rate":
            tell(rate=matmul_rate(torch.device("cpu"), dtype, float(numbers[0])))
        elif what == "memory":
            tell(before=before, peak=memory("VmHWM"))


def tell(**values: Any) -> None:
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main()
