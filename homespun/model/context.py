"""What attention sees beside its own input: one value, handed from the model through its blocks to every layer.

`Causal` is the context of training and evaluation: each position sees those before it, or those of its own
document. Generation has a context of its own, with keys and values of earlier steps (`generation/paged.py`),
and `Recording` keeps the attention weights of any other context, for insight. A model computes in the same way
in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from homespun.model.dot_product import attend, attention_weights, causal_mask, document_mask

Rope = tuple[Tensor, Tensor]


class Context:
    """What a context answers; one value serves one forward pass.

    ropes   kind of layer -> cosines and sines (T or B, T; 1, R/2) of the positions, which the model sets; a kind
            that is missing has no rope
    """

    ropes: Mapping[str, Rope] = MappingProxyType({})

    def positions(self, ids: Tensor) -> slice | Tensor:
        """The position of each id of (B, T) in its text: a slice for all rows, or int64 (B, T)."""
        raise NotImplementedError

    def longest(self, ids: Tensor) -> int:
        """How many tokens the longest text has by the end of ids (B, T)."""
        raise NotImplementedError

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, *, window: int = 0, dropout: float = 0.0
    ) -> Tensor:
        """q (B, T, H, D), k and v (B, T, G, D) of one layer -> (B, T, H, D).

        layer: its index. window: how many tokens a position attends to, itself included; 0 for all.
        dropout: the share of attention weights to drop.
        """
        raise NotImplementedError


class Causal(Context):
    """Each position sees itself and all before it.

    documents  (B, T), the number of the document that each token belongs to, where a row holds several, one
               behind the other: then no position sees beyond its own document, and positions begin at 0 in each
    positions  (B, T), these positions, where they are known already
    """

    def __init__(self, documents: Tensor | None = None, positions: Tensor | None = None) -> None:
        self.documents = documents
        self.given = positions
        self.mask = None if documents is None else document_mask(documents)  # (B, 1, T, T)
        self.windowed: dict[int, Tensor] = {}  # such masks by the window of a layer

    def positions(self, ids: Tensor) -> slice | Tensor:
        if self.documents is None:
            return slice(0, ids.size(1))
        return positions_in(self.documents) if self.given is None else self.given

    def longest(self, ids: Tensor) -> int:
        return ids.size(1)

    def visible(self, tokens: int, window: int, device: torch.device) -> Tensor | None:
        """The mask of a layer with that window: (B or 1, 1, T, T) booleans, or None where it is plain causal."""
        if not 0 < window < tokens:
            return self.mask
        if window not in self.windowed:
            near = causal_mask(tokens, tokens, device, window)[None, None]
            self.windowed[window] = near if self.mask is None else self.mask & near
        return self.windowed[window]

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, *, window: int = 0, dropout: float = 0.0
    ) -> Tensor:
        # Only here do the heads move forward: up to here all numbers are read and written in the order in
        # which they lie in memory, which the backward pass of norm and rope takes half the time for.
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))  # (B, H, T, D) or (B, G, T, D)
        mask = self.visible(q.size(2), window, q.device)
        return attend(q, k, v, scale, dropout, mask).transpose(1, 2)


class Recording(Context):
    """A causal context that keeps the attention weights of every layer.

    weights    of each layer (B, H, queries, T), float32 on the CPU
    queries    weights of the last so many positions are kept
    """

    def __init__(self, inner: Causal, queries: int) -> None:
        self.inner = inner
        self.queries = queries
        self.weights: list[Tensor] = []

    def positions(self, ids: Tensor) -> slice | Tensor:
        return self.inner.positions(ids)

    def longest(self, ids: Tensor) -> int:
        return self.inner.longest(ids)

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, *, window: int = 0, dropout: float = 0.0
    ) -> Tensor:
        mask = self.inner.visible(q.size(1), window, q.device)
        mask = None if mask is None else mask[:, :, -self.queries :]
        last = q[:, -self.queries :].transpose(1, 2)  # (B, H, queries, D)
        self.weights.append(attention_weights(last, k.transpose(1, 2), scale, mask).float().cpu())
        return self.inner.attend(layer, q, k, v, scale, window=window, dropout=dropout)


def positions_in(documents: Tensor) -> Tensor:
    """The position of each token in its document: (B, T) -> (B, T).

    >>> positions_in(torch.tensor([[0, 0, 0, 1, 1, 2]])).tolist()
    [[0, 1, 2, 0, 1, 0]]
    """
    places = torch.arange(documents.size(1), device=documents.device).expand_as(documents)
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return places - torch.where(begins, places, 0).cummax(dim=1).values
