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
from homespun.model.dropout import ChannelDropout, Dropout
from homespun.model.norm import make_norm

Activation = Callable[[Tensor], Tensor]

# What `feed_forward` may be: down(activation(up(x))), or gated, down(activation(gate(x)) * up(x)).
ACTIVATIONS: dict[str, Activation] = {
    # Hendrycks and Gimpel 2016, arXiv 1606.08415. GPT-2 has the tanh approximation, nanoGPT the exact one.
    "gelu": partial(F.gelu, approximate="tanh"),
    "gelu_exact": F.gelu,
    "relu": F.relu,
}
GATED: dict[str, Activation] = {  # Shazeer 2020, arXiv 2002.05202
    "swiglu": F.silu,
    "geglu": partial(F.gelu, approximate="tanh"),
}


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
        # What a layer reads is normalised, or what it adds, or both.
        before, after = config.norm_place != "after", config.norm_place != "before"
        self.attention_norm = make_norm(config) if before else nn.Identity()
        self.attention = CausalSelfAttention(config, layer)
        self.attention_post_norm = make_norm(config) if after else nn.Identity()
        self.feed_forward_norm = make_norm(config) if before else nn.Identity()
        self.feed_forward = FeedForward(config)
        self.feed_forward_post_norm = make_norm(config) if after else nn.Identity()
        self.parallel = config.parallel
        self.residual_scale = config.residual_scale
        self.dropout = dropout_of(config)

    def set_dropout(self, config: GPTConfig) -> None:
        self.attention.set_dropout(config)
        self.dropout = dropout_of(config)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        y = x + self.added(self.attention_post_norm(self.attention(self.attention_norm(x), context)))
        read = self.feed_forward_norm(x if self.parallel else y)
        return y + self.added(self.feed_forward_post_norm(self.feed_forward(read)))

    def added(self, branch: Tensor) -> Tensor:
        """What of a layer's output is added to the residual stream."""
        branch = self.dropout(branch)
        return branch if self.residual_scale == 1.0 else branch * self.residual_scale


def dropout_of(config: GPTConfig) -> nn.Module:
    """What drops a share of what a layer adds to the residual stream."""
    return (ChannelDropout if config.drops_whole else Dropout)(config.dropout)


def activation_of(feed_forward: str) -> Activation:
    """The function that a feed-forward layer of that name has. Raises ModelError where there is none."""
    found = ACTIVATIONS.get(feed_forward) or GATED.get(feed_forward)
    if found is None:
        names = ", ".join(sorted([*ACTIVATIONS, *GATED]))
        raise ModelError(f"There is no feed-forward layer {feed_forward!r}.", f"feed_forward is one of: {names}.")
    return found
