"""Which weights are updated how: Muon for the blocks' matrices, AdamW for all else."""

from __future__ import annotations

import torch
from torch import nn

from homespun.training.muon import Muon

BETAS = (0.9, 0.95)


class Optimizers:
    """The optimizers of one model, driven as one.

    Matrices of the blocks are directions to be mixed: Muon. Embeddings, the head, norms and
    biases are looked up or added, a row or a number at a time: AdamW. Norms, biases and
    embeddings are not decayed.
    """

    def __init__(
        self, model: nn.Module, *, kind: str, learning_rate: float, weight_decay: float, dtype: torch.dtype
    ) -> None:
        matrices, decayed, others = [], [], []
        for name, weight in model.named_parameters():
            in_block = name.startswith("blocks.") and weight.ndim == 2
            if in_block and kind == "muon":
                matrices.append(weight)
            elif in_block:
                decayed.append(weight)
            else:
                others.append(weight)
        groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
        groups = [group for group in groups if group["params"]]
        self.learning_rate = learning_rate
        self.all: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(groups, lr=learning_rate, betas=BETAS, fused=True),
        ]
        if matrices:
            self.all.append(
                Muon(matrices, learning_rate=learning_rate, weight_decay=weight_decay, dtype=dtype),
            )

    def step(self, share: float) -> None:
        """One update from the gradients that are there, at `share` of the learning rate; then no gradients."""
        for optimizer in self.all:
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate * share
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
