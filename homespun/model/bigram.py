"""The bigram model: the next token from the last one alone. The first rung of the ladder."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from homespun.model.causal_lm import CausalLM
from homespun.model.config import BigramConfig


class Bigram(CausalLM):
    """One table: row i holds the logits of what comes after token i."""

    config: BigramConfig

    def __init__(self, config: BigramConfig) -> None:
        super().__init__()
        self.config = config
        self.table = nn.Embedding(config.vocab_size, config.vocab_size)

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """ids (B, T), targets (B, T) or None -> logits (B, T, V), mean loss in nats or None."""
        logits = self.table(ids)
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)
