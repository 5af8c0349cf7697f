"""Causal self-attention: each position computes a weighted average of the values at earlier positions."""

from __future__ import annotations

from torch import Tensor, nn

from homespun.model.config import GPTConfig
from homespun.model.context import Context
from homespun.model.dropout import drop_whole
from homespun.model.norm import make_rms_norm
from homespun.model.rotary import apply_rope


class CausalSelfAttention(nn.Module):
    """H heads side by side, none of which sees the future. The average itself is in `dot_product`.

    With n_kv_head < n_head several queries share one key and value
    (grouped-query attention, Ainslie et al. 2023, arXiv 2305.13245).
    """

    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer  # its index, by which a context tells the layers apart
        self.head_width = config.head_width
        self.scale = config.scale
        self.kind = config.kind_of(layer)
        self.window = config.window_of(layer)
        queries, keys = config.query_width, config.key_width
        self.query = nn.Linear(config.n_embd, queries, bias=config.qkv_bias)
        self.key = nn.Linear(config.n_embd, keys, bias=config.qkv_bias)
        self.value = nn.Linear(config.n_embd, keys, bias=config.qkv_bias)
        self.output = nn.Linear(queries, config.n_embd, bias=config.bias)
        # Queries and keys of length one keep the scores small, whatever the learning
        # rate does (Dehghani et al. 2023, arXiv 2302.05442).
        self.norms_heads = config.qk_norm_over == "head"  # each by itself, or all heads together
        widths = (config.head_width, config.head_width) if self.norms_heads else (queries, keys)
        self.query_norm, self.key_norm = (
            make_rms_norm(config, width) if config.qk_norm else nn.Identity() for width in widths
        )
        self.set_dropout(config)

    def set_dropout(self, config: GPTConfig) -> None:
        """What is dropped: a share of the values, each whole, or of the weights that they are averaged with."""
        self.value_dropout = config.dropout if config.drops_whole else 0.0
        self.weight_dropout = 0.0 if config.drops_whole else config.dropout

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """x (B, T, C) -> (B, T, C)"""
        q, k, v = self.project(x)  # (B, T, H, D), and twice (B, T, G, D), G key-value heads
        rope = context.ropes.get(self.kind)
        if rope is not None:
            q, k = apply_rope(q, *rope), apply_rope(k, *rope)
        v = drop_whole(v, self.value_dropout, along=-1, training=self.training)
        out = self.attend(q, k, v, context)  # (B, T, H, D)
        return self.output(out.flatten(2))  # (B, T, H * D) -> (B, T, C)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, T, C) -> normed queries (B, T, H, D), normed keys and values (B, T, G, D)."""
        q, k, v = self.query(x), self.key(x), self.split_heads(self.value(x))
        if self.norms_heads:
            return self.query_norm(self.split_heads(q)), self.key_norm(self.split_heads(k)), v
        return self.split_heads(self.query_norm(q)), self.split_heads(self.key_norm(k)), v

    def attend(self, q: Tensor, k: Tensor, v: Tensor, context: Context) -> Tensor:
        """q (B, T, H, D), k and v (B, T, G, D) -> (B, T, H, D)"""
        dropout = self.weight_dropout if self.training else 0.0
        return context.attend(self.layer, q, k, v, self.scale, window=self.window, dropout=dropout)

    def split_heads(self, x: Tensor) -> Tensor:
        """(B, T, H * D) -> (B, T, H, D)"""
        return x.unflatten(-1, (-1, self.head_width))
