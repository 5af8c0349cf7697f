"""The transformer block: self-attention, then a feed-forward layer at each position."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from homespun.errors import ModelError
from homespun.model.attention import CausalSelfAttention
from homespun.model.config import GPTConfig
from homespun.model.context import Context
from homespun.model.dropout import ChannelDropout
from homespun.model.norm import make_norm

Activation = Callable[[Tensor], Tensor]

# What `feed_forward` may be: down(activation(up(x))), or gated, down(activation(gate(x)) * up(x)).
ACTIVATIONS: dict[str, Activation] = {
    # Hendrycks and Gimpel 2016, arXiv 1606.08415. GPT-2 has the tanh approximation, nanoGPT the exact one.
    "gelu": partial(F.gelu, approximate="tanh"),
    "gelu_exact": F.gelu,
    "relu": F.relu,
}
GATED: dict[str, Activation] = {"swiglu": F.silu}  # Shazeer 2020, arXiv 2002.05202


class FeedForward(nn.Module):
    """Up to n_inner, an activation, and down again, at every position. (B, T, C) -> (B, T, C)"""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.kind = config.feed_forward
        self.activation = activation_of(config.feed_forward)
        self.up = nn.Linear(config.n_embd, config.n_inner, bias=config.bias)
        self.down = nn.Linear(config.n_inner, config.n_embd, bias=config.bias)
        gated = config.feed_forward in GATED
        self.gate = nn.Linear(config.n_embd, config.n_inner, bias=config.bias) if gated else None

    def forward(self, x: Tensor) -> Tensor:
        if self.gate is not None:
            return self.down(self.activation(self.gate(x)) * self.up(x))
        return self.down(self.activation(self.up(x)))


class Block(nn.Module):
    """Communication, then computation, each added to what was there. (B, T, C) -> (B, T, C)"""

    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = make_norm(config)
        self.attention = CausalSelfAttention(config, layer)
        self.feed_forward_norm = make_norm(config)
        self.feed_forward = FeedForward(config)
        self.dropout = dropout_of(config)

    def set_dropout(self, config: GPTConfig) -> None:
        self.attention.set_dropout(config)
        self.dropout = dropout_of(config)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        x = x + self.dropout(self.attention(self.attention_norm(x), context))
        x = x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
        return x


def dropout_of(config: GPTConfig) -> nn.Module:
    """What drops a share of what a layer adds to the residual stream."""
    return (ChannelDropout if config.drops_whole else nn.Dropout)(config.dropout)


def activation_of(feed_forward: str) -> Activation:
    """The function that a feed-forward layer of that name has. Raises ModelError where there is none."""
    found = ACTIVATIONS.get(feed_forward) or GATED.get(feed_forward)
    if found is None:
        names = ", ".join(sorted([*ACTIVATIONS, *GATED]))
        raise ModelError(f"There is no feed-forward layer {feed_forward!r}.", f"feed_forward is one of: {names}.")
    return found
