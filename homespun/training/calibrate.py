"""How fast this machine trains: measured, in about a second, because no data sheet says."""

from __future__ import annotations

import statistics
import time

import torch

from homespun.device import autocast, choose_dtype
from homespun.model import GPT, GPTConfig, flops_per_token
from homespun.training.optimizer import Optimizers

STEPS = 5


def training_flops_per_second(device: str, dtype: str) -> float:
    """Floating-point operations a second that whole training steps of a small model reach.

    Whatever else is in a step (norms, the softmax, the update) is in the figure, as it is
    in the training that is to be foretold. torch's random state stays as it was.
    """
    config = GPTConfig.of("modern", vocab_size=256, context_length=128, n_layer=2, n_head=6, n_embd=192)
    sequences = 16
    seconds = []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT(config).to(device)
        computed_in = choose_dtype(dtype, torch.device(device))
        optimizers = Optimizers(model, kind="muon", learning_rate=0.0, weight_decay=0.0, dtype=computed_in)
        context = autocast(device, computed_in)
        ids = torch.randint(256, (sequences, config.context_length + 1), device=device)
        for _ in range(1 + STEPS):  # the first one warms up
            began = time.monotonic()
            with context():
                _, loss = model(ids[:, :-1], ids[:, 1:])
            loss.backward()
            optimizers.step(1.0)
            loss.item()  # a GPU has finished only when it has told the result
            seconds.append(time.monotonic() - began)
    operations = sequences * config.context_length * flops_per_token(config, training=True)
    return operations / statistics.median(seconds[1:])
