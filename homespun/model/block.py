"""The block of a transformer: the tokens talk to each other, then each thinks for itself."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from homespun.model.attention import CausalSelfAttention
from homespun.model.cache import KVCache
from homespun.model.config import GPTConfig
from homespun.model.dropout import ChannelDropout
from homespun.model.norm import make_norm


class FeedForward(nn.Module):
    """What a token makes of what it has heard: wider, bent, and back. (B, T, C) -> (B, T, C)"""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.bend = config.feed_forward
        self.up = nn.Linear(config.n_embd, config.n_inner, bias=config.bias)
        self.down = nn.Linear(config.n_inner, config.n_embd, bias=config.bias)
        # SwiGLU (Shazeer 2020, arXiv 2002.05202): a second way up that opens and closes the first.
        gated = self.bend == "swiglu"
        self.gate = nn.Linear(config.n_embd, config.n_inner, bias=config.bias) if gated else None

    def forward(self, x: Tensor) -> Tensor:
        if self.gate is not None:
            return self.down(F.silu(self.gate(x)) * self.up(x))
        if self.bend == "gelu":
            return self.down(F.gelu(self.up(x), approximate="tanh"))
        return self.down(F.relu(self.up(x)))


class Block(nn.Module):
    """Communication, then computation, each added to what was there. (B, T, C) -> (B, T, C)"""

    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = make_norm(config)
        self.attention = CausalSelfAttention(config, layer)
        self.feed_forward_norm = make_norm(config)
        self.feed_forward = FeedForward(config)
        self.dropout = (ChannelDropout if config.drops_whole else nn.Dropout)(config.dropout)

    def forward(
        self,
        x: Tensor,
        angles: tuple[Tensor, Tensor] | None = None,
        cache: KVCache | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        x = x + self.dropout(self.attention(self.attention_norm(x), angles, cache, mask))
        x = x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
        return x
