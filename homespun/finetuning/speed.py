"""The fine-tuning speed of this machine: one block and the head are timed, and the total is computed from them."""

from __future__ import annotations

import math
import time

import torch

from homespun.finetuning.learner import Learner
from homespun.finetuning.methods import prepared_model
from homespun.machine.device import autocast
from homespun.machine.memory import release_freed_memory
from homespun.model.causal_lm import CausalLM
from homespun.model.config import ModelConfig
from homespun.model.gpt import build
from homespun.planning.tuning_plan import TuningPlan

TOKENS = 1024  # of a timed step
STEPS = 2


def seconds_per_token(plan: TuningPlan, config: ModelConfig, at_most: float = math.inf) -> float:
    """Seconds per token of a whole step, forward and backward. Torch's random state is not changed.

    at_most: seconds. After that, which happens when the machine is busy, every model is timed only once.
    """
    if not config.n_layer:
        return 1e-6
    layers, deadline = (1, 2), time.monotonic() + at_most
    with torch.random.fork_rng():
        torch.manual_seed(0)
        one, two = (timed(plan, config.with_(n_layer=number), deadline) for number in layers)
    release_freed_memory()
    block = max(two - one, 0.1 * one)
    return (max(one - block, 0.0) + config.n_layer * block) / TOKENS


def timed(plan: TuningPlan, config: ModelConfig, deadline: float) -> float:
    """Seconds of a step with a model of that config: the minimum of a few, or of one after the deadline."""
    computed_in = getattr(torch, plan.dtype)

    def open_base(dtype: torch.dtype) -> CausalLM:
        return build(config).to(dtype)

    learner = Learner(prepared_model(plan, open_base), plan.context_length).train()
    context = autocast(plan.device, computed_in)
    shape = (max(1, TOKENS // plan.context_length), plan.context_length)
    ids = torch.randint(config.vocab_size, shape, device=plan.device)
    seconds = []
    for _ in range(1 + STEPS):
        began = time.perf_counter()
        with context():
            loss = learner(ids, ids)[1]
        loss.backward()
        loss.item()
        seconds.append(time.perf_counter() - began)
        learner.zero_grad(set_to_none=True)
        if len(seconds) > 1 and time.monotonic() > deadline:
            break
    return min(seconds[1:]) * TOKENS / ids.numel()
