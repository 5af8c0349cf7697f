"""Scaled dot-product attention, explicit and fused, and the masks that say which positions are visible.

softmax(q kᵀ · scale) v, where a query weighs the values of the positions that the mask lets it see
(Vaswani et al. 2017, arXiv 1706.03762). B sequences, H heads of queries, G heads of keys and values, D wide.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from homespun.model import dropout as drawing
from homespun.model.dropout import drop_single


def attend(
    q: Tensor, k: Tensor, v: Tensor, scale: float, dropout: float = 0.0, mask: Tensor | None = None
) -> Tensor:
    """q (B, H, T, D), k and v (B, G, S, D) -> (B, H, T, D), by the faster of two ways.

    mask: booleans that broadcast to (B, H, T, S), true where a query sees a key; None is causal.
    On a CPU the fused operation's backward pass costs more than all matrix products of the
    model together, so training takes the explicit way there; for a forward pass alone, and
    on a GPU, the fused one is faster. Both give the same, to rounding (a test holds them to it).
    The fused one draws its dropout itself, and so not for a batch that several processes share.
    """
    shares_batch = dropout > 0.0 and drawing.whole_batch is not None
    if torch.is_grad_enabled() and (q.device.type == "cpu" or shares_batch):
        return attend_explicitly(q, k, v, scale, dropout, mask)
    return attend_fused(q, k, v, scale, dropout, mask)


def attend_explicitly(
    q: Tensor, k: Tensor, v: Tensor, scale: float, dropout: float = 0.0, mask: Tensor | None = None
) -> Tensor:
    """Attention as the lecture writes it. The T queries are the last of the S tokens."""
    k, v = per_query_head(k, q.size(1)), per_query_head(v, q.size(1))  # (B, H, S, D)
    weights = attention_weights(q, k, scale, mask)  # (B, H, T, S)
    weights = drop_single(weights, dropout, training=dropout > 0.0)
    return weights.to(v.dtype) @ v  # (B, H, T, D)


def attention_weights(q: Tensor, k: Tensor, scale: float, mask: Tensor | None = None) -> Tensor:
    """q (B, H, T, D), k (B, G, S, D) -> softmax(q kᵀ · scale), (B, H, T, S): each row adds up to one."""
    scores = q @ per_query_head(k, q.size(1)).transpose(-2, -1) * scale  # (B, H, T, S)
    mask = causal_mask(q.size(2), k.size(2), q.device) if mask is None else mask
    scores = scores.masked_fill(~mask, float("-inf"))
    return F.softmax(scores, dim=-1)


def attend_fused(
    q: Tensor, k: Tensor, v: Tensor, scale: float, dropout: float = 0.0, mask: Tensor | None = None
) -> Tensor:
    """Attention in one operation of PyTorch's."""
    new, total = q.size(2), k.size(2)
    is_causal = mask is None and new == total and new > 1
    if mask is None and new not in (1, total):
        mask = causal_mask(new, total, q.device)
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


def per_query_head(x: Tensor, heads: int) -> Tensor:
    """Keys or values (B, G, S, D) -> (B, H, S, D): several heads of queries may share one of them."""
    share = heads // x.size(1)
    return x.repeat_interleave(share, dim=1) if share > 1 else x


def causal_mask(queries: int, tokens: int, device: torch.device, window: int = 0) -> Tensor:
    """Which keys each query sees: (T, S) booleans, where the T queries are the last of S tokens.

    window: how many of the last tokens, its own included; 0 for all.

    >>> causal_mask(2, 3, torch.device("cpu")).int().tolist()
    [[1, 1, 0], [1, 1, 1]]
    >>> causal_mask(2, 3, torch.device("cpu"), window=2).int().tolist()
    [[1, 1, 0], [0, 1, 1]]
    """
    mask = torch.ones(queries, tokens, dtype=torch.bool, device=device).tril(tokens - queries)
    return mask.triu(tokens - queries - window + 1) if window else mask


def document_mask(documents: Tensor) -> Tensor:
    """The causal mask of rows that hold several documents: documents (B, T) -> (B, 1, T, T) booleans."""
    own = documents[:, :, None] == documents[:, None, :]  # (B, T, T)
    return (own & causal_mask(documents.size(1), documents.size(1), documents.device)).unsqueeze(1)
