"""Self-attention: every token asks the tokens before it a question, and takes up what they answer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from homespun.model.cache import KVCache
from homespun.model.config import GPTConfig
from homespun.model.dropout import drop_whole
from homespun.model.norm import RMSNorm
from homespun.model.rotary import rotate


class CausalSelfAttention(nn.Module):
    """H heads side by side, none of which sees the future.

    With n_kv_head < n_head several queries share one key and value
    (grouped-query attention, Ainslie et al. 2023, arXiv 2305.13245).
    """

    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer  # which shelf of the cache is ours
        self.head_width = config.head_width
        self.scale = config.scale
        # What is dropped: a share of the values, each whole, or of the weights that they are mixed with.
        self.value_dropout = config.dropout if config.drops_whole else 0.0
        self.weight_dropout = 0.0 if config.drops_whole else config.dropout
        queries, keys = config.query_width, config.key_width
        self.query = nn.Linear(config.n_embd, queries, bias=config.qkv_bias)
        self.key = nn.Linear(config.n_embd, keys, bias=config.qkv_bias)
        self.value = nn.Linear(config.n_embd, keys, bias=config.qkv_bias)
        self.output = nn.Linear(queries, config.n_embd, bias=config.bias)
        # Queries and keys of length one keep the scores small, whatever the learning
        # rate does (Dehghani et al. 2023, arXiv 2302.05442).
        self.query_norm = RMSNorm(config.head_width, config.norm_eps) if config.qk_norm else nn.Identity()
        self.key_norm = RMSNorm(config.head_width, config.norm_eps) if config.qk_norm else nn.Identity()

    def forward(
        self,
        x: Tensor,
        angles: tuple[Tensor, Tensor] | None = None,
        cache: KVCache | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """x (B, T, C) -> (B, T, C). angles: cosines and sines (T, 1, D/2), where positions are rotary.

        mask: (B, 1, T, T) booleans, who may look at whom; None where every token sees all before it.
        """
        q = self.query_norm(self.split_heads(self.query(x)))  # (B, T, H, D)
        k = self.key_norm(self.split_heads(self.key(x)))  # (B, T, G, D), G key-value heads
        v = self.split_heads(self.value(x))  # (B, T, G, D)
        if angles is not None:
            q, k = rotate(q, *angles), rotate(k, *angles)
        v = drop_whole(v, self.value_dropout, along=-1, training=self.training)
        return self.output(self.mix(q, k, v, cache, mask).flatten(2))  # (B, T, H * D) -> (B, T, C)

    def mix(
        self, q: Tensor, k: Tensor, v: Tensor, cache: KVCache | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """What each query takes up: q (B, T, H, D), k and v (B, T, G, D) -> (B, T, H, D)."""
        # Only now do the heads move forward: up to here all numbers are read and written in the order in
        # which they lie in memory, which the backward pass of norm and rotation takes half the time for.
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))  # (B, H, T, D) or (B, G, T, D)
        if cache is not None:
            k, v = (part.to(q.dtype) for part in cache.extend(self.layer, k, v))  # (B, G, S, D), S tokens so far
        out = attend(q, k, v, self.scale, self.weight_dropout if self.training else 0.0, mask)  # (B, H, T, D)
        return out.transpose(1, 2)

    def split_heads(self, x: Tensor) -> Tensor:
        """(B, T, H * D) -> (B, T, H, D)"""
        return x.unflatten(-1, (-1, self.head_width))


def attend(
    q: Tensor, k: Tensor, v: Tensor, scale: float, dropout: float = 0.0, mask: Tensor | None = None
) -> Tensor:
    """q (B, H, T, D), k and v (B, G, S, D) -> (B, H, T, D), by the way that is quicker here.

    On a CPU the fused kernel's backward pass costs more than all matrix products of the
    model together, so training takes the explicit way there; for a forward pass alone, and
    on a GPU, the fused one is quicker. Both give the same, to rounding (a test holds them to it).
    """
    if q.device.type == "cpu" and torch.is_grad_enabled():
        return attend_explicitly(q, k, v, scale, dropout, mask)
    return attend_fused(q, k, v, scale, dropout, mask)


def attend_explicitly(
    q: Tensor, k: Tensor, v: Tensor, scale: float, dropout: float = 0.0, mask: Tensor | None = None
) -> Tensor:
    """Attention as the lecture writes it. The T queries are the last of the S tokens."""
    share = q.size(1) // k.size(1)
    if share > 1:
        k, v = k.repeat_interleave(share, dim=1), v.repeat_interleave(share, dim=1)  # (B, H, S, D)
    scores = q @ k.transpose(-2, -1) * scale  # (B, H, T, S)
    mask = sees(q.size(2), k.size(2), q.device) if mask is None else mask
    scores = scores.masked_fill(~mask, float("-inf"))
    weights = F.softmax(scores, dim=-1)  # (B, H, T, S), each row adds up to one
    weights = F.dropout(weights, dropout, training=dropout > 0.0)
    return weights.to(v.dtype) @ v  # (B, H, T, D)


def attend_fused(
    q: Tensor, k: Tensor, v: Tensor, scale: float, dropout: float = 0.0, mask: Tensor | None = None
) -> Tensor:
    """The same in one kernel of PyTorch's."""
    new, total = q.size(2), k.size(2)
    is_causal = mask is None and new == total and new > 1
    if mask is None and new not in (1, total):
        mask = sees(new, total, q.device)
    return F.scaled_dot_product_attention(
        q,
        k,
        v,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=is_causal,
        scale=scale,
        enable_gqa=q.size(1) != k.size(1),
    )


def sees(queries: int, tokens: int, device: torch.device) -> Tensor:
    """Who may look at whom: (T, S) booleans, where the T queries are the last of S tokens.

    >>> sees(2, 3, torch.device("cpu")).int().tolist()
    [[1, 1, 0], [1, 1, 1]]
    """
    return torch.ones(queries, tokens, dtype=torch.bool, device=device).tril(tokens - queries)
