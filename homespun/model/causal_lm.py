"""What every kind of model can do: predict the next token (a causal language model)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from homespun.model.config import ModelConfig


class CausalLM(nn.Module):
    """What GPT and Bigram have in common, and all that most code needs to know of a model."""

    config: ModelConfig

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """ids (B, T), targets (B, T) or None -> logits (B, T, V), mean loss in nats or None."""
        raise NotImplementedError

    def number_of_parameters(self) -> int:
        """All of them, a tied head counted once."""
        return sum(p.numel() for p in self.parameters())

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device
